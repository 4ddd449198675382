package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

const fileDestinations = `integrations:
  - name: points
    method: batch
    batch: {schedule: "30 2 * * *", query: SELECT 1}
    destination:
      file:
        format: csv
        columns: [id, {금액: amount}]
        header: false
        delimiter: ";"
        encoding: euc-kr
        guard: true
        gzip: true
        manifest: true
        timeout: 10m
        to: {sftp: {addr: "h:22", path: /in, user: u, key: id_ed25519, passphrase: "${TOKEN}", known_hosts: kh}}
  - name: ledger
    method: batch
    batch: {schedule: "30 2 * * *", query: SELECT 1}
    destination: {file: {format: csv, to: {dir: "/tmp/${HOST}"}}}
  - name: upload
    method: batch
    batch: {schedule: "30 2 * * *", query: SELECT 1}
    destination:
      file:
        format: json
        array: true
        columns:
          - a
          - b: c
        to: {http: {url: "http://h/in/{name}", method: PUT, secret: "${TOKEN}"}}
  - name: with-password
    method: batch
    batch: {schedule: "30 2 * * *", query: SELECT 1}
    destination: {file: {format: kv, to: {sftp: {addr: "h:22", path: in, user: "${TOKEN}", password: "${TOKEN}", known_hosts: kh}}}}
`

func parseDestinations(text string) (out []delivery.Destination, err error) {
	f, err := Parse("f.yaml", []byte(text), lookup)
	if err != nil {
		return nil, err
	}
	for _, in := range f.Integrations {
		out = append(out, in.Destination)
	}
	return out, nil
}

func TestFileDestinations(t *testing.T) {
	got, err := parseDestinations(fileDestinations)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []delivery.FileDestination{
		{Format: delivery.FileFormat{Kind: delivery.FileCSV, Columns: []delivery.FileColumn{{Name: "id", From: "id"}, {Name: "금액", From: "amount"}},
			Delimiter: ';', Encoding: delivery.EncodingEUCKR, Guard: true, Gzip: true}, Manifest: true, Timeout: 10 * time.Minute,
			SFTP: &delivery.SFTPServer{Addr: "h:22", Path: "/in", User: "u", Key: "id_ed25519", Passphrase: "s3cret: [}", KnownHosts: "kh"}},
		{Format: delivery.FileFormat{Kind: delivery.FileCSV, Header: true, Encoding: delivery.EncodingUTF8}, Dir: "/tmp/127.0.0.1:1", Timeout: time.Minute},
		{Format: delivery.FileFormat{Kind: delivery.FileJSON, Columns: []delivery.FileColumn{{Name: "a", From: "a"}, {Name: "b", From: "c"}}, Array: true, Encoding: delivery.EncodingUTF8},
			Upload: &delivery.HTTPDestination{URL: "http://h/in/{name}", Method: "PUT", Headers: map[string]string{}, Format: delivery.FormatNative, Secret: "s3cret: [}", Timeout: time.Minute}, Timeout: time.Minute},
		{Format: delivery.FileFormat{Kind: delivery.FileKV, Encoding: delivery.EncodingUTF8}, Timeout: time.Minute,
			SFTP: &delivery.SFTPServer{Addr: "h:22", Path: "in", User: "s3cret: [}", Password: "s3cret: [}", KnownHosts: "kh"}},
	} {
		if !reflect.DeepEqual(got[i].To, delivery.Target(&want)) {
			t.Errorf("got  %+v\nwant %+v", got[i].To, delivery.Target(&want))
		}
		if address := got[i].Address(); strings.Contains(address, "s3cret") || address == "" {
			t.Errorf("its address is %q", address)
		}
	}
}

