package batch_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/delivery/batch"
	"redrive/delivery/engine"
	filesend "redrive/delivery/send/file"
	"redrive/delivery/wire"
)

// deliver runs the engine with the file sender, as the program does.
func (b *bed) deliver() {
	b.t.Helper()
	sender, err := filesend.New(*b.in.Destination.To.(*delivery.FileDestination), b.Files(), wire.Dialer{})
	b.must(err)
	e, err := engine.New(engine.Config{Store: b.Store, Integrations: []delivery.Integration{b.in}, Senders: map[string]delivery.Sender{b.in.Name: sender},
		Log: slog.New(slog.DiscardHandler), Poll: 20 * time.Millisecond})
	b.must(err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, ctx) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

// desk is a bed with a receiver's directory, an engine and a room.
func newDesk(t *testing.T, f delivery.FileFormat) *bed {
	t.Helper()
	b := newBed(t, func(in *delivery.Integration) {
		in.Batch.Acknowledgement = &delivery.AcknowledgementSettings{Every: 20 * time.Millisecond}
		in.Destination.To.(*delivery.FileDestination).Format = f
	})
	b.csv = f
	b.sql(pointsTable)
	b.sql("INSERT INTO points SELECT n, E'kim \"' || n || E'\"\\nsecond line, 한글' FROM generate_series(1, 6) n")
	inbox, err := filesend.NewInbox(*b.in.Batch.Acknowledgement, *b.in.Destination.To.(*delivery.FileDestination), wire.Dialer{})
	b.must(err)
	b.deliver()
	b.again = func() { b.stop = b.start(func(c *batch.Config) { c.Inbox = inbox }) }
	b.again()
	return b
}

// sent waits until a file lies in the receiver's directory and is known to be delivered.
func (b *bed) sent(f delivery.StoredFile) string {
	b.t.Helper()
	b.state(f.DeliveryID, delivery.StateDelivered)
	raw, err := os.ReadFile(filepath.Join(b.in.Destination.To.(*delivery.FileDestination).Dir, f.Name))
	b.must(err)
	return string(raw)
}

func (b *bed) state(id string, want delivery.State) (d delivery.Detail) {
	b.t.Helper()
	b.wait(fmt.Sprintf("delivery %s is %s", id, want), func() bool {
		var err error
		d, err = b.Delivery(context.Background(), id)
		b.must(err)
		return d.State == want
	})
	return d
}

// answer writes what the receiver says.
func (b *bed) answer(name, text string) {
	b.t.Helper()
	b.must(os.WriteFile(filepath.Join(b.in.Destination.To.(*delivery.FileDestination).Dir, name), []byte(text), 0o600))
}

// retry asks for several at once: the room sees all of them or none.
func (b *bed) retry(ids ...string) {
	b.t.Helper()
	if len(ids) > 1 {
		b.stop()
		defer b.again()
	}
	for _, id := range ids {
		_, err := b.Act(context.Background(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id, Actor: "kim", Reason: "corrected"})
		b.must(err)
	}
}

// rejected are the dead letters of single rows.
func (b *bed) rejected(count int) (rows []delivery.Delivery) {
	b.t.Helper()
	b.wait(fmt.Sprint(count, " rejected rows"), func() bool {
		page, err := b.Failures(context.Background(), delivery.Filter{ErrorClasses: []string{delivery.ClassRejected}, Sort: delivery.SortOldest})
		b.must(err)
		rows = rows[:0]
		for _, d := range page.Items {
			if d.Type == delivery.TypeBatchRow {
				rows = append(rows, d)
			}
		}
		return len(rows) == count
	})
	return rows
}

func (b *bed) file(sequence int64) (f delivery.StoredFile) {
	b.t.Helper()
	b.wait(fmt.Sprint("file ", sequence), func() bool {
		for _, r := range b.runs() {
			if r.File != nil && r.File.Sequence == sequence {
				f = *r.File
			}
		}
		return f.ID != ""
	})
	return f
}

func TestARejectedFileIsADeadLetterAgain(t *testing.T) {
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	f := b.now()
	before := b.sent(f)
	b.answer(f.Name+".nak", "control total does not fit\nmore words\n")
	d := b.state(f.DeliveryID, delivery.StateDead)
	if d.ErrorClass != delivery.ClassRejected || !strings.HasSuffix(d.Error, ": control total does not fit") || len(d.Timeline) != 1 ||
		d.Timeline[0].Outcome != delivery.OutcomePermanent || d.Version != 2 || d.GroupID == "" {
		t.Errorf("%+v", d)
	}
	b.must(os.Remove(filepath.Join(b.in.Destination.To.(*delivery.FileDestination).Dir, f.Name)))
	b.retry(f.DeliveryID)
	if again := b.sent(f); again != before {
		t.Error("the second transfer has other bytes")
	}
	if d := b.state(f.DeliveryID, delivery.StateDelivered); len(d.Timeline) != 2 || d.Attempts != 2 {
		t.Errorf("after the retry: %+v", d.Timeline)
	}
	// the answer of before still lies there, and was dealt with: now comes another
	b.answer(f.Name+".ack", "")
	b.wait("acknowledgement", func() bool { return b.file(1).Acknowledgement == "accepted" })
	if d := b.state(f.DeliveryID, delivery.StateDelivered); d.Version != 4 {
		t.Errorf("version %d", d.Version)
	}
}

func TestRejectedRowsAreSentAgainInACorrectionFile(t *testing.T) {
	for name, f := range map[string]delivery.FileFormat{
		"csv":   {Kind: delivery.FileCSV, Header: true, Encoding: delivery.EncodingUTF8BOM},
		"plain": {Kind: delivery.FileCSV, Delimiter: ';', Gzip: true},
		"kv":    {Kind: delivery.FileKV, Encoding: delivery.EncodingEUCKR},
		"lines": {Kind: delivery.FileJSON},
		"array": {Kind: delivery.FileJSON, Array: true, Gzip: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDesk(t, f)
			original := b.now()
			b.sent(original)
			b.answer(original.Name+".rej", "row,reason\r\n2,\"no such member, \"\"2\"\"\"\r\n5,no such member\r\n")
			rows := b.rejected(2)
			second, fifth := rows[0], rows[1]
			if strings.HasSuffix(second.Key, " 5") {
				second, fifth = fifth, second
			}
			detail, err := b.Delivery(t.Context(), second.ID)
			b.must(err)
			origin := detail.Message.Origin
			if second.Key != original.Name+" 2" || origin == nil || origin.File == nil || *origin.File != (delivery.FileOrigin{ID: original.ID, Name: original.Name,
				Sequence: 1, Row: 2}) || !strings.Contains(detail.Error, `no such member, "2"`) || b.file(1).Acknowledgement != "partly" {
				t.Fatalf("row 2: %+v %+v", detail, origin)
			}
			b.operate(delivery.Pace{}, []string{fifth.ID, second.ID}) // together, so that they are one file
			correction := b.file(2)
			b.sent(correction)
			if correction.CorrectionOf != 1 || correction.Rows != 2 {
				t.Fatalf("the correction is %+v", correction)
			}
			// what the same rows give when they are all there is
			b.sql("DELETE FROM points WHERE id NOT IN (2, 5)")
			if alone := b.now(); b.content(alone) != b.content(correction) && !f.Gzip || alone.Rows != 2 {
				t.Errorf("the correction holds %q, want %q", b.content(correction), b.content(alone))
			}
			for _, id := range []string{second.ID, fifth.ID} {
				if d := b.state(id, delivery.StateDelivered); d.Attempts != 2 {
					t.Errorf("a corrected row: %+v", d.Delivery)
				}
			}
			// the receiver does not take one of them the second time either: it is the same failure
			b.answer(correction.Name+".rej", "row,reason\n1,still no such member\n")
			if rows := b.rejected(1); rows[0].ID != second.ID || rows[0].Attempts != 2 {
				t.Errorf("rejected again: %+v", rows[0])
			}
			b.complete()
		})
	}
}

