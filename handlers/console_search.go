package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// narrowings is how many values of a field are offered.
const narrowings = 8

// countsOf fills in how many rows the list and its neighbours have.
func (s *Server) countsOf(ctx context.Context, page *views.FailuresPage) error {
	f := page.Mine(page.Filter)
	f.After, f.Limit, f.Sort = "", 0, ""
	counted := false
	for _, states := range views.TabStates {
		f.States = states
		link := page.Filter
		link.After, link.States = "", states
		if len(states) == 1 && states[0] == delivery.StateDead {
			link.States = nil
		}
		tab := views.StateTab{Name: page.StatesName(states), Href: views.FailureList(link), Current: sameStates(states, views.StatesOf(page.Filter))}
		tab.Count.Unknown = true
		if tab.Current || f.OnlyFacets() { // one by one is counted what is shown and nothing else
			var err error
			if tab.Count, err = s.count(ctx, f); err != nil {
				return err
			}
		}
		if tab.Current {
			page.Total, counted = tab.Count, true
		}
		page.Tabs = append(page.Tabs, tab)
	}
	f.States = views.StatesOf(page.Filter)
	if !counted {
		var err error
		if page.Total, err = s.count(ctx, f); err != nil {
			return err
		}
	}
	return s.narrow(ctx, page, f)
}

func sameStates(a, b []delivery.State) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(s delivery.State) bool { return !slices.Contains(b, s) })
}

// count answers Unknown where a state cannot be searched that way, or nothing was found in the time that a number may take.
func (s *Server) count(ctx context.Context, f delivery.Filter) (views.Count, error) {
	n, capped, err := s.cfg.Store.CountFailures(ctx, f, views.CountLimit)
	var input *delivery.InputError
	if errors.As(err, &input) {
		return views.Count{Unknown: true}, nil
	}
	return views.Count{N: n, Capped: capped, Unknown: capped && n == 0}, err
}

// narrow offers the integrations and error classes of what the list shows, with exact counts where groups can count it.
func (s *Server) narrow(ctx context.Context, page *views.FailuresPage, f delivery.Filter) error {
	for _, by := range []struct {
		key    delivery.GroupKey
		title  string
		chosen int
	}{{delivery.ByIntegration, "Integration", len(f.Integrations)}, {delivery.ByClass, "Error", len(f.ErrorClasses)}} {
		if by.chosen == 1 || page.Total.N == 0 {
			continue
		}
		rows, err := s.cfg.Store.Groups(ctx, delivery.GroupFilter{Filter: delivery.Filter{States: f.States, Integrations: f.Integrations, Methods: f.Methods,
			Destinations: f.Destinations, ErrorClasses: f.ErrorClasses, Groups: f.Groups, GroupMessages: f.GroupMessages, Limit: narrowings},
			By: []delivery.GroupKey{by.key}, Bare: true})
		if err != nil {
			return err
		}
		n := views.Narrowing{Title: page.T(by.title)}
		for _, g := range rows.Items {
			n.Items = append(n.Items, narrowed(page, by.key, g, countedByGroups(f)))
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

// countedByGroups says whether groups know everything that the filter asks.
func countedByGroups(f delivery.Filter) bool {
	f.States, f.Integrations, f.Methods, f.Destinations, f.ErrorClasses, f.Groups, f.GroupMessages = nil, nil, nil, nil, nil, nil, nil
	return len(f.Values()) == 0
}

// suggestion is one way to go on in the search bar.
type suggestion struct {
	Text   string `json:"text"`   // shown
	Help   string `json:"help"`   // beside it
	Insert string `json:"insert"` // in place of the word that is being typed
}

// suggest answers how a word of the search bar could go on: with a field, or with a value of the field before the colon.
func (s *Server) suggest(c echo.Context) error {
	field, typed := c.QueryParam("field"), c.QueryParam("typed")
	if len(field)+len(typed) > 1000 {
		return badParameter("typed", "typed is too long.")
	}
	found := fieldsLike(s.quietLayout(c).Locale, typed)
	if field != "" {
		before, last := "", typed
		if comma := strings.LastIndexByte(typed, ','); comma >= 0 {
			before, last = typed[:comma+1], typed[comma+1:]
		}
		values, err := s.cfg.Store.Suggest(c.Request().Context(), field, strings.TrimPrefix(last, `"`))
		if _, err := mistake(err); err != nil {
			return err
		}
		found = []suggestion{}
		for _, v := range values {
			found = append(found, suggestion{Text: v, Insert: field + ":" + before + quotedValue(v) + " "})
		}
	}
	return c.JSON(http.StatusOK, map[string][]suggestion{"items": found})
}

func fieldsLike(l views.Locale, typed string) []suggestion {
	found := []suggestion{}
	for _, f := range delivery.SearchFields {
		if strings.HasPrefix(f.Name, strings.ToLower(typed)) {
			found = append(found, suggestion{Text: f.Name + ":", Help: l.T(f.Help), Insert: f.Name + ":"})
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
