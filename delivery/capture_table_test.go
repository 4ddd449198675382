package delivery

import (
	"fmt"
	"strings"
	"testing"
)

// What expressions name is held against what the stream carries: what can never work, and what works for some changes.
func TestRulesAreCheckedAgainstTheStream(t *testing.T) {
	table := CapturedTable{OID: 1, Name: "public.t", Identity: "d", Key: []int{1}, Old: []int{1}, Columns: []CapturedColumn{
		{Number: 1, Name: "id", Sent: true}, {Number: 2, Name: "v", Sent: true}, {Number: 3, Name: "twice", Generated: true}, {Number: 4, Name: "hidden"}}}
	whole := table
	whole.Identity, whole.Old = "f", []int{1, 2}
	inserts := []RowOperation{OpInsert}
	for _, c := range []struct {
		use        ColumnUse
		operations []RowOperation
		table      CapturedTable
		want       string // begins with never or sometimes; empty: it is as it should be
	}{
		{ColumnUse{Of: "row", Column: "id"}, nil, table, ""},
		{ColumnUse{Of: "row", Column: "none"}, nil, table, "never there is no such column"},
		{ColumnUse{Of: "old", Column: "none"}, nil, whole, "never there is no such column"},
		{ColumnUse{Of: "row", Column: "twice"}, nil, whole, "never the column is generated"},
		{ColumnUse{Of: "row", Column: "hidden"}, nil, whole, "never the publication leaves the column out"},
		{ColumnUse{Of: "key", Column: "v"}, nil, whole, "never the column is not part of the key (id)"},
		{ColumnUse{Of: "key", Column: "id"}, nil, table, ""},
		{ColumnUse{Of: "old", Column: "v"}, nil, table, "sometimes the replica identity does not tell it of old rows"},
		{ColumnUse{Of: "old", Column: "v"}, nil, whole, ""},
		{ColumnUse{Of: "old", Column: "id"}, nil, table, ""},
		{ColumnUse{Of: "row", Column: "v"}, nil, table, "sometimes of a deleted row"},
		{ColumnUse{Of: "row", Column: "v"}, inserts, table, ""},
		{ColumnUse{Of: "row", Column: "v"}, nil, whole, ""},
		{ColumnUse{Of: "changed"}, nil, table, "sometimes the replica identity does not tell old rows"},
		{ColumnUse{Of: "changed"}, nil, whole, ""},
	} {
		c.use.Setting = "when"
		got := ""
		for _, f := range (CDCRule{Line: 12, Operations: c.operations, Uses: []ColumnUse{c.use}}).Findings(c.table) {
			got = map[bool]string{true: "sometimes ", false: "never "}[f.Warning] + f.Err.English()
			if f.What.English() != fmt.Sprint("line 12 of the integrations file: when: ", c.use) {
				t.Error(f.What)
			}
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s of %v: %q, want %q", c.use, c.operations, got, c.want)
		}
	}
	table.Children, table.Filter, table.Outside = []string{"public.child"}, "(v > 1)", []string{"public.t_1"}
	if found := TableFindings(nil, table); len(found) != 3 || !found[0].Warning || !found[1].Warning || !found[2].Warning {
		t.Errorf("%+v", found)
	}
}
