package console

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	"redrive/handlers/web"
)

// exportColumns are what a list's file says of a failure: no payload, and of errors what pages show.
var exportColumns = []struct {
	name  string
	value func(d delivery.Delivery) string
}{
	{"id", func(d delivery.Delivery) string { return d.ID }},
	{"key", func(d delivery.Delivery) string { return d.Key }},
	{"type", func(d delivery.Delivery) string { return d.Type }},
	{"integration", func(d delivery.Delivery) string { return d.Integration }},
	{"state", func(d delivery.Delivery) string { return string(d.State) }},
	{"error_class", func(d delivery.Delivery) string { return d.ErrorClass }},
	{"error", func(d delivery.Delivery) string { return d.Error }},
	{"attempts", func(d delivery.Delivery) string { return strconv.Itoa(d.Attempts) }},
	{"accepted_at", func(d delivery.Delivery) string { return csvTime(&d.CreatedAt) }},
	{"failed_at", func(d delivery.Delivery) string { return csvTime(d.FailedAt) }},
	{"changed_at", func(d delivery.Delivery) string { return csvTime(d.ChangedAt) }},
	{"settled_at", func(d delivery.Delivery) string { return csvTime(d.SettledAt) }},
	{"settled_by", func(d delivery.Delivery) string { return d.Settlement.Actor }},
	{"category", func(d delivery.Delivery) string { return d.Settlement.Category }},
	{"reason", func(d delivery.Delivery) string { return d.Settlement.Reason }},
	{"until", func(d delivery.Delivery) string { return csvTime(d.Settlement.Until) }},
	{"evidence", func(d delivery.Delivery) string { return d.Settlement.Evidence }},
	{"assignee", func(d delivery.Delivery) string { return d.Case.Assignee }},
	{"ticket", func(d delivery.Delivery) string { return d.Case.Ticket }},
}

func csvTime(at *time.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// failuresCSV is a list as a file for people: of the integrations of which the reader may take something away. Spreadsheets take no cell
// of it for a formula.
func (s *Console) failuresCSV(c echo.Context) error {
	l := web.ReaderOf(c)
	filter, err := consoleFilter(c.QueryParams(), l.Locale)
	if err != nil {
		return err
	}
	filter = exportable(unpaged(l.Mine(filter)), l.Rights.Scope(delivery.PermitExport))
	filter.Limit = delivery.MaxPage
	rows, err := s.store.Failures(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	name := "failures-" + l.Now.UTC().Format("20060102-150405") + ".csv"
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	if err := s.writeCSV(c, filter, rows); err != nil {
		panic(http.ErrAbortHandler) // a file that ends early must not look whole
	}
	return nil
}

// exportable leaves of a filter the integrations that a scope has.
func exportable(f delivery.Filter, scope delivery.Scope) delivery.Filter {
	if scope.All {
		return f
	}
	names := []string{""} // none is called so
	for _, name := range scope.Names {
		if len(f.Integrations) == 0 || slices.Contains(f.Integrations, name) {
			names = append(names, name)
		}
	}
	f.Integrations = names
	return f
}

// writeCSV sends page after page, so that neither memory nor a transaction grows with the list.
func (s *Console) writeCSV(c echo.Context, f delivery.Filter, rows delivery.Page[delivery.Delivery]) error {
	columns := make([]format.Column, len(exportColumns))
	for n, column := range exportColumns {
		columns[n] = format.Column{Name: column.name, Kind: format.KindText}
	}
	spec := delivery.FileFormat{Kind: delivery.FileCSV, Header: true, Guard: true, Encoding: delivery.EncodingUTF8BOM}
	file, err := format.New(c.Response(), spec, columns)
	if err != nil {
		return err
	}
	out, cells := http.NewResponseController(c.Response()), make([][]byte, len(exportColumns))
	for {
		if err := out.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		for _, d := range rows.Items {
			for n, column := range exportColumns {
				cells[n] = []byte(column.value(d))
			}
			if err := file.Write(cells); err != nil {
				return err
			}
		}
		if rows.Next == "" {
			return file.Close()
		}
		f.After = rows.Next
		if rows, err = s.store.Failures(c.Request().Context(), f); err != nil {
			return err
		}
	}
}
