package table_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/store/storetest"
	"redrive/store/table"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type bed struct {
	t  *testing.T
	to delivery.TableDestination
}

func newBed(t *testing.T) bed {
	b := bed{t, delivery.TableDestination{URL: storetest.Empty(t), Schema: "ledger", Table: "points", Key: []string{"id"}, Timeout: time.Minute}}
	b.sql(`CREATE SCHEMA ledger; CREATE TABLE ledger.points (id bigint PRIMARY KEY, "Name" text, amount numeric(10,2), tags text[], day date, extra text DEFAULT 'kept')`)
	return b
}

func (b bed) sql(statement string) {
	b.t.Helper()
	if _, err := storetest.Session(b.t, b.to.URL).Exec(context.Background(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.t.Fatal(err)
	}
}

func (b bed) text(query string) (text string) {
	b.t.Helper()
	if err := storetest.Session(b.t, b.to.URL).QueryRow(context.Background(), query).Scan(&text); err != nil {
		b.t.Fatal(err)
	}
	return text
}

// send applies a file of lines.
func (b bed) send(sequence int64, lines ...string) delivery.Result {
	content := strings.Join(lines, "\n") + "\n"
	if len(lines) == 0 {
		content = ""
	}
	sum := sha256.Sum256([]byte(content))
	f := delivery.BatchFile{ID: "x", Integration: "points", Sequence: sequence, Rows: int64(len(lines)), SHA256: hex.EncodeToString(sum[:])}
	return table.Send(context.Background(), wire.Dialer{}.DialContext, b.to, f, strings.NewReader(content))
}

const all = `SELECT coalesce(string_agg(concat_ws('|', id, "Name", amount, tags, day, extra), ' ' ORDER BY id), '') FROM ledger.points`

// Nothing is said to a database whose address the network rules refuse.
func TestTheAddressIsCheckedWhenDialling(t *testing.T) {
	b := newBed(t)
	closed := wire.Dialer{Network: wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	r := table.Through(closed.DialContext)(t.Context(), b.to, delivery.BatchFile{ID: "x", Integration: "points", Sequence: 1}, strings.NewReader(""))
	if r.Outcome != delivery.OutcomePermanent || r.ErrorClass != delivery.ClassBlockedAddress {
		t.Errorf("%+v", r)
	}
}

func TestAFileIsAppliedOnce(t *testing.T) {
	b := newBed(t)
	lines := []string{`{"id":1,"Name":"kim \"x\"","amount":1.50,"tags":"{a,b}","day":"2026-01-31"}`, `{"id":2,"Name":null,"amount":null,"tags":null,"day":null}`}
	if r := b.send(1, lines...); r.Outcome != delivery.OutcomeOK {
		t.Fatalf("%+v", r)
	}
	want := `1|kim "x"|1.50|{a,b}|2026-01-31|kept 2|kept`
	if got := b.text(all); got != want {
		t.Errorf("the table holds %s, want %s", got, want)
	}
	b.sql(`UPDATE ledger.points SET "Name" = 'changed since', extra = 'own'`)
	if r := b.send(1, lines...); r.Outcome != delivery.OutcomeOK {
		t.Fatalf("again: %+v", r)
	}
	if got := b.text("SELECT \"Name\" FROM ledger.points WHERE id = 1"); got != "changed since" {
		t.Errorf("the second time changed the row to %s", got)
	}
	if r := b.send(2, `{"id":1,"Name":"lee"}`); r.Outcome != delivery.OutcomeOK {
		t.Fatalf("the next file: %+v", r)
	}
	if got := b.text(all); !strings.HasPrefix(got, "1|lee|1.50|{a,b}|2026-01-31|own ") {
		t.Errorf("columns that the file does not name: %s", got)
	}
	if got := b.text("SELECT string_agg(concat_ws(' ', feed, sequence, rows), ', ' ORDER BY sequence) FROM ledger." + table.Bookkeeping); got != "points 1 2, points 2 1" {
		t.Errorf("noted: %s", got)
	}
	if r := b.send(3); r.Outcome != delivery.OutcomeOK {
		t.Errorf("an empty file: %+v", r)
	}
}

func TestTwoAttemptsAtOnceApplyOnce(t *testing.T) {
	b := newBed(t)
	b.sql(`CREATE FUNCTION ledger.count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.extra := coalesce(NEW.extra, '') || '+'; RETURN NEW; END $$;
		CREATE TRIGGER count BEFORE INSERT OR UPDATE ON ledger.points FOR EACH ROW EXECUTE FUNCTION ledger.count()`)
	b.send(1)
	var both sync.WaitGroup
	for range 8 {
		both.Go(func() {
			if r := b.send(2, `{"id":1}`); r.Outcome != delivery.OutcomeOK {
				t.Errorf("%+v", r)
			}
		})
	}
	both.Wait()
	if got := b.text("SELECT extra FROM ledger.points"); got != "kept+" {
		t.Errorf("applied: %s", got)
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	b := newBed(t)
	b.send(1, `{"id":1}`)
	for name, tc := range map[string]struct {
		change func(*bed)
		lines  []string
		class  string
		want   string
	}{
		"value":      {nil, []string{`{"id":5}`, `{"id":"s3cret"}`}, delivery.ClassRefused, "a value does not fit its column (SQLSTATE 22P02)"},
		"column":     {nil, []string{`{"id":5,"nme":"x"}`}, delivery.ClassRefused, `the table has no column "nme"`},
		"key":        {nil, []string{`{"Name":"x"}`}, delivery.ClassRefused, `the file has no column "id"`},
		"constraint": {func(b *bed) { b.to.Key = []string{"day"} }, []string{`{"id":1,"day":"2026-01-01"}`}, delivery.ClassRefused, "no unique or exclusion constraint"},
		"table":      {func(b *bed) { b.to.Table = "nothing" }, []string{`{"id":1}`}, delivery.ClassRefused, "there is no table"},
		"same key":   {nil, []string{`{"id":7}`, `{"id":7}`}, delivery.ClassRefused, "ON CONFLICT DO UPDATE command cannot affect row a second time"},
	} {
		other := b
		if tc.change != nil {
			tc.change(&other)
		}
		lines := tc.lines
		if name == "same key" {
			lines = []string{`{"id":7,"Name":"a"}`, `{"id":7,"Name":"b"}`}
		}
		r := other.send(9, lines...)
		if r.Outcome != delivery.OutcomePermanent || r.ErrorClass != tc.class || !strings.Contains(r.Error, tc.want) || strings.Contains(r.Error, "s3cret") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if got := b.text(all); got != "1|kept" {
		t.Errorf("something stayed: %s", got)
	}
	if r := b.send(1, `{"id":2}`); r.Outcome != delivery.OutcomePermanent || !strings.Contains(r.Error, "with another content") {
		t.Errorf("another file with the same number: %+v", r)
	}
	b.to.URL = "postgres://nobody@127.0.0.1:1/x"
	if r := b.send(10, `{"id":2}`); r.Outcome != delivery.OutcomeTransient || r.ErrorClass != delivery.ClassConnect {
		t.Errorf("unreachable: %+v", r)
	}
}
