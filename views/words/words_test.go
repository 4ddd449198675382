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
		"the run of 2031-01-02T03:04:05Z failed: the query failed (SQLSTATE 22012)": delivery.Say("run.failed", "at", time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC),
			"why", delivery.Say("query.refused", "state", "22012")),
		"its circuit breaker is open; nobody leads": delivery.Listed([]delivery.Phrase{delivery.Say("held.breaker_open"), delivery.Say("relay.nobody")}),
		"The operation is already paused.":          delivery.Say("operation.already", "state", delivery.OperationPaused),
		"nothing of what matches can be acted on: 3 paused; 1 expired": delivery.Say("nothing_selected.excluded", "why", delivery.Listed([]delivery.Phrase{
			delivery.Say("excluded", "count", 3, "why", delivery.Say("excluded.paused")), delivery.Say("excluded", "count", 1, "why", delivery.Say("excluded.expired"))})),
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

// A language brings its own words between the items of a list, and says what stands within a phrase.
func TestAnotherLanguageSaysAllOfAPhrase(t *testing.T) {
	Translations["xx"] = Texts(map[string]string{"{list} or {next}": "{list} oder {next}", "{list}, {next}": "{list} / {next}", "{list} and {next}": "{list} und {next}",
		phrases["bad_action"]: "möglich: {actions:or}", phrases["run.failed"]: "{why}! ({at})", phrases["query.refused"]: "Abfrage {state}",
		phrases["unknown_action"]: "eins von {known:list}", phrases["payload_ambiguous"]: "{given:and}"})
	t.Cleanup(func() { delete(Translations, "xx") })
	for want, p := range map[string]delivery.Phrase{
		"möglich: a / b oder c": delivery.Say("bad_action", "actions", []string{"a", "b", "c"}),
		"eins von a / b":        delivery.Say("unknown_action", "known", []string{"a", "b"}),
		"eins von ":             delivery.Say("unknown_action", "known", []string{}),
		"a und b":               delivery.Say("payload_ambiguous", "given", []string{"a", "b"}),
		"Abfrage 1! (now)":      delivery.Say("run.failed", "at", "now", "why", delivery.Say("query.refused", "state", 1)),
	} {
		if got := Say("xx", p); got != want {
			t.Errorf("%s reads %q, want %q", p, got, want)
		}
	}
}

// What people hear of an error is all of it, in English the same words as the log has.
func TestWhatIsHeardOfAnError(t *testing.T) {
	closed := delivery.Fault("stream.closed_by_source")
	for text, err := range map[string]error{
		"no route to host":                                             errors.New("no route to host"),
		"the source has closed the connection":                         closed,
		"reading slot a: the source has closed the connection (again)": fmt.Errorf("reading slot a: %w (again)", closed),
		"the source has closed the connection for 2s: the stream was closed, so that the source is not held up": delivery.Fault("stream.stalled", "what", closed, "time", 2*time.Second),
	} {
		heard := delivery.Heard(err)
		if got := Say(English, heard); got != text || got != err.Error() || heard.English() != got {
			t.Errorf("%v is heard as %s, %q", err, heard, got)
		}
		if spoken := errors.Is(err, closed); spoken != heard.Holds(closed.(delivery.Spoken).Phrase()) {
			t.Errorf("%v is heard as %s", err, heard)
		}
	}
	if !delivery.Heard(nil).IsZero() {
		t.Error("no error says something")
	}
	stored, back := delivery.Heard(fmt.Errorf("a\x00: %w", closed)).Storable(), delivery.Phrase{}
	if err := back.Scan(*stored.JSON()); err != nil || !back.Equal(stored) || back.English() != "a\uFFFD: the source has closed the connection" {
		t.Errorf("%s comes back as %s, %v", stored, back, err)
	}
	if back.Scan(nil) != nil || !back.IsZero() {
		t.Errorf("null is %s", back)
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
