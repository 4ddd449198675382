package handlers

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"redrive/delivery"
)

// maxLimit is the longest page of a list.
const maxLimit = 500

var (
	integrationName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	uuidShape       = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

	failureParams = []string{"state", "integration", "method", "error_class", "group", "key", "message", "q", "from", "to", "sort", "after", "limit"}
	groupParams   = []string{"state", "by", "integration", "error_class", "group", "limit"}
	auditParams   = []string{"actor", "action", "subject", "from", "to", "after", "limit"}
	repeatable    = []string{"state", "integration", "method", "error_class", "group"}
)

func isUUID(s string) bool { return uuidShape.MatchString(s) }

func badParameter(name, format string, args ...any) problem {
	return badField(http.StatusBadRequest, "invalid_parameter", name, format, args...)
}

// onlyParams refuses parameters that a list does not know: a misspelt filter would show everything.
func onlyParams(q url.Values, allowed ...string) error {
	for name, values := range q {
		if !slices.Contains(allowed, name) {
			known := "none"
			if len(allowed) > 0 {
				known = strings.Join(allowed, ", ")
			}
			return badField(http.StatusBadRequest, "unknown_parameter", name, "There is no parameter %q here; known: %s.", name, known)
		}
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return badParameter(name, "%s is given more than once.", name)
		}
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return badParameter(name, "%s must be UTF-8 text without NUL.", name)
			}
		}
	}
	return nil
}

// failureFilter reads the filter of a list from the query of its address.
func failureFilter(q url.Values, allowed []string) (delivery.Filter, error) {
	f := delivery.Filter{Groups: given(q["group"]), Key: q.Get("key"), MessageID: strings.ToLower(q.Get("message")), Query: q.Get("q"), After: q.Get("after")}
	if err := onlyParams(q, allowed...); err != nil {
		return f, err
	}
	if f.MessageID != "" && !isUUID(f.MessageID) {
		return f, badParameter("message", "message must be the id of a message, a UUID.")
	}
	f.Integrations = given(q["integration"])
	for _, name := range f.Integrations {
		if !integrationName.MatchString(name) {
			return f, badParameter("integration", "integration must be a name of a-z, 0-9 and dashes.")
		}
	}
	return f, firstError(
		oneOf(q, "state", delivery.States, &f.States),
		oneOf(q, "method", methods, &f.Methods),
		oneOf(q, "error_class", delivery.ErrorClasses, &f.ErrorClasses),
		sortOrder(q, &f.Sort),
		timeRange(q, &f.From, &f.To),
		pageLimit(q, &f.Limit))
}

var methods = []delivery.Method{delivery.MethodPool, delivery.MethodBroker, delivery.MethodOutbox, delivery.MethodBatch, delivery.MethodCDC}

func auditFilter(q url.Values) (delivery.AuditFilter, error) {
	f := delivery.AuditFilter{Actor: q.Get("actor"), Action: q.Get("action"), Subject: q.Get("subject"), After: q.Get("after")}
	return f, firstError(onlyParams(q, auditParams...), timeRange(q, &f.From, &f.To), pageLimit(q, &f.Limit))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// groupFilter reads the filter of the group list.
func groupFilter(q url.Values) (delivery.Filter, error) {
	f, err := failureFilter(q, groupParams)
	if err != nil {
		return f, err
	}
	if by := q.Get("by"); by != "" && by != "fingerprint" {
		return f, badParameter("by", "by must be fingerprint.")
	}
	return f, nil
}

// given drops empty values: a form with nothing chosen sends them.
func given(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

func oneOf[T ~string](q url.Values, name string, known []T, into *[]T) error {
	for _, v := range given(q[name]) {
		if !slices.Contains(known, T(v)) {
			return badParameter(name, "%s must be one of %s.", name, joined(known))
		}
		*into = append(*into, T(v))
	}
	return nil
}

func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

func sortOrder(q url.Values, into *delivery.Sort) error {
	*into = delivery.SortNewest
	if v := delivery.Sort(q.Get("sort")); v != "" {
		*into = v
	}
	if *into != delivery.SortNewest && *into != delivery.SortOldest {
		return badParameter("sort", "sort must be newest or oldest.")
	}
	return nil
}

func timeRange(q url.Values, from, to **time.Time) error {
	for name, into := range map[string]**time.Time{"from": from, "to": to} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return badParameter(name, "%s must be a time such as 2026-01-31T09:30:00Z (in an address, + is written %%2B).", name)
		}
		*into = &t
	}
	if *from != nil && *to != nil && (*to).Before(**from) {
		return badParameter("to", "to must not be before from.")
	}
	return nil
}

func pageLimit(q url.Values, into *int) error {
	v := q.Get("limit")
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxLimit {
		return badParameter("limit", "limit must be a number from 1 to %d.", maxLimit)
	}
	*into = n
	return nil
}
