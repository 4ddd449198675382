package format

// kv is one record a line, of key=value pairs:
//
//	file   = *record
//	record = [pair *(SP pair)] LF
//	pair   = text "=" text
//	text   = bare / quoted
//	bare   = 1*(any byte but 0x00-0x20, 0x7F, '"', "=", "\")   ; and it does not begin with U+FEFF
//	quoted = '"' *(any byte but 0x00-0x1F, 0x7F, '"', "\" / escape) '"'
//	escape = "\" ('"' / "\" / "n" / "r" / "t" / "x" 2HEXDIG)   ; the last is the byte with that number
//
// NULL has no pair, empty text is "". A record of NULLs only is an empty line. In EUC-KR the grammar holds for the encoded bytes.
type kv struct {
	fields []field
	text   textEncoder
	keys   [][]byte // with what stands around them: " key="
}

func (k *kv) begin(dst []byte) ([]byte, error) {
	k.keys = make([][]byte, len(k.fields))
	for i, f := range k.fields {
		name, problem := k.text.encode([]byte(f.name))
		if !problem.IsZero() {
			return dst, &CellError{Column: f.name, Reason: problem}
		}
		k.keys[i] = append(appendKV([]byte{' '}, name), '=')
	}
	return k.text.begin(dst), nil
}

func (k *kv) row(dst []byte, row [][]byte, number int64) ([]byte, error) {
	space := 1 // the first pair has none before it
	for i := range k.fields {
		f := &k.fields[i]
		if row[f.index] == nil {
			continue
		}
		value, problem := k.text.encode(row[f.index])
		if !problem.IsZero() {
			return dst, &CellError{Row: number, Column: f.name, Reason: problem}
		}
		dst = appendKV(append(dst, k.keys[i][space:]...), value)
		space = 0
	}
	return append(dst, '\n'), nil
}

func (k *kv) end(dst []byte, _ int64) []byte { return dst }

// kvBytes says what a byte asks for: 0 nothing, 'q' quotes, 'x' its number, others this letter behind a backslash.
var kvBytes = func() (table [256]byte) {
	for b := range 0x20 {
		table[b] = 'x'
	}
	table[0x7f] = 'x'
	table[' '], table['='] = 'q', 'q'
	table['"'], table['\\'], table['\n'], table['\r'], table['\t'] = '"', '\\', 'n', 'r', 't'
	return table
}()

func appendKV(dst, text []byte) []byte {
	if kvBare(text) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	from := 0
	for i, b := range text {
		letter := kvBytes[b]
		if letter == 0 || letter == 'q' {
			continue
		}
		dst = append(append(dst, text[from:i]...), '\\', letter)
		if letter == 'x' {
			dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
		}
		from = i + 1
	}
	return append(append(dst, text[from:]...), '"')
}

func kvBare(text []byte) bool {
	for _, b := range text {
		if kvBytes[b] != 0 {
			return false
		}
	}
	return len(text) > 0 && !looksMarked(text)
}
