package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"redrive/delivery"
	"redrive/internal/cli/client"
	"redrive/store/storetest/hostile"
)

// asks makes a request as a program does, and looks at the header of the answer: nothing of it is anybody's text, and whatever a browser
// makes of the body, it runs nothing.
func (a *attacked) asks(path string) (*http.Response, []byte) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.url+path, nil)
	a.do(err)
	r.Header.Set("Authorization", "Bearer "+apiToken)
	answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	a.do(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	a.do(err)
	for name, values := range answer.Header {
		if strings.Contains(strings.ToLower(name), hostile.Mark) || name == "Set-Cookie" && strings.Contains(values[0], hostile.Mark) {
			a.t.Errorf("GET %s: the answer has a header %s", short(path), name)
		}
	}
	if h := answer.Header; h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") {
		a.t.Errorf("GET %s: a browser may take it for what it is not: %v", short(path), h)
	}
	return answer, body
}

// answered asks every route of the API, and each of the console for something hostile. Routes of exact bytes hand out files.
func (a *attacked) answered(w *watched, gets []string) {
	a.t.Helper()
	for n, route := range gets {
		path := append(a.filled(route), "/")[0]
		if isAPI(route) {
			if answer, _ := a.asks(path); !strings.Contains(answer.Header.Get("Content-Type"), "json") {
				a.t.Errorf("GET %s is %s", path, answer.Header.Get("Content-Type"))
			}
		}
		a.asks(path + w.asked(a, n))
	}
	for _, path := range []string{"/failures/json", "/ignored/csv", "/ignored/json", "/audit/csv", "/audit/json", "/failures/csv?state=" + strings.Join(anyState(), ","), "/messages/" + a.params["/messages/:id"][0] + "/payload", "/failures/" + a.failures[3] + "/versions/2/payload", "/files/" + a.params["/files/:id"][0] + "/content",
		"/api/v1/files/" + a.params["/files/:id"][0] + "/content"} {
		answer, body := a.asks(path)
		if h := answer.Header; answer.StatusCode != http.StatusOK || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename=") || strings.Contains(h.Get("Content-Type"), "html") {
			a.t.Errorf("GET %s is shown, and not taken away: %d %v", path, answer.StatusCode, h)
		}
		if strings.HasSuffix(path, "/content") {
			a.calculatesNothing(body, len(hostile.Texts()))
		} else if strings.HasPrefix(path, "/failures/csv") {
			a.calculatesNothing(body, len(a.failures))
		} else if strings.HasSuffix(path, "/csv") {
			a.calculatesNothing(body, 1)
		}
	}
}

func anyState() (all []string) {
	for _, state := range delivery.States {
		all = append(all, string(state))
	}
	return all
}

// calculatesNothing checks that no cell of a file of at least so many rows is a formula.
func (a *attacked) calculatesNothing(file []byte, least int) {
	a.t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(rows) <= least {
		a.t.Errorf("%d rows: %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 {
				a.t.Errorf("a spreadsheet calculates %q", cell)
			}
		}
	}
}

// acting are commands that show nothing of what others wrote but in what they refuse.
var acting = []string{"Retry", "Withdraw", "Ignore", "Resolve", "Reopen", "Edit", "Redirect", "Pause", "Resume", "Cancel", "Watch", "Create", "Rotate", "Revoke"}

// commands shows all of it on a terminal, which gets nothing that it would obey; and neither did whoever reads the log.
func (a *attacked) commands() {
	a.t.Helper()
	server := client.Server{URL: a.url, Token: apiToken}
	shown := map[string]bool{}
	for _, format := range []string{"table", "json"} {
		as := client.Output{Output: format}
		list := []interface {
			Run(context.Context, *client.Terminal) error
		}{&client.List{Server: server, Output: as, Selection: client.Selection{What: []string{"state:any"}}, Limit: 100, Sort: "newest"},
			&client.Count{Server: server, Output: format}, &client.Groups{Server: server, Output: as, Sort: "count", Limit: 100}, &client.ListOperations{Server: server, Output: as, Limit: 100}, &client.ListTokens{Server: server, Output: as}}
		for _, id := range a.failures {
			list = append(list, &client.Show{Server: server, ID: id, Output: format})
		}
		for _, id := range a.params["/operations/:id"] {
			one := client.One{Server: server, ID: id}
			list = append(list, &client.ShowOperation{One: one, Output: as}, &client.Items{One: one, Output: as, Limit: 100})
		}
		for _, command := range list {
			shown[reflect.TypeOf(command).Elem().String()] = true
			var out, errs bytes.Buffer
			a.do(command.Run(a.t.Context(), &client.Terminal{Out: &out, Err: &errs}))
			wantsInert(a.t, reflect.TypeOf(command).String(), out.String()+errs.String())
		}
	}
	for _, all := range []any{client.Failures{}, client.Operations{}, client.Tokens{}} {
		for i := range reflect.TypeOf(all).NumField() {
			if f := reflect.TypeOf(all).Field(i); !shown[f.Type.String()] && !slices.Contains(acting, f.Name) {
				a.t.Errorf("the command %s: show what it shows of hostile texts, or say in acting that it shows none", f.Name)
			}
		}
	}
	for _, args := range [][]string{{"doctor"}, {"secret", "list"}, {"audit", "verify"}} {
		p := launch(a.t, args, "DATABASE_URL="+a.dsn)
		p.wait()
		wantsInert(a.t, strings.Join(args, " "), p.output())
	}
	wantsInert(a.t, "the log", a.output())
}

// wantsInert fails the test over what a terminal would obey, or what turns how it reads.
func wantsInert(t *testing.T, where, text string) {
	t.Helper()
	at := strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
	})
	if at >= 0 {
		t.Errorf("%s: a terminal gets %q", where, text[max(at-20, 0):min(at+20, len(text))])
	}
}
