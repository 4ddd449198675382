package store_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/store"
	"redrive/store/audit"
	"redrive/store/storetest"
)

// What recording costs per item of a bulk operation: entries of a thousand each, as an operation's steps are.
func BenchmarkRecordMany(b *testing.B) {
	d := openB(b)
	entries := make([]audit.BulkEntry, 1000)
	for i := range entries {
		entries[i] = audit.BulkEntry{Subject: fmt.Sprintf("0192f0c1-0000-7000-8000-%012d", i), Integration: "push", Was: "dead", Version: 3}
	}
	for b.Loop() {
		err := d.Transact(b.Context(), func(tx *gorm.DB) error {
			return audit.RecordMany(tx, delivery.AuditEntry{Actor: "ann", Action: "delivery.ignore", SubjectType: "delivery", Reason: "all of them"},
				map[string]any{"operation": "0192f0c1-0000-7000-8000-000000000001", "category": "duplicate"}, entries)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/1000/float64(time.Microsecond), "µs/item")
}

func openB(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), storetest.New(b), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// A million entries: chain, tree and checkpoint recomputed.
func BenchmarkVerifyMillion(b *testing.B) {
	d := openB(b)
	const million = 1_000_000
	d.UseKeys(seal.Of(seal.New()))
	list := make([]delivery.AuditEntry, million)
	began := time.Now().UTC().Add(-time.Hour).Truncate(time.Microsecond)
	for i := range list {
		list[i] = delivery.AuditEntry{At: began.Add(time.Duration(i) * time.Microsecond), Actor: "Ann", Action: "delivery.ignore", SubjectType: "delivery",
			Subject: "0192f0c1-0000-7000-8000-000000000001", Reason: "all of them",
			Details: []byte(`{"from": "dead", "version": 3, "category": "duplicate", "operation": "0192f0c1-0000-7000-8000-000000000001", "integration": "push"}`)}
	}
	rehash(list)
	run := func(statement string, args ...any) {
		if err := d.Gorm.WithContext(b.Context()).Exec(statement, args...).Error; err != nil {
			b.Fatal(err)
		}
	}
	run("ALTER TABLE redrive.audit DISABLE TRIGGER USER")
	run("ALTER TABLE redrive.audit_head DISABLE TRIGGER USER")
	for at := 0; at < million; at += 50_000 {
		var times []time.Time
		var before, own [][]byte
		for _, e := range list[at : at+50_000] {
			times, before, own = append(times, e.At), append(before, e.PrevHash), append(own, e.Hash)
		}
		run(`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
			SELECT ? + n, at, 'Ann', 'delivery.ignore', 'delivery', '0192f0c1-0000-7000-8000-000000000001', 'all of them', ?::jsonb, before, own
			FROM unnest(?::timestamptz[], ?::bytea[], ?::bytea[]) WITH ORDINALITY x(at, before, own, n)`, at, string(list[0].Details), &times, &before, &own)
	}
	run("UPDATE redrive.audit_head SET (seq, hash, at) = (SELECT seq, hash, at FROM redrive.audit ORDER BY seq DESC LIMIT 1)")
	run("ALTER TABLE redrive.audit ENABLE TRIGGER USER")
	run("ALTER TABLE redrive.audit_head ENABLE TRIGGER USER")
	began = time.Now()
	if _, err := d.Checkpoint(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/seal")
	for b.Loop() {
		v, err := d.VerifyLog(b.Context(), nil, nil)
		if err != nil || !v.OK() || v.Chain.Entries < million {
			b.Fatalf("%+v %v", v, err)
		}
	}
}
