package format_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// strictCSV reads RFC 4180 by its letter: nothing but CR LF ends a record, no quote stands in a cell without quotes. NULL is an
// empty cell without quotes. It works on bytes, as a reader that knows nothing of the encoding would.
func strictCSV(file []byte, delimiter byte) (records [][]string, err error) {
	for len(file) > 0 {
		var record []string
		for more := true; more; {
			var cell string
			if cell, file, err = csvCell(file, delimiter); err != nil {
				return nil, err
			}
			record = append(record, cell)
			switch {
			case len(file) > 0 && file[0] == delimiter:
				file = file[1:]
			case bytes.HasPrefix(file, []byte("\r\n")):
				file, more = file[2:], false
			default:
				return nil, fmt.Errorf("record %d ends in %q", len(records)+1, file)
			}
		}
		records = append(records, record)
	}
	return records, nil
}

func csvCell(file []byte, delimiter byte) (string, []byte, error) {
	if file[0] != '"' {
		end := bytes.IndexAny(file, string(delimiter)+"\"\r\n")
		switch {
		case end < 0:
			return "", nil, fmt.Errorf("a cell does not end: %q", file)
		case end == 0:
			return null, file, nil
		}
		return string(file[:end]), file[end:], nil
	}
	var cell []byte
	for file = file[1:]; ; file = file[1:] {
		end := bytes.IndexByte(file, '"')
		if end < 0 {
			return "", nil, fmt.Errorf("a quoted cell does not end: %q", file)
		}
		cell = append(cell, file[:end]...)
		if file = file[end+1:]; len(file) == 0 || file[0] != '"' {
			return string(cell), file, nil
		}
		cell = append(cell, '"')
	}
}

// readKV reads key=value records by the grammar of docs/batch-formats.md.
func readKV(file string) (records []map[string]string, err error) {
	for file != "" {
		line, rest, ended := strings.Cut(file, "\n")
		if !ended {
			return nil, fmt.Errorf("the last record has no line end: %q", line)
		}
		record := map[string]string{}
		for first := true; line != ""; first = false {
			if !first {
				if line[0] != ' ' {
					return nil, fmt.Errorf("no space between pairs at %q", line)
				}
				line = line[1:]
			}
			var key, value string
			if key, line, err = kvText(line); err != nil {
				return nil, err
			}
			if line == "" || line[0] != '=' {
				return nil, fmt.Errorf("no = after %q", key)
			}
			if value, line, err = kvText(line[1:]); err != nil {
				return nil, err
			}
			if _, twice := record[key]; twice {
				return nil, fmt.Errorf("%q stands twice", key)
			}
			record[key] = value
		}
		records, file = append(records, record), rest
	}
	return records, nil
}

func kvText(line string) (text, rest string, err error) {
	if !strings.HasPrefix(line, `"`) {
		end := 0
		for end < len(line) && line[end] > 0x20 && line[end] != 0x7f && !strings.ContainsRune(`"=\`, rune(line[end])) {
			end++
		}
		if end == 0 || strings.HasPrefix(line, "\ufeff") {
			return "", "", fmt.Errorf("no bare text at %q", line)
		}
		return line[:end], line[end:], nil
	}
	var out []byte
	for i := 1; i < len(line); i++ {
		switch b := line[i]; {
		case b == '"':
			return string(out), line[i+1:], nil
		case b < 0x20 || b == 0x7f:
			return "", "", fmt.Errorf("a bare control character at %q", line[i:])
		case b != '\\':
			out = append(out, b)
		case i+3 < len(line) && line[i+1] == 'x':
			code, err := strconv.ParseUint(line[i+2:i+4], 16, 8)
			if err != nil {
				return "", "", err
			}
			out, i = append(out, byte(code)), i+3
		case i+1 < len(line) && strings.IndexByte(`"\nrt`, line[i+1]) >= 0:
			out, i = append(out, map[byte]byte{'"': '"', '\\': '\\', 'n': '\n', 'r': '\r', 't': '\t'}[line[i+1]]), i+1
		default:
			return "", "", fmt.Errorf("no escape at %q", line[i:])
		}
	}
	return "", "", fmt.Errorf("quotes are not closed in %q", line)
}
