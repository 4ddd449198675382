package format_test

import (
	"bytes"
	stdcsv "encoding/csv"
	stdjson "encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"redrive/delivery"
)

// FuzzFormats: whatever stands in two cells stands in what readers get.
func FuzzFormats(f *testing.F) {
	for _, seed := range [][2]string{{"", "a"}, {"a,b", "\"\r\n"}, {"한글 똠", "😀=\\"}, {"-1.50", "=1+1"}, {"\xcd\xff", "1E11110"}, {"\ufeff", "\u2028\x7f"}, {`\.`, "\xff\xfe"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		row := []string{a, b}
		file := write(t, delivery.FileFormat{Kind: delivery.FileCSV}, columns("tn"), row)
		if got, err := strictCSV(file, ','); err != nil || differ(got, [][]string{row}) != "" {
			t.Errorf("csv: %v %s", err, differ(got, [][]string{row}))
		}
		reader := stdcsv.NewReader(bytes.NewReader(file))
		if got, err := reader.Read(); err != nil || strings.Join(got, "\x00") != strings.ReplaceAll(a+"\x00"+b, "\r\n", "\n") {
			t.Errorf("encoding/csv: %q, %v", got, err)
		}
		file = write(t, delivery.FileFormat{Kind: delivery.FileKV}, columns("tt"), row)
		if got, err := readKV(string(file)); err != nil || len(got) != 1 || got[0]["a"] != a || got[0]["b"] != b {
			t.Errorf("kv: %q, %v", got, err)
		}
		file = write(t, delivery.FileFormat{Kind: delivery.FileJSON}, columns("tn"), row)
		decoder, got := stdjson.NewDecoder(bytes.NewReader(file)), map[string]any{}
		decoder.UseNumber() // a number may be beyond every float
		if err := decoder.Decode(&got); err != nil || utf8.ValidString(a) && got["a"] != a {
			t.Errorf("json: %q, %v", got, err)
		}
		if text, isText := got["b"].(string); isText && utf8.ValidString(b) && text != b {
			t.Errorf("json: %q, want %q", text, b)
		}
	})
}
