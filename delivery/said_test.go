package delivery

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTheWordsOfOthersAreConcealed(t *testing.T) {
	long := strings.Repeat("abc", 1000)
	file, err := json.Marshal(BatchFile{ID: "0192", Name: "a.csv", SHA256: "00"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, payload, words string
		paths                []string
		want                 string
	}{
		{"nothing masked", `{"a":"secret"}`, "no secret", nil, "no secret"},
		{"a text", `{"a":"secret"}`, "no secret", []string{"$.a"}, "no •••"},
		{"a number", `{"a":471100}`, "no 471100", []string{"$.a"}, "no •••"},
		{"a short one, as a word", `{"a":"DE"}`, "DEAD in DE", []string{"$.a"}, "DEAD in •••"},
		{"across the cut", `{"a":"` + long + `"}`, long + " " + long + " " + long, []string{"$.a"}, "••• ••• •••"},
		{"nobody can mask what is no JSON", "<phone>0102345</phone><city>Bonn</city>", "no 0102345 in Bonn, see 7", []string{"$.a"}, "no ••• in •••, see 7"},
		{"rows of a file are not in the message", string(file), "row 7: no secret", []string{"$.a"}, Withheld},
		{"a file without masks", string(file), "row 7: no secret", nil, "row 7: no secret"},
		{"lines and turns", `{}`, " a\r\n\tb\u202e\x00c\x1b[0m\u200b ", nil, "a b c [0m"},
		{"no UTF-8", `{}`, "a\xffb", nil, "a\uFFFDb"},
		{"much", `{}`, strings.Repeat("é ", 9000), nil, strings.TrimSpace(strings.Repeat("é ", 250)) + "…"},
		{"nothing", `{}`, " \n", nil, ""},
	} {
		r := Result{Outcome: OutcomePermanent, Error: "it failed", Words: c.words}
		got := r.Conceal([]byte(c.payload), Masking{Paths: c.paths})
		want := "it failed"
		if c.want != "" {
			want += ": " + c.want
		}
		if got.Error != want || got.Words != "" {
			t.Errorf("%s: %.300q", c.name, got.Error)
		}
		if again := got.Conceal([]byte(c.payload), Masking{Paths: c.paths}); again.Error != got.Error {
			t.Errorf("%s: the second time %q", c.name, again.Error)
		}
		if cause := Cause(ClassHTTP4xx, got.Error); cause != c.want {
			t.Errorf("%s: the cause is %q", c.name, cause)
		}
	}
	if got := (Result{Outcome: OutcomeOK, Words: "thanks"}).Conceal(nil, Masking{}); got.Error != "" || got.Words != "" {
		t.Errorf("%+v", got)
	}
}