// A receiver's reason is bounded and made one line like all words of others, of a file and of a row, also the second time.
func TestAReasonIsBounded(t *testing.T) {
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	long := strings.Repeat("no such member é ", 1000)
	bounded := func(d delivery.Detail) {
		t.Helper()
		if text := "the receiver rejected it: no such member é "; !strings.HasPrefix(d.Error, text) || !strings.HasSuffix(d.Error, "…") || utf8.RuneCountInString(d.Error) > 540 || strings.Contains(d.Error, "\n") {
			t.Errorf("%d bytes: %.60q", len(d.Error), d.Error)
		}
	}
	whole := b.now()
	b.sent(whole)
	b.answer(whole.Name+".nak", long)
	bounded(b.state(whole.DeliveryID, delivery.StateDead))
	parts := b.now()
	b.sent(parts)
	b.answer(parts.Name+".rej", "row,reason\n2,\"no such member\né "+long+"\"\n")
	row := b.rejected(1)[0]
	bounded(b.state(row.ID, delivery.StateDead))
	b.operate(delivery.Pace{}, []string{row.ID})
	correction := b.file(3)
	b.sent(correction)
	b.state(row.ID, delivery.StateDelivered)
	b.answer(correction.Name+".rej", "row,reason\n1,"+long+"\n")
	bounded(b.state(b.rejected(1)[0].ID, delivery.StateDead))
	silent := b.now()
	b.sent(silent)
	b.answer(silent.Name+".nak", " \n")
	if d := b.state(silent.DeliveryID, delivery.StateDead); d.Error != "the receiver rejected it and gave no reason" {
		t.Error(d.Error)
	}
}

func TestAnAnswerThatCannotBeReadIsForAPerson(t *testing.T) {
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	for i, text := range []string{"", "line,reason\n1,x\n", "row,reason\n", "row,reason\n7,x\n", "row,reason\n0,x\n", "row,reason\n1\n", "row,reason\n1,\"x\n"} {
		f := b.now()
		b.sent(f)
		b.answer(f.Name+".rej", text)
		if d := b.state(f.DeliveryID, delivery.StateDead); !strings.Contains(d.Error, ".rej cannot be read: ") {
			t.Errorf("answer %d: %s", i, d.Error)
		}
	}
	b.rejected(0)
	b.complete()
}

func TestRowsOfACorrectionThatFailsAreDeadAgain(t *testing.T) {
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	original := b.now()
	b.sent(original)
	b.answer(original.Name+".rej", "row,reason\n3,no\n")
	row := b.rejected(1)[0]
	dir := b.in.Destination.To.(*delivery.FileDestination).Dir
	b.answer("points_"+original.BusinessDate+"_2.csv", "a stranger's file")
	b.retry(row.ID)
	correction := b.file(2)
	b.state(correction.DeliveryID, delivery.StateDead)
	d := b.state(row.ID, delivery.StateDead)
	if !strings.Contains(d.Error, "its correction file "+correction.Name+" was not delivered") || len(d.Timeline) != 2 {
		t.Errorf("%+v", d)
	}
	b.must(os.Remove(filepath.Join(dir, correction.Name)))
	b.retry(correction.DeliveryID)
	b.state(row.ID, delivery.StateDelivered)
	b.complete()
}
