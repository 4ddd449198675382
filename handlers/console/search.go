package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

const (
	narrowedValues   = 8     // values of a field that are offered
	searchCountLimit = 1_000 // how far the finds of a search are counted
)

// countsOf fills in how many rows the list and its neighbours have. What the counters know is exact and said of each state; a search
// is counted only where it is shown, and not far: it has to be found to be counted.
func (s *Console) countsOf(ctx context.Context, page *views.FailuresPage) error {
	counted := countedByGroups(unpaged(page.Untabbed()))
	for _, t := range page.ListTabs() {
		tab := views.StateTab{Name: t.Name, Href: views.FailureList(t.Filter), Current: t.Current, Count: views.Count{Unknown: true}}
		if counted {
			atMost := views.CountLimit
			if !countedByGroups(unpaged(t.Filter)) {
				atMost = searchCountLimit
			}
			var err error
			if tab.Count, err = s.count(ctx, unpaged(page.Mine(t.Filter)), atMost); err != nil {
				return err
			}
		}
		page.Tabs = append(page.Tabs, tab)
	}
	page.Chips = chips(page)
	return s.total(ctx, page, unpaged(page.Mine(page.Filter)), counted)
}

func unpaged(f delivery.Filter) delivery.Filter {
	f.After, f.Limit, f.Sort = "", 0, ""
	return f
}

// chips are the conditions of a list, each with the list without it; what the tab says is no chip.
func chips(page *views.FailuresPage) (list []views.Chip) {
	bare := page.Untabbed()
	values := bare.Values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name == "sort" || name == "limit" {
			continue
		}
		for n, value := range values[name] {
			one, err := web.FailureFilter(url.Values{name: {value}}, []string{name})
			rest := maps.Clone(page.Filter.Values())
			delete(rest, "after")
			rest[name] = slices.Delete(slices.Clone(values[name]), n, n+1)
			without, err2 := web.FailureFilter(rest, web.FailureParams)
			if err == nil && err2 == nil {
				list = append(list, views.Chip{Text: page.ChipText(unpaged(one)), Without: views.FailureList(without)})
			}
		}
	}
	return list
}

// total is how many rows match in the states that are shown.
func (s *Console) total(ctx context.Context, page *views.FailuresPage, f delivery.Filter, counted bool) (err error) {
	f.States = views.StatesOf(page.Filter)
	current := slices.IndexFunc(page.Tabs, func(t views.StateTab) bool { return t.Current })
	switch {
	case page.Filter.After == "" && page.Next == "":
		page.Total = views.Count{N: len(page.Items)}
	case counted && current >= 0:
		page.Total = page.Tabs[current].Count
	case counted:
		page.Total, err = s.count(ctx, f, views.CountLimit)
	default:
		page.Total, err = s.count(ctx, f, searchCountLimit)
	}
	if err == nil && current >= 0 {
		page.Tabs[current].Count = page.Total
	}
	if err != nil {
		return err
	}
	return s.narrow(ctx, page, f)
}

// count returns Unknown where a state cannot be searched that way.
func (s *Console) count(ctx context.Context, f delivery.Filter, atMost int) (views.Count, error) {
	n, capped, err := s.store.CountFailures(ctx, f, atMost)
	var input *delivery.InputError
	if errors.As(err, &input) {
		return views.Count{Unknown: true}, nil
	}
	return views.Count{N: n, Capped: capped}, err
}

// narrow offers the integrations and error classes of what the list shows, with exact counts where groups can count it.
func (s *Console) narrow(ctx context.Context, page *views.FailuresPage, f delivery.Filter) error {
	for _, by := range []struct {
		key    delivery.GroupKey
		title  string
		chosen int
	}{{delivery.ByIntegration, "Integration", len(f.Integrations)}, {delivery.ByClass, "Error", len(f.ErrorClasses)}} {
		if by.chosen == 1 || page.Total.N == 0 {
			continue
		}
		rows, err := s.store.Groups(ctx, delivery.GroupFilter{Filter: delivery.Filter{
			States:        f.States,
			Integrations:  f.Integrations,
			Methods:       f.Methods,
			Destinations:  f.Destinations,
			ErrorClasses:  f.ErrorClasses,
			Groups:        f.Groups,
			GroupMessages: f.GroupMessages,
			Limit:         narrowedValues,
		},
			By: []delivery.GroupKey{by.key}, Bare: true})
		if err != nil {
			return err
		}
		n := views.Refinement{Title: page.T(by.title)}
		for _, g := range rows.Items {
			n.Items = append(n.Items, narrowed(page, by.key, g, f.Acknowledged == nil && countedByGroups(f)))
		}
		if len(n.Items) > 1 {
			page.Narrow = append(page.Narrow, n)
		}
	}
	return nil
}

func narrowed(page *views.FailuresPage, key delivery.GroupKey, g delivery.Group, counted bool) views.StateTab {
	link := page.Filter
	link.After = ""
	t := views.StateTab{Name: g.Integration, Count: views.Count{N: g.Count, Unknown: !counted}}
	if key == delivery.ByClass {
		link.ErrorClasses, t.Name = []string{g.ErrorClass}, page.Class(g.ErrorClass)
	} else {
		link.Integrations = []string{g.Integration}
	}
	t.Href = views.FailureList(link)
	return t
}

