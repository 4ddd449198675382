package words

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"redrive/delivery"
)

func TestSay(t *testing.T) {
	phrases["test"] = "{count} {count|row|rows}: {name:q}, {list:or} {} {\"a\": 1} {none}"
	t.Cleanup(func() { delete(phrases, "test") })
	some := delivery.Say("test", "count", 2, "name", "a\"b", "list", []delivery.State{"x", "y"})
	for want, p := range map[string]delivery.Phrase{
		`2 rows: "a\"b", x or y {} {"a": 1} {none}`:    some,
		`1 row: "", z {} {"a": 1} {none}`:              delivery.Say("test", "count", 1, "name", "", "list", []string{"z"}),
		"paused by bob: {actor}":                       delivery.Say(delivery.NotePausedWhy, "actor", "bob", "reason", "{actor}"), // what is put in is not read again
		"bob did pause at 2031-01-01T18:04:05Z":        delivery.Say("conflict.who", "actor", "bob", "action", "pause", "at", time.Date(2031, 1, 2, 3, 4, 5, 0, time.FixedZone("KST", 9*3600))),
		`a.newer.key count=3 text="two words" who=bob`: delivery.Say("a.newer.key", "who", "bob", "text", "two words", "count", 3),
		"whatever it is":                               delivery.Verbatim("whatever it is"),
		"":                                             {},
		"The operation is already paused.":             delivery.Say("operation.already", "state", delivery.OperationPaused),
		"nothing of what matches can be acted on: paused 3, expired 1": delivery.Say("nothing_selected.excluded", "why", []string{"paused 3", "expired 1"}),
	} {
		if got := Say(English, p); got != want {
			t.Errorf("%s reads %q, want %q", p, got, want)
		}
	}
	Translations["xx"] = Texts(map[string]string{phrases["held.paused"]: "von {by} angehalten"})
	t.Cleanup(func() { delete(Translations, "xx") })
	if got := Say("xx", delivery.Say("held.paused", "by", "bob")); got != "von bob angehalten" {
		t.Errorf("in another language %q", got)
	}
	if got := Say("xx", delivery.Say("held.probing")); got != phrases["held.probing"] {
		t.Errorf("what another language lacks: %q", got)
	}
}

func TestErrorsSayWhatTheyAreAbout(t *testing.T) {
	mistake := delivery.Mistake("bad_note", "text", "max", 10, "count", 11)
	if mistake.Code != "bad_note" || mistake.Error() != "text: bad_note count=11 max=10" {
		t.Errorf("%+v is logged as %s", mistake, mistake)
	}
	for want, err := range map[string]error{
		"a note has 1 to 10 characters, this one has 11": fmt.Errorf("noting: %w", mistake),
		phrases["reason_required"]:                       &delivery.InputError{Code: "reason_required"},
		phrases["busy"]:                                  errors.Join(errors.New("40001"), &delivery.UnavailableError{Code: "busy"}),
		"ann was faster (retry at 0001-01-01T00:00:00Z). It is pending now, version 3. Look at it again, then decide.": &delivery.ConflictError{
			State: delivery.StatePending, Version: 3, Actor: "ann", Action: "retry"},
		"ann changed this case in the meantime; it has version 2 now. Look at it again, then decide.": &delivery.CaseConflictError{
			By: "ann", Case: delivery.Case{Version: 2}},
	} {
		if got, ok := Of(English, err); got != want || !ok {
			t.Errorf("%v reads %q", err, got)
		}
	}
	if text, ok := Of(English, errors.New("postgres://user:secret@db")); ok || text != "" {
		t.Errorf("an error for the log reads %q", text)
	}
}

func TestEverySearchFieldIsExplained(t *testing.T) {
	for _, field := range delivery.SearchFields {
		if _, known := phrases["search.field."+field.Name]; !known {
			t.Errorf("the field %s has no phrase", field.Name)
		}
	}
}
