package batch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/operations"
)

// corrected returns the rows of each correction file, in the files' order, once there are so many files.
func (b *bed) corrected(files int) (rows []string) {
	b.t.Helper()
	b.wait(fmt.Sprint(files, " correction files"), func() bool {
		rows = strings.Split(value[string](b, `SELECT coalesce(string_agg(of_file, '|' ORDER BY sequence), '') FROM (SELECT f.sequence,
			string_agg(r.row::text, ',' ORDER BY r.row) AS of_file FROM redrive.batch_rows r JOIN redrive.batch_files f ON f.id = r.correction_id GROUP BY f.sequence) x`), "|")
		return len(rows) == files && rows[0] != ""
	})
	return rows
}

// fourRejected is a desk whose only file has four rejected rows: 1, 2, 3 and 5.
func fourRejected(t *testing.T) (*bed, []string) {
	t.Helper()
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	original := b.now()
	b.sent(original)
	b.answer(original.Name+".rej", "row,reason\n1,no\n2,no\n3,no\n5,no\n")
	list := b.rejected(4)
	slices.SortFunc(list, func(x, y delivery.Delivery) int { return strings.Compare(x.Key, y.Key) })
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = d.ID
	}
	return b, ids
}

func (b *bed) operate(pace delivery.Pace, ids []string) {
	b.t.Helper()
	request := delivery.OperationRequest{Action: delivery.ActionRetry, Actor: "ann", Reason: "corrected", Pace: pace}
	for _, id := range ids {
		request.Chosen = append(request.Chosen, delivery.Chosen{ID: id})
	}
	_, err := b.StartOperation(b.t.Context(), request)
	b.must(err)
	room := operations.New(operations.Config{Store: b.Store, Log: testLog(), Poll: 20 * time.Millisecond, Idle: 20 * time.Millisecond})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- room.Run(ctx, ctx) }()
	b.t.Cleanup(func() {
		stop()
		b.must(<-done)
	})
}

// The room looks every 20 ms and collects for 100; the operation sends a row again every half second.
func TestWhatAnOperationAsksForIsOneFile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pace delivery.Pace
		want []string
	}{
		"paced":            {delivery.Pace{Rate: 2}, []string{"1,2,3,5"}},
		"at once":          {delivery.Pace{}, []string{"1,2,3,5"}},
		"canary":           {delivery.Pace{Canary: 1}, []string{"1", "2,3", "5"}}, // each wave is twice the one before
		"canary, and pace": {delivery.Pace{Canary: 2, Rate: 2}, []string{"1,2", "3,5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ids := fourRejected(t)
			b.operate(tc.pace, ids)
			for _, id := range ids {
				b.state(id, delivery.StateDelivered)
			}
			if got := b.corrected(len(tc.want)); !slices.Equal(got, tc.want) && (tc.pace.Canary == 0 || sizes(got) != sizes(tc.want)) {
				t.Errorf("the files have rows %v, want %v", got, tc.want)
			}
			b.complete()
		})
	}
}

// sizes is how many rows each file has: which are the canaries is the operation's choice.
func sizes(files []string) string {
	var out []string
	for _, f := range files {
		out = append(out, fmt.Sprint(len(strings.Split(f, ","))))
	}
	return strings.Join(out, " ")
}

// Whoever looks once, long afterwards, makes the same files as whoever looks all the time.
func TestWhatAPersonAsksForTogetherIsSaidByItsTimes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		by    []string
		after []time.Duration // of the first, of each row
		want  []string
	}{
		"one after the other":   {[]string{"kim", "kim", "kim", "kim"}, []time.Duration{0, 90, 180, 270}, []string{"1,2,3,5"}},
		"a pause":               {[]string{"kim", "kim", "kim", "kim"}, []time.Duration{0, 90, 290, 380}, []string{"1,2", "3,5"}},
		"the rows out of order": {[]string{"kim", "kim", "kim", "kim"}, []time.Duration{290, 0, 380, 90}, []string{"2,5", "1,3"}},
		"two persons":           {[]string{"kim", "lee", "kim", "lee"}, []time.Duration{0, 10, 20, 30}, []string{"1,3", "2,5"}},
		"without an end":        {[]string{"kim", "kim", "kim", "kim"}, []time.Duration{0, 100, 1000, 1100}, []string{"1,2", "3,5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ids := fourRejected(t)
			b.stop() // nobody looks while they ask
			for i, id := range ids {
				_, err := b.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: id, Actor: tc.by[i], Reason: "corrected"})
				b.must(err)
			}
			base := value[time.Time](b, "SELECT date_trunc('hour', clock_timestamp()) - interval '1 hour'")
			for i, id := range ids {
				b.sql("UPDATE redrive.deliveries SET retry_requested_at = $2 WHERE id = $1", id, base.Add(tc.after[i]*time.Millisecond))
			}
			b.start(nil)
			if got := b.corrected(len(tc.want)); !slices.Equal(got, tc.want) {
				t.Errorf("the files have rows %v, want %v", got, tc.want)
			}
			for _, id := range ids {
				b.state(id, delivery.StateDelivered)
			}
		})
	}
}
