package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/batch"
)

// What the store itself writes of what others say, it writes without what is masked: rejections of files and rows, mistakes of
// expressions, and the hashes of edits.
func TestTheStoreWritesNothingThatIsMasked(t *testing.T) {
	d := open(t)
	list := []delivery.Integration{integration("push", "order.placed"), integration("points"), integration("catalogue")}
	for n := range list {
		list[n].Mask = []string{"$.code"}
	}
	list[1].Method, list[1].Batch = delivery.MethodBatch, &delivery.BatchSettings{Query: "SELECT 1"}
	list[2].Method = delivery.MethodCDC
	d.must(d.SyncIntegrations(t.Context(), list))
	const secret = "471199"

	answer := func(feed *batch.Feed, kind delivery.AnswerKind, date string) error {
		ctx := t.Context()
		d.must(d.requested("points", date))
		run, err := feed.Begin(ctx, func(time.Time) string { return date })
		if err != nil {
			return err
		}
		n := delivery.NewBatchFile{Run: run, Format: delivery.FileFormat{Kind: delivery.FileJSON}, Settings: delivery.BatchSettings{Name: delivery.DefaultBatchName}}
		file, err := feed.Write(ctx, n, func(_ context.Context, w io.Writer, _ func(string, []byte) error) (delivery.BatchContent, error) {
			_, err := io.WriteString(w, `{"code":"`+secret+`"}`+"\n")
			return delivery.BatchContent{Rows: 1, Control: "1"}, err
		})
		if err != nil {
			return err
		}
		d.complete(completion(d.claimOne("points"), confirmed, delivery.StateDelivered))
		stored, err := feed.Answerable(ctx)
		if err != nil || len(stored) == 0 || stored[0].ID != file.ID {
			return fmt.Errorf("%d files: %w", len(stored), err)
		}
		_, err = feed.Answered(ctx, stored[0], delivery.Answer{Name: string(kind) + date, Kind: kind, ModifiedAt: time.Now(), SHA256: date, Reason: "code " + secret + " is used up",
			Rows: []delivery.RejectedRow{{Row: 1, Reason: "code " + secret + " is used up", Payload: []byte(`{"code":"` + secret + `"}`)}}})
		return err
	}
	d.must(d.Lead(t.Context(), "batch/points", func(ctx context.Context, l *store.Leader) error {
		feed := d.Batch(l, "points")
		return errors.Join(feed.Resume(ctx), answer(feed, delivery.AnswerRejected, "2026-01-30"), answer(feed, delivery.AnswerPartly, "2026-01-31"))
	}, func(err error) { t.Error(err) }))
	d.must(d.capture(func(l *store.Leader) error {
		if _, err := l.CapturePosition(t.Context(), "catalogue"); err != nil {
			return err
		}
		if err := l.ResetCapture(t.Context(), "catalogue", start); err != nil {
			return err
		}
		broken := captured(1, "catalogue")
		broken.Message.Payload, broken.Error = []byte(`{"code":"`+secret+`"}`), "the rule in line 3 of the integrations file: "+secret+" is no time"
		return l.Capture(t.Context(), "catalogue", func(write func([]delivery.Captured) error) (delivery.CapturePosition, error) {
			return start, write([]delivery.Captured{broken})
		})
	}))
	dead := d.dead(delivery.Message{Payload: []byte(`{"code":"` + secret + `"}`)})
	d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte(`{"code":"` + secret + `","n":2}`)})
	d.index()

	texts := value[string](d, "SELECT string_agg(error, ' | ' ORDER BY error) FROM redrive.failure_details")
	for _, want := range []string{"the receiver rejected it: code " + delivery.Hidden + " is used up", "the receiver rejected it: (", "integrations file: " + delivery.Hidden + " is no time"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no error says %q: %s", want, texts)
		}
	}
	for _, table := range d.tables() {
		if columns := value[string](d, "SELECT coalesce(string_agg(DISTINCT c.name, ', '), '') FROM "+table+" x, jsonb_each_text(to_jsonb(x)) AS c(name, content) WHERE c.content LIKE '%"+secret+"%'"); columns != "" {
			t.Errorf("%s has it in %s", table, columns)
		}
	}
	if members := details(t, d.read(dead.ID).History[0]); members["new_sha256"] != sha(`{"code":"•••","n":2}`) {
		t.Errorf("%v", members)
	}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{integration("sms")})) // what was hidden is not known any more
	if left := d.index(); left == 0 || value[bool](d, "SELECT EXISTS (SELECT FROM redrive.search WHERE words IS NOT NULL)") {
		t.Errorf("payloads of integrations that left the file are searched; %d were indexed anew", left)
	}
	masks, err := d.Masks(t.Context())
	d.must(err)
	if k := masks.For(delivery.Message{}, "push"); !k.Unknown || len(k.Paths) != 1 {
		t.Errorf("%+v", k)
	}
}

// A mask that is added later hides in what was written before, step by step, and what a new one would have hidden of its groups.
func TestWhatWasWrittenIsMaskedAnew(t *testing.T) {
	d := open(t)
	list := []delivery.Integration{integration("push", "order.placed"), integration("sms")}
	d.must(d.SyncIntegrations(t.Context(), list))
	d.remasks(100)
	const secret = "annabel"
	for range 3 {
		for _, name := range []string{"push", "sms"} {
			d.fails(delivery.Message{Integration: name, Type: "order.placed", Payload: []byte(`{"name":"` + secret + `"}`)}, "the receiver answered 422: no "+secret)
		}
	}
	repeats := func(integration string) string {
		return value[string](d, `SELECT concat_ws(' ', (SELECT string_agg(f.error, ' ') FROM redrive.failure_details f JOIN redrive.deliveries r ON r.id = f.delivery_id WHERE r.integration = '`+integration+`'),
			(SELECT string_agg(a.error || coalesce(encode(a.response, 'escape'), ''), ' ') FROM redrive.attempts a JOIN redrive.deliveries r ON r.id = a.delivery_id WHERE r.integration = '`+integration+`'),
			(SELECT string_agg(g.message, ' ') FROM redrive.groups g WHERE g.integration = '`+integration+`'))`)
	}
	if text := repeats("push"); strings.Count(text, secret) < 7 {
		t.Fatalf("before: %s", text)
	}
	list[0].Mask = []string{"$.name"}
	d.must(d.SyncIntegrations(t.Context(), list))
	if steps := d.remasks(2); steps < 3 {
		t.Errorf("%d steps", steps)
	}
	if text := repeats("push"); strings.Contains(text, secret) || !strings.Contains(text, "no "+delivery.Hidden) {
		t.Errorf("after: %s", text)
	}
	if text := repeats("sms"); !strings.Contains(text, secret) {
		t.Errorf("of another integration: %s", text)
	}
	if n, more, err := d.Remask(t.Context(), 10); n != 0 || more || err != nil {
		t.Errorf("again: %d %t %v", n, more, err)
	}
}

// remasks lets Remask end, and counts its steps.
func (d desk) remasks(limit int) (steps int) {
	for more := true; more; steps++ {
		var err error
		_, more, err = d.Remask(d.t.Context(), limit)
		d.must(err)
	}
	return steps
}

// tables are all of the schema; payloads themselves are bytes.
func (d desk) tables() []string {
	return strings.Fields(value[string](d, "SELECT string_agg('redrive.' || relname, ' ') FROM pg_class WHERE relnamespace = 'redrive'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"))
}

func (d desk) requested(integration, date string) error {
	_, err := d.RequestRun(d.t.Context(), integration, date, "ann", "")
	return err
}
