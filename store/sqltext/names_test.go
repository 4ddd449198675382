package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func TestNamesAreBoundOutsideOfTextOnly(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{"SELECT :a, :b, :a", "SELECT $1, $2, $1"},
		{"SELECT '1'::int::text, x::date WHERE d=:a::date", "SELECT '1'::int::text, x::date WHERE d=$1::date"},
		{"SELECT ':a', 'it''s :a', E'\\':a', \":a\" , :b", "SELECT ':a', 'it''s :a', E'\\':a', \":a\" , $1"},
		{"SELECT E'a''\\':a', :b", "SELECT E'a''\\':a', $1"},
		{"-- :a\nSELECT /* :a /* :a */ :a */ :b", "-- :a\nSELECT /* :a /* :a */ :a */ $1"},
		{"SELECT $$ :a $$, $x$ :a $$ $x$, :b", "SELECT $$ :a $$, $x$ :a $$ $x$, $1"},
		{"SELECT array[1,2][1:2], a[i:j], :b", "SELECT array[1,2][1:2], a[i:j], $1"},
		{"SELECT ':a", "SELECT ':a"}, {"SELECT :1, a : b", "SELECT :1, a : b"}, {"", ""},
	} {
		got, names, err := BindNames(tc.query)
		if err != nil || got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.query, got, err, tc.want)
		}
		if n := strings.Count(tc.want, "$1"); n > 0 && len(names) == 0 || slices.Contains(names, "") {
			t.Errorf("%s: names %q", tc.query, names)
		}
	}
	if _, _, err := BindNames("SELECT $1"); err == nil {
		t.Error("a numbered parameter was taken")
	}
	for query, want := range map[string]bool{"SELECT :window_to": true, "SELECT ':window_to', :business_date": false, "": true} {
		if got, err := CheckBatch(query); got != want || err != nil {
			t.Errorf("%q: windowed %v, %v", query, got, err)
		}
	}
	if _, err := CheckBatch("SELECT :window_form"); err == nil || !strings.Contains(err.Error(), ":window_form") {
		t.Errorf("a name without a value: %v", err)
	}
}
