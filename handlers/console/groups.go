package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

const newestOfGroup = 10

// groups lists failures that share a cause, or other things.
func (s *Console) groups(c echo.Context) error {
	page := views.GroupsPage{Layout: s.Layout(c, "title.groups", views.Groups), Names: s.integrationNames(c)}
	filter, err := consoleGroups(c.QueryParams())
	page.Filter = filter
	if err == nil && untidy(c.QueryParams()) {
		return c.Redirect(http.StatusSeeOther, views.GroupList(filter))
	}
	var rows delivery.Page[delivery.Group]
	if err == nil {
		if filter.Limit == 0 {
			filter.Limit = views.GroupsOnPage
		}
		rows, err = s.store.Groups(c.Request().Context(), filter)
	}
	status := 0
	if page.Problem, status, err = told(c, err); err != nil {
		return err
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, status, views.GroupsView(page))
}

// consoleGroups reads what the API reads, and "any" for all states.
func consoleGroups(query url.Values) (delivery.GroupFilter, error) {
	q := maps.Clone(query)
	for name, values := range q {
		if q[name] = web.Given(values); len(q[name]) == 0 {
			delete(q, name)
		}
	}
	if slices.Equal(q["state"], []string{delivery.AnyState}) {
		q["state"] = nil
		for _, state := range delivery.States {
			q.Add("state", string(state))
		}
	}
	if len(q["sort"]) == 0 {
		q.Set("sort", string(delivery.GroupsGrowing))
	}
	filter, err := web.GroupFilter(q)
	if slices.Equal(filter.States, views.TabStates[0]) {
		filter.States = nil
	}
	return filter, err
}

// untidy reports whether an address carries what a form sends without having been chosen.
func untidy(q url.Values) bool {
	for _, values := range q {
		if slices.Contains(values, "") {
			return true
		}
	}
	return false
}

// group is the page of one failure group.
func (s *Console) group(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	g, err := s.store.Group(ctx, id)
	if err != nil {
		return err
	}
	page := views.GroupPage{Layout: s.Layout(c, "", views.Groups), Group: g}
	page.Title = page.Class(g.ErrorClass)
	f := delivery.Filter{Groups: []string{id}}
	for _, states := range views.TabStates {
		if f.States = states; len(states) == 1 && states[0] == delivery.StateDead {
			f.States = nil
		}
		tab := views.StateTab{Name: page.StatesName(states), Href: views.FailureList(f)}
		if tab.Count, err = s.count(ctx, f, views.CountLimit); err != nil {
			return err
		}
		page.States = append(page.States, tab)
	}
	f.States, f.Limit = delivery.States, newestOfGroup
	newest, err := s.store.Failures(ctx, f)
	if err != nil {
		return err
	}
	f.Sort, f.Limit = delivery.SortOldest, 1
	oldest, err := s.store.Failures(ctx, f)
	if err != nil {
		return err
	}
	page.Newest = newest.Items
	if len(oldest.Items) > 0 {
		page.First = &oldest.Items[0]
	}
	return web.Render(c, http.StatusOK, views.GroupView(page))
}