// countedByGroups reports whether groups know everything that the filter asks.
func countedByGroups(f delivery.Filter) bool {
	f.Acknowledged, f.States, f.Integrations, f.Methods, f.Destinations, f.ErrorClasses, f.Groups, f.GroupMessages = nil, nil, nil, nil, nil, nil, nil, nil
	return len(f.Values()) == 0
}

// Suggestion is one way to go on in the search bar.
type Suggestion struct {
	Text   string `json:"text"`   // shown
	Help   string `json:"help"`   // beside it
	Insert string `json:"insert"` // in place of the word that is being typed
}

// suggest returns how a word of the search bar could go on: with a field, or with a value of the field before the colon.
func (s *Console) suggest(c echo.Context) error {
	field, typed := c.QueryParam("field"), c.QueryParam("typed")
	if len(field)+len(typed) > 1000 {
		return web.BadParameter("invalid_parameter.typed", "typed")
	}
	found := fieldsLike(web.ReaderOf(c).Locale, typed)
	if field != "" {
		before, last := "", typed
		if comma := strings.LastIndexByte(typed, ','); comma >= 0 {
			before, last = typed[:comma+1], typed[comma+1:]
		}
		values, err := s.store.Suggest(c.Request().Context(), field, strings.TrimPrefix(last, `"`))
		if _, err := web.Mistake(err); err != nil {
			return err
		}
		found = []Suggestion{}
		for _, v := range values {
			found = append(found, Suggestion{
				Text:   v,
				Help:   valueWords(web.ReaderOf(c).Locale, field, v),
				Insert: field + ":" + before + quotedValue(v) + " ",
			})
		}
	}
	return c.JSON(http.StatusOK, map[string][]Suggestion{"items": found})
}

// valueWords is how lists show a value that is written otherwise.
func valueWords(l views.Locale, field, value string) string {
	words := ""
	switch field {
	case "class":
		words = l.Class(value)
	case "state":
		words = l.StateName(delivery.State(value))
	}
	if words == value {
		return ""
	}
	return words
}

func fieldsLike(l views.Locale, typed string) []Suggestion {
	found := []Suggestion{}
	for _, f := range delivery.SearchFields {
		if strings.HasPrefix(f.Name, strings.ToLower(typed)) {
			found = append(found, Suggestion{Text: f.Name + ":", Help: l.Say(delivery.Say("search.field." + f.Name)), Insert: f.Name + ":"})
		}
	}
	return found
}

// quotedValue writes a value as the search bar reads it.
func quotedValue(v string) string {
	if v != "" && !strings.ContainsAny(v, " \t\n\r\",") {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}

// named is the address of what a text names: a failure, when it is the business key or the id of one, or the end of its id; a list, when
// it is that of several; a message. Empty when it names nothing.
func (s *Console) named(c echo.Context, text string) (string, error) {
	ctx, filters := c.Request().Context(), delivery.Named(text)
	if end := strings.ToLower(text); delivery.IsShortID(end) {
		ids, err := s.store.EndingIn(ctx, end)
		if err != nil {
			return "", err
		}
		if len(ids) > 0 {
			filters = append(filters, delivery.Filter{States: delivery.States, IDs: ids})
		}
	}
	for _, f := range filters {
		two := f
		two.Limit = 2
		rows, err := s.store.Failures(ctx, two)
		switch {
		case err != nil:
			return "", err
		case len(rows.Items) == 1:
			return views.FailureInList(views.FailureList(f), rows.Items[0].Place()), nil
		case len(rows.Items) > 1:
			return views.FailureList(f), nil
		}
	}
	return s.unfailed(ctx, strings.ToLower(text))
}

// unfailed is the address of a delivery or message of that id, which never failed.
func (s *Console) unfailed(ctx context.Context, id string) (string, error) {
	if !delivery.IsUUID(id) {
		return "", nil
	}
	_, err := s.store.Delivery(ctx, id)
	if err == nil {
		return views.Failure(id), nil
	}
	if errors.Is(err, delivery.ErrNotFound) {
		if _, _, err = s.store.Message(ctx, id); err == nil {
			return views.Message(id), nil
		}
	}
	if errors.Is(err, delivery.ErrNotFound) {
		return "", nil
	}
	return "", err
}

const mostMeant = 6

// meant fills in what a search that finds nothing, or cannot be read, was probably meant to be: only what finds something.
func (s *Console) meant(c echo.Context, page *views.FailuresPage) {
	now := time.Now()
	others := delivery.MeantBy(page.Search, now, page.Zone)
	for _, name := range page.Filter.Integrations {
		names := s.integrationNames(c)
		if slices.Contains(names, name) {
			continue
		}
		for _, longer := range names {
			if strings.Contains(longer, name) {
				f := page.Filter
				f.Integrations = []string{longer}
				others = append(others, delivery.Meant{Search: f.SearchText(), Says: delivery.Say("meant.integration", "integration", longer)})
			}
		}
	}
	for _, m := range others {
		f, err := delivery.ParseSearch(m.Search, now, page.Zone)
		if err != nil || len(page.Meant) == mostMeant {
			continue
		}
		n, err := s.count(c.Request().Context(), page.Mine(f), searchCountLimit)
		if err != nil || n.N == 0 && !n.Capped && !n.Unknown {
			continue
		}
		n.Unknown = n.Unknown || n.N == 0 // nobody had the time to look
		page.Meant = append(page.Meant, views.StateTab{Name: page.Say(m.Says), Href: views.FailureList(f), Count: n})
	}
}
