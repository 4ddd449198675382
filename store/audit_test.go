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
