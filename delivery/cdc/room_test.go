package cdc_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
)

const articles = "CREATE TABLE articles (id int PRIMARY KEY, v int, body text); ALTER TABLE articles ALTER body SET STORAGE EXTERNAL;"

func TestChangesBecomeDeliveries(t *testing.T) {
	everything := rule("articles")
	everything.Operations = []delivery.RowOperation{delivery.OpInsert, delivery.OpUpdate, delivery.OpDelete, delivery.OpTruncate}
	others := rule("articles")
	others.To, others.When, others.Type, others.Payload = []string{"a", "b"}, "row.v > 1", "article.{{ op }}", `{"id": row.id, "old": old.v}`
	event := rule("articles")
	event.Publish, event.Operations = true, []delivery.RowOperation{delivery.OpDelete}
	b := ready(t, articles, everything, others, event)
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.run("INSERT INTO articles VALUES (1, 1, repeat('x', 5000)), (2, 2, '')")
	b.run("UPDATE articles SET v = 3 WHERE id = 1")
	b.run("BEGIN; UPDATE articles SET v = 4; ROLLBACK")
	b.run("DELETE FROM articles WHERE id = 2")
	b.run("TRUNCATE articles")
	b.reached()
	if got, want := b.texts("capture"), "insert articles 1 1, insert articles 2 2, update articles 1 3, delete articles 2 <nil>, truncate articles <nil> <nil>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	update := b.documents("capture")[2]
	if _, sent := update.Row["body"]; sent || strings.Join(update.Unchanged, "") != "body" {
		t.Errorf("what was not sent must be said to be unchanged: %v", update)
	}
	for _, name := range []string{"a", "b"} {
		if got, want := strings.Join(b.payloads(name), " "), `{"id":2,"old":null} {"id":1,"old":null}`; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if n := query[int](b, b.dsn, "SELECT count(*)::int FROM redrive.messages WHERE kind = 'event' AND type = 'public.articles.delete'"); n != 1 {
		t.Errorf("%d events", n)
	}
	b.await("the facts", func() bool { return fact(p, "changes").Value == 5 && !fact(p, "last_change").Says.IsZero() })
	if f := fact(p, "position"); f.Says.English() != b.position().LSN.String() && f.Value == 0 {
		t.Errorf("%+v", f)
	}
}

func TestAChangeThatCannotBeMappedStopsNothing(t *testing.T) {
	r := rule("articles")
	r.Payload = `{"n": 10 / (row.v - 1) , "text": row.v > 1 ? row.v.x : ""}`
	b := ready(t, articles, r)
	p := b.start()
	b.await("it streams", func() bool { return fact(p, "connected").Value == 1 })
	b.run("INSERT INTO articles VALUES (1, 0, ''), (2, 2, ''), (3, -1, '')")
	b.reached()
	if got := len(b.payloads("capture")); got != 2 {
		t.Errorf("%d were mapped", got)
	}
	page, err := b.store.Failures(ctx(t), delivery.Filter{})
	if err != nil || len(page.Items) != 1 || page.Items[0].ErrorClass != delivery.ClassMapping || page.Items[0].Key != "2" {
		t.Fatalf("%+v %v", page.Items, err)
	}
	detail, err := b.store.Delivery(ctx(t), page.Items[0].ID)
	if err != nil || !strings.Contains(string(detail.Message.Payload), `"row":{"body":"","id":2,"v":2}`) {
		t.Errorf("%s %v", detail.Message.Payload, err)
	}
}

// A table is written to while its snapshot is read, the reader is stopped several times, and in the end who follows the messages
// has what is in the table.
func TestASnapshotWhileOthersWrite(t *testing.T) {
	b := ready(t, articles+"INSERT INTO articles SELECT n, 0, repeat(md5(n::text), 100) FROM generate_series(1, 6000) n", rule("articles"))
	b.in.CDC.Snapshot = true
	p := b.start()
	stops := 0
	for n := 1; n < 1_000_000; n++ {
		for _, statement := range []string{
			fmt.Sprintf("UPDATE articles SET v = %d WHERE id BETWEEN %d AND %d", n, n*13%6000, n*13%6000+5),
			fmt.Sprintf("UPDATE articles SET v = %d, body = 'short' WHERE id = %d", n, n*7%6000),
			fmt.Sprintf("DELETE FROM articles WHERE id = %d", n*31%6000),
			fmt.Sprintf("INSERT INTO articles VALUES (%d, %d, repeat('new', 2000))", 1_000_000+n, n),
			fmt.Sprintf("UPDATE articles SET id = id + 20000 WHERE id = %d", n*17%6000),
		} {
			b.run(statement)
		}
		progress := b.position().Snapshot["public.articles"]
		if progress.Done {
			break
		}
		if stops < 3 && progress.Rows > int64(1000*(stops+1)) {
			stops++
			p.stop()
			p = b.start()
		}
	}
	b.reached()
	if stops == 0 {
		t.Error("the reader was never stopped in the middle")
	}
	want := map[string]string{}
	rows, err := b.sql.Query(ctx(t), "SELECT id::text, v::text || ' ' || md5(body) || ' ' || length(body) FROM articles")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id, row string
		if err := rows.Scan(&id, &row); err != nil {
			t.Fatal(err)
		}
		want[id] = row
	}
	got, read := b.follow()
	if !maps.Equal(got, want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
		for id, row := range want {
			if got[id] != row {
				t.Errorf("row %s: got %s, want %s", id, got[id], row)
				break
			}
		}
		for id := range got {
			if want[id] == "" {
				t.Errorf("row %s should not be there", id)
				break
			}
		}
	}
	if p := b.position().Snapshot["public.articles"]; p.Rows < int64(read) || p.Total == 0 {
		t.Errorf("progress %+v, %d messages", p, read)
	}
	t.Log(stops, "stops,", read, "snapshot messages,", b.position().Changes, "changes")
}

// follow is the state of somebody who applies the messages one after the other, and how many snapshot messages there were.
func (b *bed) follow() (state map[string]string, snapshots int) {
	type row struct{ v, body any }
	rows := map[string]row{}
	for _, d := range b.documents("capture") {
		id := fmt.Sprint(d.Key["id"])
		if d.Op == "snapshot" {
			snapshots++
		}
		if d.Op == "delete" {
			delete(rows, id)
			continue
		}
		r := rows[id]
		if d.Op == "update" && d.Old["id"] != nil && d.Old["id"] != d.Key["id"] {
			before := fmt.Sprint(d.Old["id"])
			r = rows[before]
			delete(rows, before)
		}
		r.v = d.Row["v"]
		if !slices.Contains(d.Unchanged, "body") {
			r.body = d.Row["body"]
		}
		rows[id] = r
	}
	state = map[string]string{}
	for id, r := range rows {
		body, _ := r.body.(string)
		state[id] = fmt.Sprintf("%v %s %d", r.v, md5sum(body), len(body))
	}
	return state, snapshots
}
