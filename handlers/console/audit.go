package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// auditParams are what the address of the audit may say, beside what the API knows.
var auditParams = append(slices.Clone(web.AuditParams), "kind", "integration", "category", "open", "items")

// auditFilter reads what the page of the audit asks for. The times that it returns are by the reader's clock, and in q become moments.
func auditFilter(q url.Values, l views.Locale) (f delivery.AuditFilter, from, to string, err error) {
	from, to = localTime(q, "from", l), localTime(q, "to", l)
	if err = web.OnlyParams(q, auditParams...); err != nil {
		return f, from, to, err
	}
	known := url.Values{}
	for _, name := range web.AuditParams {
		known[name] = q[name]
	}
	f, err = web.AuditFilter(known)
	if f.Action != "operation.start" {
		f.Action, f.Deed = "", f.Action
	}
	f.SubjectType, f.Integration, f.Category = q.Get("kind"), q.Get("integration"), q.Get("category")
	return f, from, to, err
}

// given is what an address says, without what was left empty.
func given(c echo.Context) url.Values {
	q := url.Values{}
	for name, values := range c.QueryParams() {
		if values = web.Given(values); len(values) > 0 {
			q[name] = values
		}
	}
	return q
}

// audit lists who did what, each operation as one row.
func (s *Console) audit(c echo.Context) error {
	ctx := c.Request().Context()
	page := views.AuditPage{Layout: s.Layout(c, "title.audit", views.Audit), Asked: given(c), Names: s.integrationNames(c)}
	asked := given(c)
	filter, from, to, err := auditFilter(asked, page.Locale)
	page.From, page.To = from, to
	var rows delivery.Page[delivery.AuditEntry]
	if err == nil {
		filter.Decisions = true
		err = s.HashSubject(ctx, &filter)
	}
	if err == nil {
		rows, err = s.store.Audit(ctx, filter)
	}
	status := http.StatusOK
	if err != nil {
		p, other := web.Mistake(err)
		if other != nil {
			return other
		}
		page.Problem, page.Field, status = web.Say(c, p.Says), timeField(p.Field), p.Status
	}
	if page.Head, err = s.store.AuditHead(ctx); err != nil {
		return err
	}
	if page.Actors, err = s.store.AuditActors(ctx); err != nil {
		return err
	}
	if page.May(delivery.PermitExport) {
		page.CSV, page.JSON = views.AuditFiles(asked)
	}
	page.Items, page.Next = rows.Items, nextURL(c.Request(), rows.Next)
	if err := s.openOperation(c, &page); err != nil {
		return err
	}
	return web.Render(c, status, views.AuditView(page))
}

// timeField is the field of the form with what is wrong; of others there are but choices.
func timeField(name string) string {
	if name == "from" || name == "to" {
		return name
	}
	return ""
}

// openOperation reads what the operation of an open row did to each.
func (s *Console) openOperation(c echo.Context, page *views.AuditPage) error {
	if page.Open = page.Asked.Get("open"); !delivery.IsUUID(page.Open) {
		page.Open = ""
		return nil
	}
	rows, err := s.store.Audit(c.Request().Context(), delivery.AuditFilter{Operation: page.Open, After: page.Asked.Get("items")})
	if err != nil {
		return err
	}
	page.Of, page.OfNext = rows.Items, views.AuditItems(page.Asked, page.Open, rows.Next)
	return nil
}

// auditFile is what the audit's page filters as a file, the entries of operations' items among it.
func (s *Console) auditFile(write func(echo.Context, file[delivery.AuditEntry]) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		l, asked := web.ReaderOf(c), given(c)
		filter, _, _, err := auditFilter(asked, l.Locale)
		if err == nil {
			err = s.HashSubject(c.Request().Context(), &filter)
		}
		if err != nil {
			return err
		}
		if filter.DataSubject != "" {
			asked.Set("data_subject", filter.DataSubject) // the audit keeps what was asked
		}
		filter.After, filter.Limit = "", delivery.MaxPage
		return s.takeAway(c, "audit.export", "audit", asked, func(ctx context.Context) error {
			return write(c, file[delivery.AuditEntry]{name: "audit", columns: auditColumns(l.Locale),
				page: func(after string) (delivery.Page[delivery.AuditEntry], error) {
					filter.After = after
					return s.store.Audit(ctx, filter)
				}})
		})
	}
}

// auditColumns are what a file says of an entry: the sentence of the page, and what is hashed.
func auditColumns(l views.Locale) []column[delivery.AuditEntry] {
	type entry = delivery.AuditEntry
	return []column[entry]{
		{"seq", func(e entry) string { return strconv.FormatInt(e.Seq, 10) }},
		{"at", func(e entry) string { return e.At.UTC().Format("2006-01-02T15:04:05.000000Z") }},
		{"actor", func(e entry) string { return e.Actor }},
		{"actor_id", func(e entry) string { return e.ActorID }},
		{"action", func(e entry) string { return e.Action }},
		{"sentence", l.Sentence},
		{"subject_type", func(e entry) string { return e.SubjectType }},
		{"subject", func(e entry) string { return e.Subject }},
		{"key", func(e entry) string { return e.About.Key }},
		{"type", func(e entry) string { return e.About.Type }},
		{"integration", views.IntegrationOf},
		{"reason", func(e entry) string { return l.Reason(e.Reason, e.Why()) }},
		{"details", func(e entry) string { return string(e.Details) }},
		{"hash", views.Hash},
	}
}
