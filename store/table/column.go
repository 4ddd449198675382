package table

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
)

// column is how the values of one column of the file get into one of the table.
type column struct {
	name   string
	source string // type in the file, for people
	target targetColumn
	read   reading // makes of what the file has what value takes; nil: the same
	value  string  // SQL: the column's value, of what the file has (named in)
	kept   string  // SQL: whether that value (named out) is still the one of the file
}

// In the SQL of a column.
const (
	in  = "$in"
	out = "$out"
)

// fill puts names into the SQL of a column.
func fill(sql, given, made string) string {
	return strings.NewReplacer(in, given, out, made).Replace(sql)
}

// written is a value in the words of its own type's output, which a cast to text is not for each type.
func written(sql string) string { return "pg_catalog.concat(" + sql + ")" }

const catalog = "pg_catalog."

var (
	numbers = []string{"int2", "int4", "int8", "numeric", "float4", "float8"}
	strung  = []string{"text", "varchar", "bpchar", "name", "char", "unknown"}
	// padded are types of which two values are the same although they are not written the same way: with more zeros or blanks.
	padded = []string{"numeric", "bpchar", "_numeric", "_bpchar"}
	// exact are types that read each notation of a value, and nothing else, without a loss.
	exact = []string{"uuid", "inet", "cidr", "macaddr", "macaddr8", "pg_lsn", "tsquery", "jsonpath", "json", "jsonb", "bytea"}
)

// canonical is the name of a built-in type without the quotes that SQL's own names are given, such as "time".
func canonical(kind string) string {
	if name, builtIn := strings.CutPrefix(kind, catalog); builtIn {
		return catalog + strings.Trim(name, `"`)
	}
	return kind
}

func is(kind string, list []string) bool {
	name, builtIn := strings.CutPrefix(kind, catalog)
	return builtIn && slices.Contains(list, name)
}

// stringy reports whether values of a type are their own notation.
func stringy(kind string) bool { return is(kind, strung) || strings.HasSuffix(kind, ".citext") }

// plan decides how values of type kind (of the file; empty: the file does not say) get into a column.
func (w *writer) plan(ctx context.Context, name, kind string) (c column, err error) {
	kind = canonical(kind)
	c = column{name: name, source: strings.TrimPrefix(kind, catalog), target: w.target.columns[name]}
	base := c.target.base
	switch {
	case kind == "":
		c.source = "which the file does not name"
		c.read = legacy{base}.read
	case kind == delivery.TypeMessageValue:
		c.read = messageValue{base}.read
	case kind == delivery.TypeMessagePayload && base == catalog+"bytea":
		kind = base
	case kind == delivery.TypeMessagePayload:
		c.read, kind = payload, catalog+"text"
	}
	switch {
	case c.read != nil && kind != catalog+"text" && !stringy(base), stringy(kind) && !stringy(base),
		kind == catalog+"json" && base == catalog+"jsonb":
		c.notation()
		return c, nil
	case c.read != nil:
		kind = catalog + "text"
	}
	if kind == base {
		c.same()
		return c, nil
	}
	return c, w.convert(ctx, &c, kind)
}

// convert is for two types that differ.
func (w *writer) convert(ctx context.Context, c *column, kind string) error {
	known, err := resolve(ctx, w.tx, kind)
	if err != nil || !known {
		c.identical()
		return err
	}
	switch fits, err := w.target.assignable(ctx, w.tx, kind, c.name); {
	case err != nil:
		return err
	case !fits:
		return &refused{
			1,
			c.name,
			&DataError{
				fmt.Sprintf("Postgres puts no value of type %s into a column of type %s; write a cast into the query",
					c.source, c.target.kind),
			},
		}
	case is(kind, numbers) && is(c.target.base, numbers):
		c.number(kind)
		return nil
	case stringy(c.target.base):
		c.text(kind)
		return nil
	}
	back, err := parses(ctx, w.tx, fmt.Sprintf("SELECT (NULL::%s)::%s", c.target.kind, kind))
	c.cast(kind, back)
	return err
}

