package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

const batches = `integrations:
  - name: points
    method: batch
    batch:
      schedule: "30 2 * * *"
      time_zone: Asia/Seoul
      query: SELECT 1 AS amount
      url: postgres://u:${TOKEN}@h/d
      missed: skip
      business_date: same-day
      empty: send
      name: "{sequence}-{integration}.{ext}"
      control_total: amount
      acknowledgement: {dir: /answers, every: 5s}
    destination: {file: {format: csv, to: {dir: /out}}}
  - name: events
    method: batch
    subscribe: [points.earned]
    batch: {schedule: "@daily", start: beginning, per: row, key: id}
    destination: {http: {url: "http://${HOST}/"}}
  - name: table
    method: batch
    batch: {schedule: "0 * * * *", query: SELECT 1}
    destination: {table: {url: "postgres://u:${TOKEN}@h:5432/d?x=1", table: p.points, key: [id], columns: [id, {n: name}], timeout: 2m}}
`

func TestBatches(t *testing.T) {
	text := strings.ReplaceAll(batches, "${TOKEN}", "t0ken")
	f, err := Parse("f.yaml", []byte(text), lookup)
	if err != nil {
		t.Fatal(err)
	}
	seoul, _ := time.LoadLocation("Asia/Seoul")
	for name, pair := range map[string][2]any{
		"points": {*f.Integrations[0].Batch, delivery.BatchSettings{Schedule: "30 2 * * *", Location: seoul, Query: "SELECT 1 AS amount",
			URL: "postgres://u:t0ken@h/d", Start: delivery.StartNow, Missed: delivery.MissedSkip, SameDay: true, SendEmpty: true,
			Name: "{sequence}-{integration}.{ext}", ControlTotal: "amount", Per: delivery.PerFile,
			Acknowledgement: &delivery.AcknowledgementSettings{Dir: "/answers", Every: 5 * time.Second}}},
		"events": {*f.Integrations[1].Batch, delivery.BatchSettings{Schedule: "@daily", Location: time.UTC, Start: delivery.StartBeginning,
			Missed: delivery.MissedCatchUp, Name: delivery.DefaultBatchName, Per: delivery.PerRow, Key: "id"}},
		"table": {*f.Integrations[2].Destination.To.(*delivery.TableDestination), delivery.TableDestination{URL: "postgres://u:t0ken@h:5432/d?x=1", Schema: "p", Table: "points",
			Key: []string{"id"}, Columns: []delivery.FileColumn{{Name: "id", From: "id"}, {Name: "n", From: "name"}}, Timeout: 2 * time.Minute}},
		"address": {f.Integrations[2].Destination.Address(), "h:5432/d p.points"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", name, pair[0], pair[1])
		}
	}
}

func TestBatchesNameLineAndSetting(t *testing.T) {
	text := strings.ReplaceAll(batches, "${TOKEN}", "s3cret")
	for _, tc := range []struct{ from, to, want string }{
		{"schedule: \"30 2 * * *\"", "schedule: \"30 2 * *\"", "f.yaml line 5: batch.schedule: \"30 2 * *\" is no schedule"},
		{"Asia/Seoul", "Asia/Soul", "f.yaml line 6: batch.time_zone: \"Asia/Soul\" is no time zone"},
		{"      query: SELECT 1 AS amount\n", "", "f.yaml line 5: batch: what is to be sent?"},
		{"    subscribe: [points.earned]\n", "", "f.yaml line 18: batch: what is to be sent?"},
		{"    batch:\n      schedule", "    subscribe: [a]\n    batch:\n      schedule", "f.yaml line 8: batch.query: the integration subscribes"},
		{"postgres://u:s3cret@h/d\n", "http://u:s3cret@h/d\n", "f.yaml line 8: batch.url: an address"},
		{"missed: skip", "missed: never", "f.yaml line 9: batch.missed: \"never\" is neither"},
		{"same-day", "today", "f.yaml line 10: batch.business_date"},
		{"empty: send", "empty: x", "f.yaml line 11: batch.empty"},
		{"{sequence}-", "", "f.yaml line 12: batch.name: {sequence} is missing"},
		{"{sequence}-", "{sequence}/", "f.yaml line 12: batch.name: \"{sequence}/"},
		{"{sequence}-", "{sequence}{x}", "f.yaml line 12: batch.name: \"{sequence}{x}"},
		{"every: 5s", "every: 5", "f.yaml line 14: batch.acknowledgement.every"},
		{"{dir: /answers, ", "{dir: /answers, sftp: {addr: \"h:22\", path: x, user: u, password: p, known_hosts: k}, ", "f.yaml line 14: batch.acknowledgement: dir or sftp"},
		{"destination: {file: {format: csv, to: {dir: /out}}}", "destination: {http: {url: \"http://h\"}}", "f.yaml line 14: batch.acknowledgement: it answers files"},
		{"    destination: {file", "    ordered: true\n    destination: {file", "f.yaml line 15: ordered: files carry"},
		{"per: row, key: id", "key: id", "f.yaml line 19: batch.key: single rows"},
		{"query: SELECT 1}", "query: SELECT 1, per: row}", "f.yaml line 23: batch.per: row by row"},
		{"key: [id], ", "", "f.yaml line 24: key: missing"},
		{"{url: \"postgres:", "{url: \"mysql:", "f.yaml line 24: url: an address"},
		{"destination: {http: {url: \"http://${HOST}/\"}}", "destination: {redis: {addr: \"h:1\", channel: c}}", "f.yaml line 19: batch.per"},
		{"{table: {url", "{redis: {addr: \"h:1\", channel: c}, table: {url", "f.yaml line 24: destination: exactly one"},
		{"per: row, key: id}", "per: row, key: id, empty: send}", "f.yaml line 19: batch.empty: row by row"},
		{"query: SELECT 1}", "query: SELECT 1, empty: send}", "f.yaml line 23: batch.empty: a table"},
		{"    method: batch\n    batch:\n", "    method: outbox\n    batch:\n", "f.yaml line 5: batch: this block belongs to method batch"},
	} {
		changed := strings.Replace(text, tc.from, tc.to, 1)
		if changed == text {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := Parse("f.yaml", []byte(changed), lookup)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s…", tc.to, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a secret: %v", tc.to, err)
		}
	}
}
