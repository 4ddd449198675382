package console

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	"redrive/handlers/web"
)

// column is one of a list's file.
type column[T any] struct {
	name  string
	value func(T) string
}

// file is a list as a file, read page by page, so that neither memory nor a transaction grows with it.
type file[T any] struct {
	name    string
	columns []column[T]
	page    func(after string) (delivery.Page[T], error)
}

// failureColumns are what a list's file says of a failure: no payload, and of errors what pages show.
var failureColumns = []column[delivery.Delivery]{
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

// failuresFile is a list as a file for people: of the integrations of which the reader may take something away.
func (s *Console) failuresFile(write func(echo.Context, file[delivery.Delivery]) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		l, asked := web.ReaderOf(c), given(c)
		filter, err := consoleFilter(c.QueryParams(), l.Locale)
		if err != nil {
			return err
		}
		filter = exportable(unpaged(l.Mine(filter)), l.Rights.Scope(delivery.PermitExport))
		filter.Limit = delivery.MaxPage
		return s.takeAway(c, "failures.export", "failures", asked, func() error {
			return write(c, file[delivery.Delivery]{name: "failures", columns: failureColumns,
				page: func(after string) (delivery.Page[delivery.Delivery], error) {
					filter.After = after
					return s.store.Failures(c.Request().Context(), filter)
				}})
		})
	}
}

// takeAway writes down that somebody takes a list away, and what of it, before the first byte leaves.
func (s *Console) takeAway(c echo.Context, action, list string, asked url.Values, write func() error) error {
	if err := s.Record(c, web.Who(c).ID, action, "export", list, "filter", asked.Encode()); err != nil {
		return err
	}
	return write()
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

// asCSV sends a list as CSV. Spreadsheets take no cell of it for a formula.
func asCSV[T any](c echo.Context, f file[T]) error {
	columns := make([]format.Column, len(f.columns))
	for n, column := range f.columns {
		columns[n] = format.Column{Name: column.name, Kind: format.KindText}
	}
	return sendFile(c, f, "csv", "text/csv; charset=utf-8", func() (rowWriter[T], error) {
		spec := delivery.FileFormat{Kind: delivery.FileCSV, Header: true, Guard: true, Encoding: delivery.EncodingUTF8BOM}
		out, err := format.New(c.Response(), spec, columns)
		cells := make([][]byte, len(columns))
		return rowWriter[T]{close: func() error { return out.Close() }, row: func(row T) error {
			for n, column := range f.columns {
				cells[n] = []byte(column.value(row))
			}
			return out.Write(cells)
		}}, err
	})
}

// asJSON sends a list as JSON with the columns of the CSV, for programs.
func asJSON[T any](c echo.Context, f file[T]) error {
	return sendFile(c, f, "json", echo.MIMEApplicationJSON, func() (rowWriter[T], error) {
		before, out := `{"items":[`, c.Response()
		return rowWriter[T]{
			row: func(row T) error {
				item := make(map[string]string, len(f.columns))
				for _, column := range f.columns {
					item[column.name] = column.value(row)
				}
				text, err := json.Marshal(item)
				if err == nil {
					_, err = io.WriteString(out, before+"\n"+string(text))
				}
				before = ","
				return err
			},
			close: func() error {
				_, err := io.WriteString(out, strings.TrimSuffix(before, ",")+"]}\n")
				return err
			},
		}, nil
	})
}

type rowWriter[T any] struct {
	row   func(T) error
	close func() error
}

// sendFile sends page after page. What is wrong with the first one is still an answer; a file that ends early must not look whole.
func sendFile[T any](c echo.Context, f file[T], ending, kind string, open func() (rowWriter[T], error)) error {
	rows, err := f.page("")
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, kind)
	h.Set(echo.HeaderContentDisposition,
		`attachment; filename="`+f.name+"-"+web.ReaderOf(c).Now.UTC().Format("20060102-150405")+"."+ending+`"`)
	h.Set("Cache-Control", "no-store")
	out, err := open()
	if err == nil {
		err = sendPages(c, f, rows, out)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func sendPages[T any](c echo.Context, f file[T], rows delivery.Page[T], out rowWriter[T]) (err error) {
	patience := http.NewResponseController(c.Response())
	for {
		if err := patience.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		for _, row := range rows.Items {
			if err := out.row(row); err != nil {
				return err
			}
		}
		if rows.Next == "" {
			return out.close()
		}
		if rows, err = f.page(rows.Next); err != nil {
			return err
		}
	}
}
