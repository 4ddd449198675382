package handlers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

// Routes, checks and the document follow the table of decisions.
func TestDecisionsHaveTheirRoutesAndWords(t *testing.T) {
	s := newSite(t)
	var routes []string
	for _, r := range s.Echo.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	for _, row := range delivery.Decisions {
		path := "/failures/:id/" + string(row.Action)
		if row.Alone && (!slices.Contains(routes, "POST /api/v1"+path) || !slices.Contains(routes, "POST "+path)) {
			t.Errorf("%s has no route of its own", row.Action)
		}
		if done := delivery.Say("done." + string(row.Action)); row.Alone && web.English(done) == done.String() {
			t.Errorf("nobody is told that %s was done", row.Action)
		}
		if !row.Alone {
			continue
		}
		body := map[string]string{}
		for range row.Required() {
			_, err := api.ParseAction(row.Action, asJSON(t, body), time.Now())
			p, _ := web.Mistake(err)
			if p.Code != row.Missing(body)+"_required" || p.Field != row.Missing(body) {
				t.Errorf("%s without %s: %+v", row.Action, row.Missing(body), p)
			}
			body[row.Missing(body)] = "x"
		}
		if _, err := api.ParseAction(row.Action, asJSON(t, body), time.Now()); err != nil {
			t.Errorf("%s with %v: %v", row.Action, body, err)
		}
	}
	doc := readOpenAPI(t)
	for _, name := range []string{"OperationInput", "Operation"} {
		var schema struct {
			Properties map[string]struct{ Enum []delivery.Action }
		}
		if err := json.Unmarshal(doc.Components["schemas"][name], &schema); err != nil || !slices.Equal(schema.Properties["action"].Enum, delivery.OperationActions) {
			t.Errorf("%s documents %v: %v", name, schema.Properties["action"].Enum, err)
		}
	}
	var action struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(doc.Components["schemas"]["Action"], &action); err != nil {
		t.Fatal(err)
	}
	for _, row := range delivery.Decisions.Alone() {
		for _, asked := range row.Asks {
			if told := action.Properties[asked.Field].Description; asked.Required && (!strings.HasPrefix(told, "Required to ") || !strings.Contains(told, string(row.Action))) {
				t.Errorf("that %s requires %s is not documented: %q", row.Action, asked.Field, told)
			}
		}
	}
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
