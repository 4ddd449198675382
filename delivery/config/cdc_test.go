package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

const captures = `integrations:
  - name: search-index
    method: cdc
    subscribe: [article.insert]
    cdc:
      url: "postgres://redrive:${PASSWORD}@db.example:5432/shop"
      snapshot: true
      alarm: 2GB
      tables:
        - table: shop.Articles
          operations: [insert, snapshot]
          columns: [id, title]
          when: row.title != nil
          type: "article.{{ op }}"
          key: string(row.id)
          payload: '{"id": row.id}'
        - table: '"Shop"."Order ""1"""'
          to: [audit, search-index]
    destination: {http: {url: "http://127.0.0.1/index"}}
  - name: audit
    method: outbox
    destination: {http: {url: "http://127.0.0.1/audit"}}
  - name: publisher
    method: cdc
    cdc: {slot: mine, publication: all_of_it, heartbeat: 30s, tables: [{table: public.t, publish: true}]}
  - name: mails
    method: pool
    destination: {http: {url: "http://127.0.0.1/"}}
`

func captured(text string) (*File, error) {
	return Parse("f.yaml", []byte(text), func(name string) (string, bool) { return "s3cret", name == "PASSWORD" })
}

func TestCDC(t *testing.T) {
	f, err := captured(captures)
	if err != nil {
		t.Fatal(err)
	}
	want := delivery.CDCSource{Veil: f.Hidden, URL: "postgres://redrive:s3cret@db.example:5432/shop", Publication: "redrive_search_index", Slot: "redrive_search_index",
		Snapshot: true, Heartbeat: 10 * time.Second, AlarmBytes: 2 << 30, Rules: []delivery.CDCRule{
			{Schema: "shop", Table: "articles", Operations: []delivery.RowOperation{delivery.OpInsert, delivery.OpSnapshot}, Columns: []string{"id", "title"},
				When: "row.title != nil", Type: "article.{{ op }}", Key: "string(row.id)", Payload: `{"id": row.id}`, Line: 10},
			{Schema: "Shop", Table: `Order "1"`, To: []string{"audit", "search-index"}, Line: 17},
		}}
	if !reflect.DeepEqual(*f.Integrations[0].CDC, want) {
		t.Errorf("got  %+v\nwant %+v", *f.Integrations[0].CDC, want)
	}
	publisher := f.Integrations[2]
	if c := publisher.CDC; c.URL != "" || c.Slot != "mine" || c.Publication != "all_of_it" || c.Heartbeat != 30*time.Second || c.AlarmBytes != 256<<20 {
		t.Errorf("got %+v", c)
	}
	if publisher.Destination.Kind() != "" {
		t.Error("what only publishes needs no destination")
	}
	if address := f.Integrations[0].CDC.Address(); strings.Contains(address, "s3cret") || !strings.Contains(address, "db.example") {
		t.Error(address)
	}
}

func TestCDCNamesLineAndSetting(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"postgres://redrive", "mysql://redrive", "f.yaml line 6: cdc.url: a postgres:// address"},
		{"${PASSWORD}", "${NOBODY}", "f.yaml line 6: the environment variable \"NOBODY\""},
		{"alarm: 2GB", "alarm: much", "f.yaml line 8: cdc.alarm: \"much\" is no size"},
		{"alarm: 2GB", "alarm: 2kB", "f.yaml line 8: cdc.alarm: 2kB is less than 1MB"},
		{"shop.Articles", "articles", "f.yaml line 10: cdc.tables: \"articles\" is no table"},
		{"shop.Articles", "shop.a-b", "f.yaml line 10: cdc.tables: \"shop.a-b\" is no table"},
		{"[insert, snapshot]", "[insert, upsert]", "f.yaml line 11: operations: \"upsert\""},
		{"snapshot: true", "snapshot: false", "f.yaml line 11: operations: there is no snapshot"},
		{"[id, title]", "[id, '']", "f.yaml line 12: columns:"},
		{"to: [audit, search-index]", "to: [audit, nobody]", "f.yaml line 18: to: no integration of the file is named \"nobody\""},
		{"to: [audit, search-index]", "to: [audit, audit]", "f.yaml line 18: to: \"audit\" is named twice"},
		{"to: [audit, search-index]", "to: [mails]", "f.yaml line 18: to: mails is a pool"},
		{"          to: [audit", "          publish: true\n          to: [audit", "f.yaml line 18: publish and to exclude"},
		{"slot: mine", "slot: Mine", "f.yaml line 25: cdc.slot: \"Mine\" must be"},
		{"publication: all_of_it", "publication: all-of-it", "f.yaml line 25: cdc.publication:"},
		{"heartbeat: 30s", "heartbeat: 1ms", "f.yaml line 25: cdc.heartbeat: 1ms is not between"},
		{"heartbeat: 30s", "heartbeats: 30s", "f.yaml line 25: unknown field"},
		{"{table: public.t, publish: true}", "", "f.yaml line 25: cdc.tables: missing"},
		{"publish: true", "publish: false", "f.yaml line 23: destination: missing"},
		{"slot: mine", "slot: redrive_search_index, url: \"postgres://redrive:${PASSWORD}@db.example:5432/shop\"", "f.yaml line 25: cdc.slot: search-index reads slot"},
		{"    cdc: {slot", "    outbox: {start: now}\n    cdc: {slot", "f.yaml line 25: outbox: this block belongs"},
		{"name: search-index", "name: " + strings.Repeat("a", 60), "f.yaml line 6: cdc.publication: the name made of the integration's"},
	} {
		changed := strings.Replace(captures, tc.from, tc.to, 1)
		if changed == captures {
			t.Fatalf("%q is not in the file", tc.from)
		}
		_, err := captured(changed)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s…", tc.to, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a secret: %v", tc.to, err)
		}
	}
}

func TestCapturedByName(t *testing.T) {
	f := File{Integrations: []delivery.Integration{{Name: "a", CDC: &delivery.CDCSource{}}, {Name: "plain"}, {Name: "b", CDC: &delivery.CDCSource{}}}}
	for want, names := range map[string][]string{"a b ": nil, "b a ": {"b", "a"}, "b ": {"b"}} {
		got := ""
		list, err := f.Captured(names...)
		for _, in := range list {
			got += in.Name + " "
		}
		if got != want || err != nil || len(f.Integrations) != 3 || f.Integrations[1].Name != "plain" {
			t.Errorf("%q are %q: %v", names, got, err)
		}
	}
	if _, err := f.Captured("a", "plain"); err == nil || err.Error() != `has no cdc integration named "plain"` {
		t.Errorf("got %v", err)
	}
}