// same: the type is the column's. It may have limits there, and its values another meaning, such as money's or an enum's.
func (c *column) same() {
	base := c.target.base
	c.value = in + "::" + base + "::" + c.target.kind
	c.kept = fmt.Sprintf("%s = %s", written(in+"::"+base), in)
	if is(base, padded) {
		c.kept += fmt.Sprintf(" AND %s::%s = %s::%s", out, base, in, base)
	} else {
		c.kept += fmt.Sprintf(" AND %s = %s", written(out), in)
	}
}

// number: what the column has is the number of the file, exactly.
func (c *column) number(kind string) {
	base := c.target.base
	decimal := written(out) + "::numeric = " + in + "::numeric"
	switch narrow := kind == catalog+"float8" && base == catalog+"float4"; {
	case narrow || kind == catalog+"float4" && base == catalog+"float8": // of which the decimals are not the number
		c.value, c.kept = in+"::"+kind+"::"+c.target.kind, fmt.Sprintf("%s::%s = %s::%s", out, kind, in, kind)
	case strings.HasPrefix(kind, catalog+"int"): // so do large whole numbers in few digits
		c.value, c.kept = in+"::"+kind+"::"+c.target.kind, fmt.Sprintf("%s::%s = %s::%s", out, kind, in, kind)
	case base == catalog+"numeric" || strings.HasPrefix(base, catalog+"float"): // a cast would round to 15 digits
		c.value, c.kept = in+"::"+base+"::"+c.target.kind, decimal
	default:
		c.value, c.kept = in+"::"+kind+"::"+c.target.kind, decimal
	}
}

// text: what Postgres makes text of is there, to its end. Blanks at the end mean nothing in char(n).
func (c *column) text(kind string) {
	as := "::text"
	if c.target.base == catalog+"bpchar" {
		as = "::text::pg_catalog.bpchar"
	}
	c.value = in + "::" + kind + "::" + c.target.kind
	c.kept = fmt.Sprintf("%s = %s AND %s%s = %s::%s%s", written(in+"::"+kind), in, out, as, in, kind, as)
}

// cast: Postgres has a cast. What comes back by the other one is what was there.
func (c *column) cast(kind string, back bool) {
	c.value = in + "::" + kind + "::" + c.target.kind
	c.kept = fmt.Sprintf("%s = %s", written(in+"::"+kind), in)
	again := out + "::" + kind
	if !back {
		again = written(out) + "::" + kind
	}
	if is(kind, padded) {
		c.kept += fmt.Sprintf(" AND %s = %s::%s", again, in, kind)
	} else {
		c.kept += fmt.Sprintf(" AND %s = %s", written(again), in)
	}
}

// identical: there is no such type here, or none that goes into the column; the same text may.
func (c *column) identical() {
	c.value = in + "::" + c.target.kind
	c.kept = written(out) + " = " + in
}

// notation: people and programs write one value in several ways, and some types read more than they keep.
func (c *column) notation() {
	base := c.target.base
	read := c.read
	if read == nil {
		read = asIs
	}
	c.read = read.fitting(base)
	switch name := strings.TrimPrefix(base, catalog); {
	case is(base, numbers):
		c.number(catalog + "numeric")
	case base == catalog+"bool":
		c.identical()
		c.kept += " OR " + out + "::text = " + in
	case shapes[name] != nil && name != "bytea":
		c.value = in + "::" + base + "::" + c.target.kind
		c.kept = fmt.Sprintf("%s = %s", written(out), written(in+"::"+base))
	case c.target.enum || is(base, exact):
		c.value, c.kept = in+"::"+base+"::"+c.target.kind, "true"
	default:
		c.identical()
	}
}

// altered is what people see of a value that would not be kept.
func (c *column) altered() string {
	return fmt.Sprintf("the column's type %s does not keep this value, of type %s, as it is: it would be cut, "+
		"rounded or read as something else", c.target.kind, c.source)
}

// refused is a value that does not get into its column.
type refused struct {
	row    int64
	column string // empty: it is the row
	cause  error
}

func (e *refused) Error() string { return e.place() + e.cause.Error() }
func (e *refused) Unwrap() error { return e.cause }

func (e *refused) place() string {
	if e.column == "" {
		return fmt.Sprintf("row %d: ", e.row)
	}
	return fmt.Sprintf("row %d, column %q: ", e.row, e.column)
}
