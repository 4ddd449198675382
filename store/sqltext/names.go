// Package sqltext reads the text of other people's SQL: the names in it, as psql knows them.
package sqltext

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// BindNames rewrites :name to $n and returns the names in the order of n. Strings, quoted names, comments, casts and slices of
// arrays such as a[1:2] stay what they are.
func BindNames(query string) (statement string, names []string, err error) {
	var out strings.Builder
	for i := 0; i < len(query); {
		if end := opaque(query, i); end > i {
			out.WriteString(query[i:end])
			i = end
			continue
		}
		name := parameterAt(query, i)
		switch {
		case strings.HasPrefix(query[i:], "::"):
			out.WriteString("::")
			i += 2
		case name != "":
			n := slices.Index(names, name)
			if n < 0 {
				n, names = len(names), append(names, name)
			}
			fmt.Fprintf(&out, "$%d", n+1)
			i += 1 + len(name)
		case query[i] == '$' && i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9':
			return "", nil, fmt.Errorf("the query names its parameters, such as :business_date, instead of numbering "+
				"them ($%c)", query[i+1])
		default:
			out.WriteByte(query[i])
			i++
		}
	}
	return out.String(), names, nil
}

// parameterAt returns the name of the parameter that begins at i, without its colon.
func parameterAt(query string, i int) string {
	if query[i] != ':' || i+1 == len(query) || !letter(query[i+1]) || i > 0 && (wordByte(query[i-1]) || query[i-1] == ':') {
		return ""
	}
	end := i + 1
	for end < len(query) && wordByte(query[end]) {
		end++
	}
	return query[i+1 : end]
}

// opaque returns the end of the string, quoted name or comment that begins at i, or i when none does.
func opaque(query string, i int) int {
	rest := query[i:]
	switch {
	case rest[0] == '\'':
		return quotedEnd(query, i, '\'', i > 0 && (query[i-1] == 'e' || query[i-1] == 'E') && (i == 1 || !wordByte(query[i-2])))
	case rest[0] == '"':
		return quotedEnd(query, i, '"', false)
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return i + n
		}
		return len(query)
	case strings.HasPrefix(rest, "/*"):
		return commentEnd(query, i)
	case rest[0] == '$' && (i == 0 || !wordByte(query[i-1])):
		return dollarEnd(query, i)
	}
	return i
}

func quotedEnd(query string, i int, quote byte, escapes bool) int {
	for i++; i < len(query); i++ {
		switch {
		case escapes && query[i] == '\\':
			i++
		case query[i] != quote:
		case i+1 < len(query) && query[i+1] == quote: // doubled: part of the text
			i++
		default:
			return i + 1
		}
	}
	return len(query)
}

// commentEnd knows that comments nest.
func commentEnd(query string, i int) int {
	depth := 0
	for ; i < len(query); i++ {
		switch {
		case strings.HasPrefix(query[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(query[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(query)
}

// dollarEnd is the end of a string such as $$…$$ or $tag$…$tag$.
func dollarEnd(query string, i int) int {
	end := i + 1
	for end < len(query) && wordByte(query[end]) {
		end++
	}
	if end == len(query) || query[end] != '$' || end > i+1 && !letter(query[i+1]) {
		return i
	}
	tag := query[i : end+1]
	if n := strings.Index(query[end+1:], tag); n >= 0 {
		return end + 1 + n + len(tag)
	}
	return len(query)
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func wordByte(c byte) bool { return letter(c) || c >= '0' && c <= '9' }

// Parameters are what a query may name, with their types.
var Parameters = map[string]uint32{"business_date": pgtype.DateOID, "scheduled_at": pgtype.TimestamptzOID,
	"window_from": 5038, "window_to": 5038, "types": pgtype.TextArrayOID} // 5038: pg_snapshot

// CheckBatch reports whether a query names the window, as the events that stand for an empty one do, and refuses names that
// no run gives a value to.
func CheckBatch(query string) (windowed bool, err error) {
	_, names, err := BindNames(query)
	for _, name := range names {
		if _, known := Parameters[name]; !known || name == "types" {
			return false, fmt.Errorf("the query names :%s; it may name :business_date, :scheduled_at, :window_from "+
				"and :window_to", name)
		}
		windowed = windowed || strings.HasPrefix(name, "window_")
	}
	return windowed || query == "", err
}
