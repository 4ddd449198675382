package format

import (
	"bytes"

	"redrive/delivery"
)

// csv is RFC 4180: every line, the last one too, ends with CR LF. A cell is quoted when it holds a delimiter, a quote or a line
// end. NULL is an empty cell, empty text is "". In a file of one column NULL is "" too, as most readers drop empty lines.
type csv struct {
	fields    []field
	text      textEncoder
	delimiter byte
	header    bool
	guard     bool
	special   [256]bool // bytes for which a cell is quoted
}

func newCSV(fields []field, text textEncoder, spec delivery.FileFormat) *csv {
	c := &csv{fields: fields, text: text, delimiter: ',', header: spec.Header, guard: spec.Guard}
	if spec.Delimiter != 0 {
		c.delimiter = byte(spec.Delimiter) // Check lets ASCII pass only
	}
	for _, b := range []byte{c.delimiter, '"', '\r', '\n'} {
		c.special[b] = true
	}
	return c
}

func (c *csv) begin(dst []byte) ([]byte, error) {
	dst = c.text.begin(dst)
	if !c.header {
		return dst, nil
	}
	for i, f := range c.fields {
		var problem delivery.Phrase
		if dst, problem = c.cell(c.separate(dst, i), []byte(f.name), KindText); !problem.IsZero() {
			return dst, &CellError{Column: f.name, Reason: problem}
		}
	}
	return append(dst, "\r\n"...), nil
}

func (c *csv) row(dst []byte, row [][]byte, number int64) ([]byte, error) {
	for i := range c.fields {
		f := &c.fields[i]
		dst = c.separate(dst, i)
		switch cell := row[f.index]; {
		case cell != nil:
			var problem delivery.Phrase
			if dst, problem = c.cell(dst, cell, f.kind); !problem.IsZero() {
				return dst, &CellError{Row: number, Column: f.name, Reason: problem}
			}
		case len(c.fields) == 1:
			dst = append(dst, `""`...)
		}
	}
	return append(dst, "\r\n"...), nil
}

func (c *csv) end(dst []byte, _ int64) []byte { return dst }

func (c *csv) separate(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, c.delimiter)
	}
	return dst
}

func (c *csv) cell(dst, cell []byte, kind Kind) (to []byte, problem delivery.Phrase) {
	guarded := c.guard && dangerous(cell) && !(kind == KindNumber && isNumber(cell))
	cell, problem = c.text.encode(cell)
	if !problem.IsZero() {
		return dst, problem
	}
	plain := c.plain(cell)
	if !plain {
		dst = append(dst, '"')
	}
	if guarded {
		dst = append(dst, '\'')
	}
	if plain {
		return append(dst, cell...), problem
	}
	for at := bytes.IndexByte(cell, '"'); at >= 0; at = bytes.IndexByte(cell, '"') {
		dst = append(append(dst, cell[:at+1]...), '"')
		cell = cell[at+1:]
	}
	return append(append(dst, cell...), '"'), problem
}

// plain reports whether a cell needs no quotes. Old Postgres takes a line \. for the end of a file.
func (c *csv) plain(cell []byte) bool {
	if len(cell) == 0 || looksMarked(cell) || string(cell) == `\.` {
		return false
	}
	for _, b := range cell {
		if c.special[b] {
			return false
		}
	}
	return true
}

// dangerous reports whether a spreadsheet could take a cell for a formula; East Asian ones know the wide signs too.
func dangerous(cell []byte) bool {
	if len(cell) == 0 {
		return false
	}
	switch cell[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		return true
	case 0xef: // the wide signs
		r := []byte("＝＋－＠")
		for ; len(r) > 0; r = r[3:] {
			if bytes.HasPrefix(cell, r[:3]) {
				return true
			}
		}
	}
	return false
}
