package config

import (
	"fmt"
	"strings"
	"testing"

	"redrive/delivery"
)

func parseTables(source, destination, columns string) (*File, error) {
	quoted := func(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	return Parse("f.yaml", fmt.Appendf(nil, `integrations:
  - name: source
    method: cdc
    cdc: {tables: [{table: %[1]s, columns: %[3]s}]}
    destination: {http: {url: "http://h/"}}
  - name: destination
    method: batch
    batch: {schedule: "@daily", query: SELECT 1}
    destination: {table: {url: "postgres://h/d", table: %[2]s, key: %[3]s, columns: %[3]s, overriding_system_value: true}}
`, quoted(source), quoted(destination), columns), lookup)
}

// TestNamesMeanTheSameEverywhere: tables of a source and of a destination are read alike, and the columns of both stand as they are.
func TestNamesMeanTheSameEverywhere(t *testing.T) {
	const columns = `[Name, '주문 번호', 'a.b', 'say "x"', '"quoted"']`
	for text, want := range map[string][2]string{
		"public.points": {"public", "points"}, "Public.Points": {"public", "points"}, `public."Points"`: {"public", "Points"}, `"a.b"."c.d"`: {"a.b", "c.d"},
		`"say ""x"""."한글 표"`: {`say "x"`, "한글 표"}, "상점.주문": {"상점", "주문"}, `public."select"`: {"public", "select"}, "public.ÄÖ_1$": {"public", "ÄÖ_1$"}, `"P".p`: {"P", "p"},
		"": {}, "a.b.c": {}, "public.": {}, ".points": {}, `public."`: {}, `public.""`: {}, `public."a"b`: {}, "public.a-b": {}, "public.1a": {}, "public. a": {},
		"public." + strings.Repeat("x", 64): {}, `public."` + strings.Repeat("한", 22) + `"`: {},
	} {
		f, err := parseTables(text, text, columns)
		if want[1] == "" {
			if _, err := parseTables(text, "p.p", columns); err == nil || !strings.Contains(err.Error(), "f.yaml line 4: cdc.tables: ") {
				t.Errorf("%s, of a source: %v", text, err)
			}
			if _, err := parseTables("p.p", text, columns); err == nil || !strings.Contains(err.Error(), "f.yaml line 9: ") || !strings.Contains(err.Error(), "table: ") {
				t.Errorf("%s, of a destination: %v", text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		rule, to := f.Integrations[0].CDC.Rules[0], f.Integrations[1].Destination.To.(*delivery.TableDestination)
		if rule.Schema != want[0] || rule.Table != want[1] || to.Schema != want[0] || to.Table != want[1] || !to.Overrides {
			t.Errorf("%s: %q.%q and %q.%q, want %q", text, rule.Schema, rule.Table, to.Schema, to.Table, want)
		}
		names := []string{"Name", "주문 번호", "a.b", `say "x"`, `"quoted"`}
		for i, name := range names {
			if rule.Columns[i] != name || to.Key[i] != name || to.Columns[i] != (delivery.FileColumn{Name: name, From: name}) {
				t.Errorf("%s: %q, %q, %q", name, rule.Columns[i], to.Key[i], to.Columns[i])
			}
		}
		if schema, table, ok := delivery.ParseTableName(delivery.TableName(to.Schema, to.Table)); !ok || schema != want[0] || table != want[1] {
			t.Errorf("%s is written as %s", text, delivery.TableName(to.Schema, to.Table))
		}
	}
	if _, table, ok := delivery.ParseTableName("points"); !ok || table != "points" {
		t.Error("a destination's schema may be left to its database")
	}
}
