package views

import (
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// Buttons and forms follow the table of decisions, and each decision has words of its own.
func TestDecisionsHaveTheirButtonsFormsAndWords(t *testing.T) {
	l := Locale{Lang: "en", Zone: time.UTC, Now: time.Now()}
	said := map[string]delivery.Action{}
	for _, row := range delivery.Decisions.Many() {
		a := row.Action
		form := OperationForm{ActionForm: ActionForm{Action: a}}
		for _, text := range []string{l.asking(a), l.Consequence(a), l.question(a), l.possible(a, 2)} {
			if other, known := said[text]; text == "" || known && other != a {
				t.Errorf("%s is called %q, as %s is", a, text, other)
			}
			said[text] = a
		}
		var html strings.Builder
		if err := operationFields(Layout{Locale: l}, form).Render(t.Context(), &html); err != nil {
			t.Fatal(err)
		}
		for _, asked := range row.Asks {
			_, after, found := strings.Cut(html.String(), `name="`+asked.Field+`"`)
			if tag, _, _ := strings.Cut(after, ">"); !found || asked.Required != strings.Contains(tag, "required") {
				t.Errorf("%s asks for %s: %t, tag %q", a, asked.Field, found, tag)
			}
		}
		if deed := "delivery." + string(a); l.Deed(deed) == deed {
			t.Errorf("the audit has no words for %s", a)
		}
	}
	for _, row := range delivery.Decisions.Alone() {
		for _, from := range row.From {
			p := FailuresPage{Items: []delivery.Delivery{{State: from}}}
			if !slices.Contains(possible(from), row.Action) || row.Many && !slices.Contains(p.actions(), row.Action) {
				t.Errorf("%s is not offered in %s", row.Action, from)
			}
		}
		if l.DoneAction(string(row.Action)) == string(row.Action) {
			t.Errorf("who is second is told %q", row.Action)
		}
	}
}
