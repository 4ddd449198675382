package format_test

import (
	"bytes"
	"encoding/base64"
	stdcsv "encoding/csv"
	stdjson "encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/korean"
	"pgregory.net/rapid"

	"redrive/delivery"
	"redrive/delivery/batch/format"
)

var (
	// nasty are the pieces that formats stumble over; a zero byte no text of Postgres holds.
	nasty = []string{"\"", "\"\"", "'", ",", ";", "\t", "|", "=", "\\", "\\n", `\.`, "\n", "\r", "\r\n", " ", "+", "-", "@", "{", "}", "null", "가", "똠", "뷁", "힣",
		"한국어 문장", "😀", "👩‍👩‍👧", "\ufeff", "\u2028", "\u0085", "\x01", "\x1f", "\x7f", "＝", "é", "\ufffd", "0", "x41"}
	pieces = rapid.OneOf(rapid.SampledFrom(nasty), rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8, -1))
	texts  = rapid.Map(rapid.SliceOfN(pieces, 0, 6), func(parts []string) string { return strings.Join(parts, "") })
	long   = rapid.Map(rapid.SampledFrom(nasty), func(s string) string { return strings.Repeat(s, 100_000/len(s)) })
	// often is a text, seldom NULL or longer than every buffer.
	often = rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 60).Draw(t, "which") {
		case 0, 1, 2, 3:
			return null
		case 60:
			return long.Draw(t, "long")
		}
		return texts.Draw(t, "text")
	})
	numbers = rapid.OneOf(rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?`), rapid.StringMatching(`-?[1-9](\.[0-9]{1,16})?e[+-][0-9]{2}`),
		rapid.SampledFrom([]string{"NaN", "Infinity", "-Infinity", null}))
	delimiters = rapid.SampledFrom([]byte(",;\t|:^~ =\\#-.\x01"))
)

func rowsOf(t *rapid.T, cell *rapid.Generator[string], width int) [][]string {
	return rapid.SliceOfN(rapid.SliceOfN(cell, width, width), 0, 20).Draw(t, "rows")
}

// differ returns where two files' cells do, or nothing.
func differ(got, want [][]string) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			return fmt.Sprintf("record %d is %q, want %q", i, got[i], want[i])
		}
	}
	return ""
}

// changed returns rows with each cell changed.
func changed(rows [][]string, change func(string) string) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			out[i] = append(out[i], change(cell))
		}
	}
	return out
}

func TestCSVIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, delimiter := rapid.IntRange(1, 4).Draw(t, "width"), delimiters.Draw(t, "delimiter")
		spec := delivery.FileFormat{Kind: delivery.FileCSV, Delimiter: rune(delimiter), Header: rapid.Bool().Draw(t, "header")}
		rows := rowsOf(t, often, width)
		cols := columns("tttt"[:width])
		file := write(t, spec, cols, rows...)
		if spec.Header {
			rows = append([][]string{strings.Split("abcd"[:width], "")}, rows...)
		}

		want := changed(rows, func(cell string) string {
			if cell == null && width == 1 {
				return ""
			}
			return cell
		})
		if got, err := strictCSV(file, delimiter); err != nil || differ(got, want) != "" {
			t.Fatalf("%v %s in %q", err, differ(got, want), file)
		}
		reader := stdcsv.NewReader(bytes.NewReader(file))
		reader.Comma = rune(delimiter)
		want = changed(rows, func(cell string) string {
			return strings.ReplaceAll(strings.TrimPrefix(cell, null), "\r\n", "\n") // as encoding/csv does in quotes
		})
		if got, err := reader.ReadAll(); err != nil || differ(got, want) != "" {
			t.Fatalf("encoding/csv: %v %s in %q", err, differ(got, want), file)
		}
	})
}

func TestGuardedCellsAreHarmless(t *testing.T) {
	isDangerous := func(cell string) bool { return strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r\n") }
	cell := rapid.Map(rapid.SliceOfN(rapid.OneOf(texts, rapid.SampledFrom([]string{"=", "+", "-", "@", "\t", "\r", "=1+1", "-5", "@SUM(A1)"})), 0, 3),
		func(parts []string) string { return strings.Join(parts, "") })
	rapid.Check(t, func(t *rapid.T) {
		delimiter := delimiters.Draw(t, "delimiter")
		spec := delivery.FileFormat{Kind: delivery.FileCSV, Guard: true, Delimiter: rune(delimiter)}
		row := []string{cell.Draw(t, "text"), numbers.Draw(t, "number")}
		records, err := strictCSV(write(t, spec, columns("tn"), row), delimiter)
		if err != nil || len(records) != 1 || len(records[0]) != 2 {
			t.Fatalf("%v: %q", err, records)
		}
		text, number := records[0][0], records[0][1]
		if isDangerous(text) || strings.HasPrefix(text, "＝") {
			t.Errorf("%q is a formula", text)
		}
		if text != row[0] && text != "'"+row[0] || !isDangerous(row[0]) && !strings.HasPrefix(row[0], "＝") && text != row[0] {
			t.Errorf("%q became %q", row[0], text)
		}
		if want := strings.Replace(row[1], "-Inf", "'-Inf", 1); number != want {
			t.Errorf("the number %q became %q", row[1], number)
		}
	})
}

func TestKVIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(texts, 1, 4, func(s string) string { return s }).Draw(t, "names")
		var cols []format.Column
		for _, name := range names {
			cols = append(cols, format.Column{Name: name})
		}
		rows := rowsOf(t, often, len(names))
		file := write(t, delivery.FileFormat{Kind: delivery.FileKV}, cols, rows...)
		if len(rows) > 0 && bytes.HasPrefix(file, []byte("\ufeff")) {
			t.Fatalf("it begins like a file with a mark: %q", file)
		}
		records, err := readKV(string(file))
		if err != nil || len(records) != len(rows) {
			t.Fatalf("%d records of %d: %v in %q", len(records), len(rows), err, file)
		}
		for i, row := range rows {
			for j, cell := range row {
				if got, there := records[i][names[j]]; there != (cell != null) || there && got != cell {
					t.Fatalf("%q of record %d is %q, want %q, in %q", names[j], i, got, cell, file)
				}
			}
		}
	})
}

// TestKVKeepsEveryByte: text need not be UTF-8.
func TestKVKeepsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		file := write(t, delivery.FileFormat{Kind: delivery.FileKV}, columns("t"), []string{"x" + cell})
		if records, err := readKV(string(file)); err != nil || records[0]["a"] != "x"+cell {
			t.Fatalf("%q: %v from %q", records, err, file)
		}
	})
}

func TestEUCKRIsReadBack(t *testing.T) {
	syllables := rapid.Map(rapid.SliceOfN(rapid.RuneFrom([]rune("漢字、①㈜"), &korea), 1, 5), func(r []rune) string { return string(r) })
	ascii := rapid.StringOfN(rapid.RuneFrom([]rune(" ,;|\"\\=\n\rxn@A")), 0, 3, -1)
	cell := rapid.Map(rapid.SliceOfN(rapid.OneOf(syllables, ascii), 0, 6), func(parts []string) string { return strings.Join(parts, "") })
	decoder := korean.EUCKR.NewDecoder()
	decoded := func(text string) string {
		out, err := decoder.String(text)
		if err != nil {
			panic(err)
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		rows, delimiter := rowsOf(t, cell, 3), delimiters.Draw(t, "delimiter")
		spec := delivery.FileFormat{Kind: delivery.FileCSV, Encoding: delivery.EncodingEUCKR, Delimiter: rune(delimiter)}
		file := write(t, spec, columns("ttt"), rows...)
		byBytes, err := strictCSV(file, delimiter)
		if err != nil || differ(changed(byBytes, decoded), rows) != "" {
			t.Fatalf("read as bytes: %v %s", err, differ(changed(byBytes, decoded), rows))
		}
		byText, err := strictCSV([]byte(decoded(string(file))), delimiter)
		if err != nil || differ(byText, rows) != "" {
			t.Fatalf("read as text: %v %s", err, differ(byText, rows))
		}
		records, err := readKV(string(write(t, delivery.FileFormat{Kind: delivery.FileKV, Encoding: delivery.EncodingEUCKR}, columns("ttt"), rows...)))
		for i, record := range records {
			if got := []string{decoded(record["a"]), decoded(record["b"]), decoded(record["c"])}; !slices.Equal(got, rows[i]) {
				t.Fatalf("kv: %q, want %q", got, rows[i])
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestEUCKRSaysNoOrIsReadBack: there is no third way, such as a question mark.
func TestEUCKRSaysNoOrIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := "x" + texts.Draw(t, "text")
		var out bytes.Buffer
		w, err := format.New(&out, delivery.FileFormat{Kind: delivery.FileKV, Encoding: delivery.EncodingEUCKR}, columns("t"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(cells([]string{cell})); err != nil {
			if _, encoded := korean.EUCKR.NewEncoder().String(cell); encoded == nil || out.Len() > 0 {
				t.Fatalf("%q can be written: %v", cell, err)
			}
			return
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := korean.EUCKR.NewDecoder().Bytes(out.Bytes())
		if records, bad := readKV(string(text)); err != nil || bad != nil || records[0]["a"] != cell {
			t.Fatalf("%q became %q: %v %v", cell, text, err, bad)
		}
	})
}

func TestJSONIsReadBack(t *testing.T) {
	values := rapid.Map(rapid.MapOf(texts, rapid.OneOf(texts, rapid.StringMatching(`[a-z]`))), func(v map[string]string) string {
		text, err := stdjson.MarshalIndent(map[string]any{"a": v, "n": stdjson.Number("1.50")}, "", "\r\n")
		if err != nil {
			panic(err)
		}
		return string(text)
	})
	moments := rapid.Map(rapid.Int64Range(-62135596800*1e6, 253402300799*1e6), func(micros int64) string {
		return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.999999") + "+00"
	})
	octets := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 2000), func(b []byte) string { return fmt.Sprintf(`\x%x`, b) })
	rapid.Check(t, func(t *rapid.T) {
		spec := delivery.FileFormat{Kind: delivery.FileJSON, Array: rapid.Bool().Draw(t, "array")}
		var rows [][]string
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			rows = append(rows, []string{often.Draw(t, "text"), numbers.Draw(t, "number"), rapid.SampledFrom([]string{"t", "f", null}).Draw(t, "bool"),
				values.Draw(t, "json"), moments.Draw(t, "time"), octets.Draw(t, "bytes")})
		}
		for i, object := range objects(t, write(t, spec, columns("tnbjzx"), rows...), spec.Array, len(rows)) {
			sameObject(t, object, rows[i])
		}
	})
}

// objects are those of a file, whose lines are as documented.
func objects(t *rapid.T, file []byte, array bool, rows int) []string {
	if array {
		var all []stdjson.RawMessage
		if err := stdjson.Unmarshal(file, &all); err != nil || len(all) != rows || all == nil {
			t.Fatalf("%d objects of %d: %v in %q", len(all), rows, err, file)
		}
		file = bytes.ReplaceAll(bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimPrefix(file, []byte("[")), []byte("\n")), []byte("]\n")), []byte("},\n"), []byte("}\n"))
	}
	lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	if rows == 0 && string(file) == "" {
		return nil
	}
	if len(lines) != rows || slices.ContainsFunc(lines, func(line string) bool { return !stdjson.Valid([]byte(line)) }) {
		t.Fatalf("%d lines for %d rows in %q", len(lines), rows, file)
	}
	return lines
}

// sameObject reads the object token by token, so that the order of keys counts.
func sameObject(t *rapid.T, object string, row []string) {
	decoder := stdjson.NewDecoder(strings.NewReader(object))
	decoder.UseNumber()
	token(t, decoder)
	for i, name := range strings.Split("abcdef", "") {
		if key := token(t, decoder); key != name {
			t.Fatalf("key %v, want %s, in %s", key, name, object)
		}
		if name == "d" {
			var embedded stdjson.RawMessage
			if err := decoder.Decode(&embedded); err != nil || squeezed(string(embedded)) != squeezed(row[i]) {
				t.Fatalf("%v: %s, want %s", err, embedded, row[i])
			}
			continue
		}
		if got, want := token(t, decoder), valueOf(name, row[i]); got != want {
			t.Fatalf("%s is %v, want %v (%q)", name, got, want, row[i])
		}
	}
	token(t, decoder)
	if _, err := decoder.Token(); err != io.EOF {
		t.Fatalf("something follows: %v in %s", err, object)
	}
}

func token(t *rapid.T, decoder *stdjson.Decoder) stdjson.Token {
	token, err := decoder.Token()
	if err != nil {
		t.Fatalf("no token: %v", err)
	}
	return token
}

func squeezed(text string) string {
	var out bytes.Buffer
	if err := stdjson.Compact(&out, []byte(text)); err != nil {
		return err.Error()
	}
	return out.String()
}

// valueOf is what a column's text should become.
func valueOf(column, text string) any {
	_, err := strconv.ParseFloat(text, 64)
	switch {
	case text == null:
		return nil
	case column == "b" && err == nil && !strings.HasSuffix(text, "y") && text != "NaN":
		return stdjson.Number(text)
	case column == "c":
		return text == "t"
	case column == "e":
		moment, err := time.Parse("2006-01-02 15:04:05.999999-07", text)
		if err != nil {
			return err
		}
		return moment.UTC().Format(time.RFC3339Nano)
	case column == "f":
		octets := make([]byte, len(text)/2-1)
		if _, err := fmt.Sscanf(text, `\x%x`, &octets); err != nil && len(octets) > 0 {
			return err
		}
		return base64.StdEncoding.EncodeToString(octets)
	}
	return text
}

func TestTheControlTotalIsExact(t *testing.T) {
	const scale = 60 // decimals of the sum below
	rapid.Check(t, func(t *rapid.T) {
		w, err := format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV, Columns: []delivery.FileColumn{{Name: "a", From: "a"}}}, columns("tn"))
		if err == nil {
			err = w.Sum("b")
		}
		if err != nil {
			t.Fatal(err)
		}
		sum, most := new(big.Int), 0
		for range rapid.IntRange(0, 30).Draw(t, "rows") {
			digits := rapid.OneOf(rapid.StringMatching(`[0-9]{1,18}`), rapid.SampledFrom([]string{"999999999999999999"}), rapid.StringMatching(`[1-9][0-9]{18,40}`)).Draw(t, "digits")
			sign, decimals := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign"), rapid.IntRange(0, min(20, len(digits)-1)).Draw(t, "decimals")
			whole := strings.TrimLeft(digits[:len(digits)-decimals-1], "0") + digits[len(digits)-decimals-1:] // one digit before the point stays
			value, _ := new(big.Int).SetString(sign+digits+strings.Repeat("0", scale-decimals), 10)
			sum.Add(sum, value)
			most = max(most, decimals)
			if err := w.Write(cells([]string{"x", sign + whole[:len(whole)-decimals] + strings.TrimSuffix("."+whole[len(whole)-decimals:], ".")})); err != nil {
				t.Fatal(err)
			}
			if err := w.Write(cells([]string{"x", null})); err != nil {
				t.Fatal(err)
			}
		}
		text := fmt.Sprintf("%0*d", scale+1, new(big.Int).Abs(sum))
		want := strings.TrimSuffix(text[:len(text)-scale]+"."+text[len(text)-scale:len(text)-scale+most], ".")
		if sum.Sign() < 0 {
			want = "-" + want
		}
		if w.Total() != want {
			t.Fatalf("total %s, want %s", w.Total(), want)
		}
	})
}

func TestControlTotalsOfFloats(t *testing.T) {
	for want, values := range map[string][]string{
		"0":                             {},
		"100000000000000000000.0000001": {"1e+20", "1e-07"},
		"0.3":                           {"0.1", "0.2"},
		"150":                           {"1.5e+02"},
		"18446744073709551614":          slices.Repeat([]string{"9223372036854775807"}, 2),
		"-20000000000000000000":         slices.Repeat([]string{"-500000000000000000"}, 40),
	} {
		w, err := format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV}, columns("n"))
		if err != nil || w.Sum("a") != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			if err := w.Write(cells([]string{value})); err != nil {
				t.Fatal(err)
			}
		}
		if w.Total() != want {
			t.Errorf("%v make %s, want %s", values, w.Total(), want)
		}
		for _, bad := range []string{"NaN", "-Infinity"} {
			w, _ := format.New(io.Discard, delivery.FileFormat{Kind: delivery.FileCSV}, columns("n"))
			_ = w.Sum("a")
			if err := w.Write(cells([]string{bad})); err == nil || !strings.HasPrefix(err.Error(), `row 1, column "a": this is no number`) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
}