func TestFileDestinationsNameLineAndSetting(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"format: csv\n", "format: xml\n", `f.yaml line 7: format: "xml" is none of csv, kv, json`},
		{"format: csv\n", "format: \"\"\n", "f.yaml line 7: format: missing"},
		{"{file: {format: csv, ", "{file: {", "f.yaml line 20: format: missing"},
		{"format: csv\n", "format: {csv: {}}\n", "f.yaml line 7: format: map was used where string is expected"},
		{"[id, {금액: amount}]", "[]", "f.yaml line 8: columns: the list is empty"},
		{"[id, {금액: amount}]", "[id, {a: b, c: d}]", "f.yaml line 8: columns: each is a column of the query"},
		{"[id, {금액: amount}]", "[id, [amount]]", "f.yaml line 8: columns: each is a column of the query"},
		{"          - b: c", "          - b: \"\"", "f.yaml line 30: columns: each is a column of the query"},
		{"[id, {금액: amount}]", "[id, {id: amount}]", `f.yaml line 8: columns: the name "id" stands twice`},
		{"header: false", "header: perhaps", "f.yaml line 9: header: \"perhaps\" is neither true nor false"},
		{"delimiter: \";\"", "delimiter: \";;\"", `f.yaml line 10: delimiter: ";;" is more than one character`},
		{"delimiter: \";\"", "delimiter: \"\\n\"", `f.yaml line 10: delimiter: '\n' cannot separate cells`},
		{"delimiter: \";\"", "delimiter: x", `f.yaml line 10: delimiter: 'x' cannot separate cells`},
		{"encoding: euc-kr", "encoding: latin-1", `f.yaml line 11: encoding: "latin-1" is none of`},
		{"guard: true", "array: true", "f.yaml line 12: array: only json"},
		{"array: true", "header: true", "f.yaml line 27: header: only csv"},
		{"array: true", "encoding: utf-8-bom", "f.yaml line 27: encoding: json is always utf-8"},
		{"gzip: true", "zip: true", `f.yaml line 13: unknown field "zip"`},
		{"timeout: 10m", "timeout: 2h", "f.yaml line 15: timeout: 2h is not between 1s and 1h0m0s"},
		{"addr: \"h:22\", path: /in", "addr: h, path: /in", "f.yaml line 16: addr: an address such as"},
		{"path: /in, ", "", "f.yaml line 16: path: missing"},
		{"user: u, ", "", "f.yaml line 16: user: missing"},
		{"user: u, key: id_ed25519, passphrase: \"${TOKEN}\"", "user: u", "f.yaml line 16: sftp: a password or a key"},
		{"key: id_ed25519, passphrase", "password: x, passphrase", "f.yaml line 16: passphrase: it opens a key"},
		{", known_hosts: kh", "", "f.yaml line 16: known_hosts: missing"},
		{"known_hosts: kh", "known_hosts: \"${EMPTY}\"", "f.yaml line 16: known_hosts: missing"},
		{"password: \"${TOKEN}\"", "password: \"${EMPTY}\"", "f.yaml line 35: password: missing"},
		{"to: {dir: \"/tmp/${HOST}\"}", "gzip: true", "f.yaml line 20: to: missing"},
		{"to: {dir: \"/tmp/${HOST}\"}", "to: {dir: \"${EMPTY}\"}", "f.yaml line 20: dir: missing"},
		{"to: {dir: \"/tmp/${HOST}\"}", "to: {dir: a, http: {url: \"http://h\"}}", "f.yaml line 20: to: exactly one"},
		{"method: PUT", "timeout: 5s", "f.yaml line 31: timeout: that of a file"},
		{"http://h/in/{name}", "ftp://h/in/{name}", "f.yaml line 31: url: an http://"},
		{"method: batch", "method: outbox", "f.yaml line 4: batch: this block belongs to method batch"},
		{"{file: {format: csv,", "{http: {url: \"http://h\"}, file: {format: csv,", "f.yaml line 20: destination: exactly one"},
	} {
		text := strings.Replace(fileDestinations, tc.from, tc.to, 1)
		if text == fileDestinations {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := parseDestinations(text)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s…", tc.to, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a secret: %v", tc.to, err)
		}
	}
}
