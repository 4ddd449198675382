package store_test

import (
	"fmt"
	"strings"
	"testing"

	"redrive/delivery"
)

func (d desk) entries(n int) {
	d.t.Helper()
	for i := range n {
		d.must(d.Record(d.t.Context(), delivery.AuditEntry{Actor: "ann", Action: "test.step", SubjectType: "test", Subject: fmt.Sprint(i),
			Reason: "because 한글 \"x\"", Details: []byte(`{"n": 1.50, "b": [1, 2]}`)}))
	}
}

func TestTheAuditRefusesChanges(t *testing.T) {
	d := open(t)
	d.entries(2)
	for _, statement := range []string{"UPDATE redrive.audit SET actor = 'bob'", "DELETE FROM redrive.audit", "TRUNCATE redrive.audit",
		"UPDATE redrive.audit_head SET seq = 1", "DELETE FROM redrive.audit_head", "TRUNCATE redrive.audit_head",
		"INSERT INTO redrive.audit_head VALUES (false, 0, '')"} {
		if err := d.sql(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	d.entries(1) // the chain still goes on
}

// Whoever brings numbers and hashes of their own must continue the chain.
func TestTheAuditRefusesEntriesThatDoNotContinueIt(t *testing.T) {
	const next = `INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
		SELECT s, h.granted, 'bob', 'test', 'test', '1', '', '{}', p, redrive.audit_hash(p, s, h.granted, %s, 'test', 'test', '1', '', '{}') FROM redrive.audit_head h, LATERAL (SELECT %s AS s, %s AS p) x`
	d := open(t)
	d.entries(3)
	d.must(d.sql("SELECT redrive.audit_begin()"))
	for name, values := range map[string][3]string{
		"another actor hashed": {"'ann'", "h.seq + 1", "h.hash"}, "a gap": {"'bob'", "h.seq + 2", "h.hash"}, "number 0": {"'bob'", "0::bigint", "''::bytea"},
		"before the head": {"'bob'", "h.seq - 7", "h.hash"}, "another predecessor": {"'bob'", "h.seq + 1", "sha256(h.hash)"},
	} {
		if err := d.sql(fmt.Sprintf(next, values[0], values[1], values[2])); err == nil || !strings.Contains(err.Error(), "do not continue the audit") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.must(d.sql(fmt.Sprintf(next, "'bob'", "h.seq + 1", "h.hash")))
	d.entries(2)
	d.must(d.sql(`INSERT INTO redrive.audit (actor, action, subject_type, subject) SELECT 'ann', 'test', 'test', n::text FROM generate_series(1, 300) n`))
	if report, err := d.VerifyAudit(t.Context()); err != nil || !report.OK() || report.Entries != 306 {
		t.Errorf("%v %v", report, err)
	}
}

func TestVerifyFindsWhatWasDoneBehindTheTrigger(t *testing.T) {
	tampering := map[string]struct {
		statement string
		broken    int64
	}{
		"nothing":         {"SELECT 1", 0},
		"edited actor":    {"UPDATE redrive.audit SET actor = 'bob' WHERE seq = 3", 3},
		"edited time":     {"UPDATE redrive.audit SET at = at + interval '1 microsecond' WHERE seq = 2", 2},
		"edited details":  {`UPDATE redrive.audit SET details = '{"n": 2}' WHERE seq = 4`, 4},
		"shifted text":    {"UPDATE redrive.audit SET subject = '', reason = subject || reason WHERE seq = 2", 2},
		"deleted inside":  {"DELETE FROM redrive.audit WHERE seq = 2", 2},
		"deleted at end":  {"DELETE FROM redrive.audit WHERE seq = 5", 5},
		"deleted at all":  {"DELETE FROM redrive.audit", 1},
		"inserted at end": {"INSERT INTO redrive.audit SELECT 6, at, actor, action, subject_type, subject, reason, details, hash, hash FROM redrive.audit WHERE seq = 5", 6},
		"rehashed": {`UPDATE redrive.audit SET actor = 'bob', hash = redrive.audit_hash(prev_hash, seq, at, 'bob', action, subject_type,
			subject, reason, details) WHERE seq = 3`, 4},
	}
	for name, c := range tampering {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.entries(5)
			d.must(d.sql("ALTER TABLE redrive.audit DISABLE TRIGGER USER"))
			d.must(d.sql(c.statement))
			report, err := d.VerifyAudit(t.Context())
			d.must(err)
			if report.Broken != c.broken || report.OK() != (c.broken == 0) {
				t.Errorf("found %q, want entry %d", report, c.broken)
			}
		})
	}
}

func TestAuditPagesAndFilters(t *testing.T) {
	d := open(t)
	d.entries(7)
	d.must(d.Record(t.Context(), delivery.AuditEntry{Actor: "bob", Action: "other", SubjectType: "test", Subject: "3"}))
	var seen []int64
	filter := delivery.AuditFilter{Actor: "ann", Limit: 3}
	for {
		page, err := d.Audit(t.Context(), filter)
		d.must(err)
		for _, e := range page.Items {
			seen = append(seen, e.Seq)
		}
		if filter.After = page.Next; page.Next == "" {
			break
		}
	}
	if fmt.Sprint(seen) != "[7 6 5 4 3 2 1]" {
		t.Errorf("pages gave %v", seen)
	}
	page, err := d.Audit(t.Context(), delivery.AuditFilter{Subject: "3"})
	if err != nil || len(page.Items) != 2 || page.Items[0].Actor != "bob" {
		t.Errorf("by subject: %+v %v", page.Items, err)
	}
	for _, bad := range []string{"x", "-1", "0"} {
		_, err := d.Audit(t.Context(), delivery.AuditFilter{After: bad})
		if code := inputCode(t, err); code != "bad_cursor" {
			t.Errorf("cursor %q: %s", bad, code)
		}
	}
	head, err := d.AuditHead(t.Context())
	if err != nil || head.Seq != 8 || len(head.Hash) != 32 {
		t.Errorf("head %+v %v", head, err)
	}
}
