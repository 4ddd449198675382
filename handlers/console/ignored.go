package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// ignoredFilter reads what the page of ignored failures asks for.
func ignoredFilter(q url.Values, zone *time.Location) (f delivery.IgnoredFilter, err error) {
	f = delivery.IgnoredFilter{Integrations: web.Given(q["integration"]), Category: q.Get("category"), Actor: q.Get("actor"),
		Rule: q.Get("rule"), After: q.Get("after")}
	var ends []delivery.IgnoreEnd
	err = web.FirstError(web.OnlyParams(q, "integration", "category", "actor", "end", "month", "rule", "after"),
		web.OneOf(q, "end", delivery.IgnoreEnds, &ends), inMonth(&f, q.Get("month"), zone))
	if _, wrong := strconv.ParseInt(f.Rule, 10, 64); f.Rule != "" && wrong != nil {
		return f, delivery.ErrNotFound
	}
	if len(ends) > 0 {
		f.End = ends[0]
	}
	return f, err
}

// inMonth leaves of a filter what was ignored in a month; all where none is named.
func inMonth(f *delivery.IgnoredFilter, month string, zone *time.Location) error {
	if month == "" {
		return nil
	}
	from, err := time.ParseInLocation(views.MonthForm, month, zone)
	if err != nil {
		return web.BadParameter("invalid_parameter.time", "month", "name", "month")
	}
	to := from.AddDate(0, 1, 0)
	f.From, f.To = &from, &to
	return nil
}

// ignored lists what was hidden, by whom and why.
func (s *Console) ignored(c echo.Context) error {
	ctx := c.Request().Context()
	page := views.IgnoredPage{Layout: s.Layout(c, "title.ignored", views.Ignored), Asked: given(c), Names: s.integrationNames(c)}
	filter, err := ignoredFilter(page.Asked, page.Zone)
	if err != nil {
		return err
	}
	rows, err := s.store.Ignored(ctx, filter)
	if err != nil {
		return err
	}
	if page.Counts, page.Whole, err = s.store.IgnoredCounts(ctx, filter); err != nil {
		return err
	}
	if page.May(delivery.PermitExport) {
		page.CSV, page.JSON = views.IgnoredFiles(page.Asked)
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	return web.Render(c, http.StatusOK, views.IgnoredView(page))
}

// ignoredFile is what that page filters as a file: of the integrations of which the reader may take something away.
func (s *Console) ignoredFile(write func(echo.Context, file[delivery.Delivery]) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		l, asked := web.ReaderOf(c), given(c)
		filter, err := ignoredFilter(asked, l.Zone)
		if err != nil {
			return err
		}
		filter.Limit = delivery.MaxPage
		return s.takeAway(c, "failures.export", "ignored", asked, func(ctx context.Context) error {
			return write(c, file[delivery.Delivery]{name: "ignored", columns: failureColumns,
				page: func(after string) (delivery.Page[delivery.Delivery], error) {
					filter.After = after
					return s.store.Ignored(ctx, filter)
				}})
		})
	}
}
