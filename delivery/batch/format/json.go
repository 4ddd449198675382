package format

import (
	"unicode/utf8"

	"redrive/delivery"
)

const hexDigits = "0123456789abcdef"

// json is one object a line, or one array of them, keys in the order of the columns. Numbers and JSON values stand as Postgres
// writes them, NaN and Infinity as strings, bytes as Base64, times with a zone in RFC 3339; or, as text, every value is a string of what
// Postgres writes. It is UTF-8 always.
type json struct {
	fields []field
	keys   [][]byte // with what stands around them: {"key": or ,"key":
	array  bool
	text   bool
}

func newJSON(fields []field, spec delivery.FileFormat) *json {
	j := &json{fields: fields, array: spec.Array, text: spec.Text}
	for i, f := range fields {
		key := []byte{','}
		if i == 0 {
			key[0] = '{'
		}
		j.keys = append(j.keys, append(appendString(key, []byte(f.name)), ':'))
	}
	return j
}

func (j *json) begin(dst []byte) ([]byte, error) {
	if j.array {
		dst = append(dst, '[')
	}
	return dst, nil
}

func (j *json) row(dst []byte, row [][]byte, number int64) ([]byte, error) {
	if j.array {
		if number > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
	}
	for i := range j.fields {
		f := &j.fields[i]
		if j.text && !utf8.Valid(row[f.index]) {
			return dst, &CellError{
				Row:    number,
				Column: f.name,
				Reason: delivery.Say("file.cell.no_text"),
			}
		}
		kind := f.kind
		if j.text {
			kind = KindText
		}
		var ok bool
		if dst, ok = appendValue(append(dst, j.keys[i]...), row[f.index], kind); !ok {
			return dst, &CellError{
				Row:    number,
				Column: f.name,
				Reason: delivery.Say("file.cell.no_bytes"),
			}
		}
	}
	dst = append(dst, '}')
	if !j.array {
		dst = append(dst, '\n')
	}
	return dst, nil
}

func (j *json) end(dst []byte, rows int64) []byte {
	switch {
	case !j.array:
		return dst
	case rows == 0:
		return append(dst, "]\n"...)
	}
	return append(dst, "\n]\n"...)
}

// appendValue returns false for bytes that cannot be read.
func appendValue(dst, cell []byte, kind Kind) ([]byte, bool) {
	switch {
	case cell == nil:
		return append(dst, "null"...), true
	case kind == KindNumber && isNumber(cell):
		return append(dst, cell...), true
	case kind == KindBool && string(cell) == "t":
		return append(dst, "true"...), true
	case kind == KindBool && string(cell) == "f":
		return append(dst, "false"...), true
	case kind == KindJSON:
		return appendOneLine(dst, cell), true
	case kind == KindTime:
		return appendTime(dst, cell), true
	case kind == KindBytes:
		dst, ok := appendBase64(append(dst, '"'), cell)
		return append(dst, '"'), ok
	}
	return appendString(dst, cell), true
}

// appendOneLine makes line ends spaces: in a JSON value they stand between tokens only.
func appendOneLine(dst, value []byte) []byte {
	start := len(dst)
	dst = append(dst, value...)
	for i, b := range dst[start:] {
		if b == '\n' || b == '\r' {
			dst[start+i] = ' '
		}
	}
	return dst
}

// jsonBytes says what an ASCII byte asks for in a string: 0 nothing, 'u' its number, others this letter behind a backslash.
var jsonBytes = func() (table [utf8.RuneSelf]byte) {
	for b := range 0x20 {
		table[b] = 'u'
	}
	table['"'], table['\\'], table['\n'], table['\r'], table['\t'] = '"', '\\', 'n', 'r', 't'
	return table
}()

// appendString makes a JSON string. Bytes that are no UTF-8 become U+FFFD; line ends that only Unicode knows are escaped, as
// some readers split at them.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	from, i := 0, 0
	for i < len(text) {
		b := text[i]
		if b < utf8.RuneSelf && jsonBytes[b] == 0 {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = appendEscape(append(dst, text[from:i]...), b)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if escaped := escapedRune(r, size); escaped != "" {
			dst = append(append(dst, text[from:i]...), escaped...)
			from = i + size
		}
		i += size
	}
	return append(append(dst, text[from:]...), '"')
}

func appendEscape(dst []byte, b byte) []byte {
	if letter := jsonBytes[b]; letter != 'u' {
		return append(dst, '\\', letter)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}

func escapedRune(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return `\ufffd`
	case r == '\u0085':
		return `\u0085`
	case r == '\u2028':
		return `\u2028`
	case r == '\u2029':
		return `\u2029`
	}
	return ""
}
