package format_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	_ "redrive/views/words" // what phrases read like
)

// columns gives each kind one column, named by the letter that stands for it here.
func columns(kinds string) (out []format.Column) {
	byLetter := map[rune]format.Kind{'t': format.KindText, 'n': format.KindNumber, 'b': format.KindBool, 'j': format.KindJSON, 'z': format.KindTime, 'x': format.KindBytes}
	for i, letter := range kinds {
		out = append(out, format.Column{Name: string(rune('a' + i)), Kind: byLetter[letter]})
	}
	return out
}

const null = "\x00null" // no text of Postgres holds a zero byte

func cells(row []string) [][]byte {
	out := make([][]byte, len(row))
	for i, cell := range row {
		if cell != null {
			out[i] = []byte(cell)
		}
	}
	return out
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// write returns the whole file.
func write(t fataler, spec delivery.FileFormat, columns []format.Column, rows ...[]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := format.New(&out, spec, columns)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	for _, row := range rows {
		given := cells(row)
		if err := w.Write(given); err != nil {
			t.Fatalf("Write: %v", err)
		}
		for _, cell := range given { // nothing may be kept
			clear(cell)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if w.Rows() != int64(len(rows)) {
		t.Fatalf("%d rows counted, %d written", w.Rows(), len(rows))
	}
	return out.Bytes()
}

func TestFilesByteForByte(t *testing.T) {
	csv, kv := delivery.FileFormat{Kind: delivery.FileCSV, Header: true}, delivery.FileFormat{Kind: delivery.FileKV}
	json, array := delivery.FileFormat{Kind: delivery.FileJSON}, delivery.FileFormat{Kind: delivery.FileJSON, Array: true}
	with := func(f delivery.FileFormat, change func(*delivery.FileFormat)) delivery.FileFormat {
		change(&f)
		return f
	}
	noHeader := with(csv, func(f *delivery.FileFormat) { f.Header = false })
	renamed := []delivery.FileColumn{{Name: "=sum", From: "b"}, {Name: "이름", From: "a"}}
	for name, tc := range map[string]struct {
		spec  delivery.FileFormat
		kinds string
		rows  [][]string
		want  string
	}{
		"csv":               {csv, "tn", [][]string{{"김철수", "1"}, {`a "b", c`, "-2.50"}, {"", null}, {"x\r\ny", "3"}}, "a,b\r\n김철수,1\r\n\"a \"\"b\"\", c\",-2.50\r\n\"\",\r\n\"x\r\ny\",3\r\n"},
		"csv, one column":   {noHeader, "t", [][]string{{null}, {""}, {`\.`}, {"\ufeffx"}}, "\"\"\r\n\"\"\r\n\"\\.\"\r\n\"\ufeffx\"\r\n"},
		"csv, no rows":      {csv, "tt", nil, "a,b\r\n"},
		"csv, nothing":      {noHeader, "tt", nil, ""},
		"csv, tab":          {with(noHeader, func(f *delivery.FileFormat) { f.Delimiter = '\t' }), "tt", [][]string{{"a,b", "c\td"}}, "a,b\t\"c\td\"\r\n"},
		"csv, mark":         {with(csv, func(f *delivery.FileFormat) { f.Encoding = delivery.EncodingUTF8BOM }), "t", [][]string{{"가"}}, "\ufeffa\r\n가\r\n"},
		"csv, EUC-KR":       {with(csv, func(f *delivery.FileFormat) { f.Encoding = delivery.EncodingEUCKR }), "tt", [][]string{{"가,나", "똠"}}, "a,b\r\n\"\xb0\xa1,\xb3\xaa\",\x8cc\r\n"},
		"csv, columns":      {with(csv, func(f *delivery.FileFormat) { f.Columns = renamed; f.Guard = true }), "tt", [][]string{{"x", "y"}}, "'=sum,이름\r\ny,x\r\n"},
		"csv, guard":        {with(noHeader, func(f *delivery.FileFormat) { f.Guard = true }), "tnnt", [][]string{{"=1+1", "-12.5", "-Infinity", "\r\"x"}, {"＠a", "1e-07", "-", "-1"}}, "'=1+1,-12.5,'-Infinity,\"'\r\"\"x\"\r\n'＠a,1e-07,'-,'-1\r\n"},
		"csv, as they are":  {noHeader, "bzxj", [][]string{{"t", "2026-01-31 12:00:00.5+00", `\x01ff`, `{"a": 1}`}}, "t,2026-01-31 12:00:00.5+00,\\x01ff,\"{\"\"a\"\": 1}\"\r\n"},
		"kv":                {kv, "ttt", [][]string{{"a b", null, ""}, {"가=나", "x", "\"\\\n\r\t\x01\x7f"}, {null, "1", null}, {null, null, null}}, "a=\"a b\" c=\"\"\na=\"가=나\" b=x c=\"\\\"\\\\\\n\\r\\t\\x01\\x7f\"\nb=1\n\n"},
		"kv, columns":       {with(kv, func(f *delivery.FileFormat) { f.Columns = renamed }), "tt", [][]string{{"x", "y"}}, "\"=sum\"=y 이름=x\n"},
		"kv, EUC-KR":        {with(kv, func(f *delivery.FileFormat) { f.Encoding = delivery.EncodingEUCKR; f.Columns = renamed[1:] }), "t", [][]string{{"똠 가"}}, "\xc0\xcc\xb8\xa7=\"\x8cc \xb0\xa1\"\n"},
		"kv, mark":          {with(kv, func(f *delivery.FileFormat) { f.Encoding = delivery.EncodingUTF8BOM }), "t", nil, "\ufeff"},
		"json":              {json, "ntbjt", [][]string{{"1.50", "a\"\\\n\x01\u2028\xff가", "t", "{\"a\":\r\n1.0}", "\u0085"}, {"NaN", null, "f", "null", "-Infinity"}}, "{\"a\":1.50,\"b\":\"a\\\"\\\\\\n\\u0001\\u2028\\ufffd가\",\"c\":true,\"d\":{\"a\":  1.0},\"e\":\"\\u0085\"}\n{\"a\":\"NaN\",\"b\":null,\"c\":false,\"d\":null,\"e\":\"-Infinity\"}\n"},
		"json, long bytes":  {json, "x", [][]string{{`\x` + strings.Repeat("00", 3000)}}, `{"a":"` + strings.Repeat("A", 4000) + "\"}\n"},
		"json, no numbers":  {json, "nnnnnnnn", [][]string{{"007", "1.", "-", "", "1e", "1e+", "0x1", ".5"}}, `{"a":"007","b":"1.","c":"-","d":"","e":"1e","f":"1e+","g":"0x1","h":".5"}` + "\n"},
		"json, bytes":       {json, "xx", [][]string{{`\x`, `\x00ff10`}}, "{\"a\":\"\",\"b\":\"AP8Q\"}\n"},
		"json, array":       {array, "n", [][]string{{"1"}, {"2"}}, "[\n{\"a\":1},\n{\"a\":2}\n]\n"},
		"json, empty array": {array, "n", nil, "[]\n"},
		"json, no rows":     {json, "n", nil, ""},
		"json, columns":     {with(json, func(f *delivery.FileFormat) { f.Columns = renamed }), "tt", [][]string{{"x", "y"}}, "{\"=sum\":\"y\",\"이름\":\"x\"}\n"},
		"json, times": {json, "zzzzzz", [][]string{{"2026-01-31 12:00:00.5+00", "2026-01-31 12:00:00+09", "2026-01-31 12:00:00-05:30", "infinity", "0044-03-15 12:00:00+00 BC", "12026-01-31 12:00:00+00"}, {"1890-01-31 12:00:00+08:27:52", null, "", "-infinity", "2026-01-31 12:00:00", "0001-01-01 00:00:00+00"}},
			`{"a":"2026-01-31T12:00:00.5Z","b":"2026-01-31T12:00:00+09:00","c":"2026-01-31T12:00:00-05:30","d":"infinity","e":"0044-03-15 12:00:00+00 BC","f":"12026-01-31 12:00:00+00"}` + "\n" +
				`{"a":"1890-01-31 12:00:00+08:27:52","b":null,"c":"","d":"-infinity","e":"2026-01-31 12:00:00","f":"0001-01-01T00:00:00Z"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(write(t, tc.spec, columns(tc.kinds), tc.rows...)); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			packed := write(t, with(tc.spec, func(f *delivery.FileFormat) { f.Gzip = true }), columns(tc.kinds), tc.rows...)
			again := write(t, with(tc.spec, func(f *delivery.FileFormat) { f.Gzip = true }), columns(tc.kinds), tc.rows...)
			if !bytes.Equal(packed, again) || !bytes.Equal(packed[4:8], make([]byte, 4)) {
				t.Errorf("the same rows gave %x and %x", packed, again)
			}
			reader, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(reader); err != nil || string(got) != tc.want {
				t.Errorf("unpacked %q: %v", got, err)
			}
		})
	}
}

func TestNewNamesWhatDoesNotFit(t *testing.T) {
	csv := delivery.FileFormat{Kind: delivery.FileCSV, Header: true}
	one := columns("t")
	for want, tc := range map[string]struct {
		spec    delivery.FileFormat
		columns []format.Column
	}{
		`columns: the query answers no column "z"; it answers a`: {delivery.FileFormat{Kind: delivery.FileCSV, Columns: []delivery.FileColumn{{Name: "a", From: "z"}}}, one},
		`columns: the query answers "a" more than once`:          {csv, append(columns("t"), one...)},
		`columns: the name "x" stands twice`:                     {delivery.FileFormat{Kind: delivery.FileKV, Columns: []delivery.FileColumn{{Name: "x", From: "a"}, {Name: "x", From: "b"}}}, columns("tt")},
		`the query answers no columns`:                           {csv, nil},
		`format: "xml" is none of csv, kv, json`:                 {delivery.FileFormat{Kind: "xml"}, one},
		`encoding: json is always utf-8`:                         {delivery.FileFormat{Kind: delivery.FileJSON, Encoding: delivery.EncodingEUCKR}, one},
		`encoding: "latin1" is none of`:                          {delivery.FileFormat{Kind: delivery.FileKV, Encoding: "latin1"}, one},
		`header: only csv`:                                       {delivery.FileFormat{Kind: delivery.FileKV, Header: true}, one},
		`delimiter: only csv`:                                    {delivery.FileFormat{Kind: delivery.FileKV, Delimiter: ';'}, one},
		`guard: only csv`:                                        {delivery.FileFormat{Kind: delivery.FileJSON, Guard: true}, one},
		`array: only json`:                                       {delivery.FileFormat{Kind: delivery.FileKV, Array: true}, one},
		`delimiter: '"' cannot`:                                  {delivery.FileFormat{Kind: delivery.FileCSV, Delimiter: '"'}, one},
		`delimiter: '가' cannot`:                                  {delivery.FileFormat{Kind: delivery.FileCSV, Delimiter: '가'}, one},
		`header, column "😀": EUC-KR has no character U+1F600`:    {delivery.FileFormat{Kind: delivery.FileCSV, Header: true, Encoding: delivery.EncodingEUCKR}, []format.Column{{Name: "😀"}}},
		`header, column "é😀": EUC-KR has no character U+00E9`:    {delivery.FileFormat{Kind: delivery.FileKV, Encoding: delivery.EncodingEUCKR}, []format.Column{{Name: "é😀"}}},
	} {
		_, err := format.New(io.Discard, tc.spec, tc.columns)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}

func TestACellThatCannotBeWrittenIsNamed(t *testing.T) {
	eucKR := delivery.FileFormat{Encoding: delivery.EncodingEUCKR}
	for name, tc := range map[string]struct {
		kind delivery.FileKind
		cell string
		of   format.Kind
		want string
	}{
		"emoji in csv": {delivery.FileCSV, "가나😀?", format.KindText, `row 2, column "a": EUC-KR has no character U+1F600`},
		"no UTF-8":     {delivery.FileCSV, "가\xff", format.KindText, `row 2, column "a": EUC-KR has no character U+FFFD`},
		"é in kv":      {delivery.FileKV, "é", format.KindText, `row 2, column "a": EUC-KR has no character U+00E9`},
		"bytea escape": {delivery.FileJSON, `a\000`, format.KindBytes, `row 2, column "a": these are no bytes in hex form`},
		"bytea torn":   {delivery.FileJSON, `\x0`, format.KindBytes, `row 2, column "a": these are no bytes in hex form`},
	} {
		spec := eucKR
		if spec.Kind = tc.kind; tc.kind == delivery.FileJSON {
			spec.Encoding = ""
		}
		var out bytes.Buffer
		w, err := format.New(&out, spec, []format.Column{{Name: "a", Kind: tc.of}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(cells([]string{null})); err != nil {
			t.Fatal(err)
		}
		err = w.Write(cells([]string{tc.cell}))
		var cell *format.CellError
		if !errors.As(err, &cell) || !strings.HasPrefix(err.Error(), tc.want) || cell.Row != 2 || cell.Column != "a" {
			t.Errorf("%s: got %v, want %s…", name, err, tc.want)
		}
		if again, closed := w.Write(cells([]string{"a"})), w.Close(); again != err || closed != err || w.Rows() != 1 {
			t.Errorf("%s: the file went on: %v, %v, %d rows", name, again, closed, w.Rows())
		}
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ room int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAFullDiskIsAnErrorWhereverItComes(t *testing.T) {
	row := cells([]string{strings.Repeat("길", 10_000)})
	for _, spec := range []delivery.FileFormat{{Kind: delivery.FileCSV}, {Kind: delivery.FileJSON, Gzip: true, Array: true}} {
		for room := range 3 {
			w, err := format.New(&fullDisk{room: room * 5}, spec, columns("t"))
			for range 10 {
				err = errors.Join(err, w.Write(row))
			}
			if err = errors.Join(err, w.Close()); !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d bytes: %v", spec.Kind, room*5, err)
			}
		}
	}
}

func TestAWriterChecksItsUse(t *testing.T) {
	w, err := format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV}, columns("tn"))
	if err != nil {
		t.Fatal(err)
	}
	for column, want := range map[string]string{"z": `control total: the query answers no column "z"`, "a": `control total: column "a" holds no numbers`} {
		if err := w.Sum(column); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := w.Write(cells([]string{"x", "1"})); err != nil || w.Total() != "" {
		t.Errorf("%v, total %q", err, w.Total())
	}
	if err := w.Sum("b"); err == nil {
		t.Error("a total began in the middle")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if w.Write(cells([]string{"x", "1"})) == nil || w.Close() == nil {
		t.Error("a closed file went on")
	}
	w, _ = format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV}, columns("tn"))
	if err := w.Write(cells([]string{"x"})); err == nil || err.Error() != "row 1 has 1 values for 2 columns" {
		t.Errorf("got %v", err)
	}
}

func TestKindOf(t *testing.T) {
	kinds := map[format.Kind][]uint32{
		format.KindNumber: {20, 21, 23, 26, 700, 701, 1700}, format.KindBool: {16}, format.KindJSON: {114, 3802},
		format.KindTime: {1184}, format.KindBytes: {17}, format.KindText: {25, 1043, 1082, 1114, 1186, 790, 2950, 0},
	}
	for want, oids := range kinds {
		if i := slices.IndexFunc(oids, func(oid uint32) bool { return format.KindOf(oid) != want }); i >= 0 {
			t.Errorf("type %d is of kind %d, want %d", oids[i], format.KindOf(oids[i]), want)
		}
	}
}
