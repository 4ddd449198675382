package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"redrive/delivery"
	"redrive/handlers/web"
)

// FilterJSON is a filter as the body of an operation carries it: the names of the list's parameters, with text, a number, true or
// false as value, or a list of texts.
func FilterJSON(f delivery.Filter) map[string]any {
	f.After, f.Limit, f.Sort = "", 0, ""
	out := map[string]any{}
	for name, values := range f.Values() {
		switch {
		case name == "acknowledged":
			out[name] = *f.Acknowledged
		case slices.Contains(web.Repeatable, name):
			out[name] = values
		default:
			out[name] = values[0]
		}
	}
	return out
}

// FilterField reads what FilterJSON writes, as strictly as the list reads its address. A page's order and size are no part of it.
func FilterField(into **delivery.Filter) web.Field {
	return func(raw json.RawMessage) error {
		if web.IsNull(raw) {
			return nil
		}
		if raw[0] != '{' {
			return web.Unprocessable("invalid_field.filter", "filter")
		}
		q := url.Values{}
		if err := web.DecodeMembers(raw, func(name string, value json.RawMessage) (err error) {
			q[name], err = filterValues("filter."+name, value)
			return err
		}); err != nil {
			return err
		}
		f, err := web.FailureFilter(q, operationParams)
		if err != nil {
			return inFilter(err)
		}
		*into = &f
		return nil
	}
}

// operationParams select what an operation is about.
var operationParams = slices.DeleteFunc(slices.Clone(web.FailureParams), func(name string) bool {
	return slices.Contains([]string{"sort", "after", "limit"}, name)
})

func filterValues(name string, raw json.RawMessage) ([]string, error) {
	if raw[0] != '[' {
		value, err := filterValue(name, raw)
		return []string{value}, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, web.Unprocessable("invalid_field.empty_list", name, "field", name)
	}
	values := make([]string, len(list))
	for i, one := range list {
		var err error
		if values[i], err = filterValue(name, one); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// filterValue is the text of a string, or a number, true or false as it stands.
func filterValue(name string, raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		text, err := web.JsonText(name, raw)
		if err == nil && text == "" {
			err = web.Unprocessable("invalid_field.empty", name, "field", name)
		}
		return text, err
	case '{', '[', 'n':
		return "", web.Unprocessable("invalid_field.text_or_texts", name, "field", name)
	}
	return string(raw), nil
}

// inFilter is a mistake in a parameter as one in a member of the body.
func inFilter(err error) error {
	var p web.Problem
	if !errors.As(err, &p) || p.Field == "" {
		return err
	}
	code := p.Code
	switch code {
	case "invalid_parameter":
		code = "invalid_field"
	case "unknown_parameter":
		code = "unknown_field"
	}
	return web.ProblemSaying(http.StatusUnprocessableEntity, code, "filter."+p.Field, p.Says)
}
