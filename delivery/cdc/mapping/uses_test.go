package mapping

import (
	"fmt"
	"strings"
	"testing"

	"redrive/delivery"
)

func TestUses(t *testing.T) {
	for source, want := range map[string]string{
		"row.a > 1 and row['b c'] != old.a":  "row.a row.b c old.a",
		"row?.a ?? get(row, 'b')":            "row.a row.b",
		`"a" in row ? row.a : 7`:             "", // it asks first
		`"a" in unchanged ? 1 : row.a`:       "row.a",
		`"a" in changed`:                     "changed",
		"any([1], row.a == # or key.id > #)": "row.a key.id",
		"row.a.b.c":                          "row.a",
		"row[op]":                            "", // not known before it runs
		"op == 'row.a'":                      "",
		"row.a + row.a":                      "row.a",
		"":                                   "",
		"let r = row.a; r > 1":               "row.a",
	} {
		var got []string
		for _, use := range Uses(delivery.CDCRule{When: source}) {
			got = append(got, fmt.Sprint(use))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s uses %q, want %q", source, got, want)
		}
	}
	uses := fmt.Sprint(Uses(delivery.CDCRule{When: "row.a > 1", Key: "key.b", Payload: `{"x": old.c}`, Type: "x.{{ row.d }}.{{ row.e }}"}))
	if uses != "[row.a key.b old.c row.d row.e]" {
		t.Error(uses)
	}
}
