package delivery

import (
	"regexp"
	"strings"
)

// MaxIdentifier is the longest name that Postgres keeps, in bytes.
const MaxIdentifier = 63

var bareName = regexp.MustCompile(`^[a-z_\x{80}-\x{10FFFF}][a-z0-9_$\x{80}-\x{10FFFF}]*$`)

// ParseTableName reads the name of a table as SQL does: schema.table or table, a name without quotes in lower case, any other in
// double quotes, such as public."Order". ok is false for what is none. Columns have no such form: their names stand as they are.
func ParseTableName(text string) (schema, table string, ok bool) {
	table, rest, ok := identifier(text)
	if ok && strings.HasPrefix(rest, ".") {
		schema = table
		table, rest, ok = identifier(rest[1:])
	}
	return schema, table, ok && rest == ""
}

// TableName is what ParseTableName reads; without a schema it is the table alone.
func TableName(schema, table string) string {
	if schema == "" {
		return quoteIdentifier(table)
	}
	return quoteIdentifier(schema) + "." + quoteIdentifier(table)
}

// quoteIdentifier puts a name into quotes where it needs them to be read as it is.
func quoteIdentifier(name string) string {
	if bareName.MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// lower is what Postgres makes of a name without quotes: of ASCII's letters the small ones.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// identifier reads one name and returns what follows it.
func identifier(text string) (name, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexByte(text+".", '.')
		name, rest = lower(text[:end]), text[end:]
		return name, rest, bareName.MatchString(name) && len(name) <= MaxIdentifier
	}
	for rest = text[1:]; ; {
		part, after, closed := strings.Cut(rest, `"`)
		if name += part; !closed {
			return "", "", false
		}
		if !strings.HasPrefix(after, `"`) {
			return name, after, name != "" && len(name) <= MaxIdentifier && !strings.Contains(name, "\x00")
		}
		name, rest = name+`"`, after[1:]
	}
}
