package delivery

import (
	"bytes"
	"slices"
	"strings"
)

// separators stand between the fields of a line of CSV.
const separators = ",;\t|"

// columnSpans are the fields of columns in CSV whose first line names them, or else the values of those keys in key=value lines. ok is
// false when no column is there.
func columnSpans(text []byte, columns []string) ([]span, bool) {
	for _, separator := range []byte(separators) {
		if list, ok := csvSpans(text, separator, columns); ok {
			return list, true
		}
	}
	return keyedSpans(text, columns)
}

// csvSpans goes over the text once.
func csvSpans(text []byte, separator byte, columns []string) (list []span, ok bool) {
	text, skipped := cutMark(text)
	var hidden []int
	line, field := 0, 0
	for pos := 0; pos < len(text); {
		end := fieldEnd(text, pos, separator)
		switch {
		case line == 0 && slices.Contains(columns, fieldText(text[pos:end])):
			hidden = append(hidden, field)
		case line > 0 && end > pos && slices.Contains(hidden, field):
			list = append(list, span{pos + skipped, end + skipped})
		}
		pos, field = end+1, field+1
		if end < len(text) && text[end] == separator {
			continue
		}
		if line == 0 && len(hidden) == 0 {
			return nil, false
		}
		if end+1 < len(text) && text[end] == '\r' && text[end+1] == '\n' {
			pos++
		}
		line, field = line+1, 0
	}
	return list, len(hidden) > 0
}

// cutMark leaves out a mark of the order of bytes, and says how long it was.
func cutMark(text []byte) ([]byte, int) {
	rest, _ := bytes.CutPrefix(text, []byte("\uFEFF"))
	return rest, len(text) - len(rest)
}

// fieldEnd is behind the field of CSV that begins at pos. Line ends within quotes belong to it.
func fieldEnd(text []byte, pos int, separator byte) int {
	if pos < len(text) && text[pos] == '"' {
		for pos++; pos < len(text); pos++ {
			if text[pos] != '"' {
				continue
			}
			if pos+1 < len(text) && text[pos+1] == '"' {
				pos++
				continue
			}
			pos++
			break
		}
	}
	for pos < len(text) && text[pos] != separator && text[pos] != '\n' && text[pos] != '\r' {
		pos++
	}
	return pos
}

// fieldText is what a field says.
func fieldText(field []byte) string {
	text := strings.TrimSpace(string(field))
	if len(text) > 1 && text[0] == '"' && strings.HasSuffix(text, `"`) {
		text = strings.ReplaceAll(text[1:len(text)-1], `""`, `"`)
	}
	return text
}

// keyedSpans are the values behind keys and = or : in lines, to the end of the line or to the next & or ;.
func keyedSpans(text []byte, keys []string) (list []span, ok bool) {
	for from := 0; from < len(text); {
		end := len(text)
		if size := bytes.IndexAny(text[from:], "\n\r&;"); size >= 0 {
			end = from + size
		}
		if at := bytes.IndexAny(text[from:end], "=:"); at >= 0 && slices.Contains(keys, fieldText(text[from:from+at])) {
			ok = true
			// what follows a ; or & may belong to the value: to the end of the line nothing is shown
			if size := bytes.IndexAny(text[end:], "\n\r"); size >= 0 {
				end += size
			} else {
				end = len(text)
			}
			if value := from + at + 1; end > value {
				list = append(list, span{value, end})
			}
		}
		from = end + 1
	}
	return list, ok
}
