package tablesend

import (
	"reflect"
	"strings"

	"redrive/delivery"
	"redrive/delivery/form"
)

// Kind is the destination table.
var Kind = form.Destination{
	Name:  "table",
	Block: form.Reads(readBlock),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.TableDestination), m.Files, m.Tables), nil
	},
	Batch: form.Batch{
		As:     "a table",
		Only:   "a table takes the rows of a batch",
		NoRows: "a table gets nothing from a run without rows",
	},
	Least: `{url: "postgres://h/d", table: t, key: [id]}`,
	Pages: []form.Page{{Where: "`destination.table`", Of: reflect.TypeFor[Block](), Settings: []form.Setting{
		{Name: "url", Required: true, Help: "`postgres://…`"},
		{Name: "table", Required: true, Help: "schema.table, read as SQL reads it: `public.points`, `public.\"Points\"`"},
		{Name: "key", Required: true, Help: "columns of a unique constraint by which rows are replaced"},
		{Name: "columns", Help: "of the query, or `{column of the table: column}`; none: all"},
		{
			Name:     "overriding_system_value",
			Standard: "false",
			Help:     "values of the file go into columns that are `GENERATED ALWAYS AS IDENTITY`",
		},
		{Name: "timeout", Standard: "1m", Help: "of a whole run, 1s to 1h"},
	}}},
}

// Block is a table as written.
type Block struct {
	URL     string        `yaml:"url"`
	Table   string        `yaml:"table"`
	Key     []string      `yaml:"key"`
	Columns []form.Column `yaml:"columns"`
	Timeout string        `yaml:"timeout"`
	// into GENERATED ALWAYS AS IDENTITY
	OverridingSystemValue form.Truth `yaml:"overriding_system_value"`
}

func readBlock(r *form.Reader, path string, b *Block) delivery.Target {
	d := &delivery.TableDestination{URL: r.Required(path, "url", b.URL), Key: b.Key, Columns: r.Columns(path, b.Columns),
		Overrides: bool(b.OverridingSystemValue)}
	name, ok := r.Required(path, "table", b.Table), false
	if d.Schema, d.Table, ok = delivery.ParseTableName(name); !ok && name != "" {
		r.Fail(path+"table",
			"table: %q is no table such as public.orders; quote a name of other letters, as in public.\"Order\"", name)
	}
	d.Timeout = r.Transfer(path+"timeout", b.Timeout)
	if !form.PostgresURL(d.URL) {
		r.Fail(path+"url", "url: an address such as postgres://user:password@host:5432/database is needed")
	}
	if len(b.Key) == 0 {
		r.Fail(strings.TrimSuffix(path, "."),
			"key: missing; write key: [column], the columns of a unique constraint by which rows are replaced")
	}
	return d
}
