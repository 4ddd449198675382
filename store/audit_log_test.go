package store_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/delivery/seal"
	"redrive/store/audit"
	"redrive/store/notary"
)

// logged is a database whose audit is signed.
type logged struct{ desk }

func openLog(t *testing.T) logged {
	t.Helper()
	d := logged{open(t)}
	keys, err := seal.NewRing("", "", t.TempDir())
	d.must(err)
	d.UseKeys(keys)
	if _, err := d.Checkpoint(t.Context()); !errors.Is(err, ledger.ErrUnsigned) {
		t.Errorf("a key is made that other processes do not have: %v", err)
	}
	d.MakeKeys()
	d.UseOrigin("example.com/redrive")
	return d
}

func (d logged) checkpoint() string {
	d.t.Helper()
	signed, err := d.Checkpoint(d.t.Context())
	d.must(err)
	return signed
}

func (d logged) publicKeys() (list []string) {
	d.t.Helper()
	keys, err := d.AuditKeys(d.t.Context())
	d.must(err)
	for _, k := range keys {
		list = append(list, k.Public)
	}
	return list
}

func (d logged) export(p notary.Period) (lines []string, signed string) {
	d.t.Helper()
	signed, err := d.Export(d.t.Context(), p, func(line []byte) error { lines = append(lines, string(line)); return nil })
	d.must(err)
	return lines, signed
}

func (d logged) verify(outside ...string) notary.Verification {
	d.t.Helper()
	v, err := d.VerifyLog(d.t.Context(), outside, nil)
	d.must(err)
	return v
}

// checked is one question for the verifier of docs.
type checked struct {
	Keys      []string `json:"keys"`
	Witnesses []string `json:"witnesses"`
	Lines     []string `json:"lines"`
	Notes     []string `json:"notes"`
	Part      bool     `json:"part"`
	Proof     string   `json:"proof"`
}

// python answers questions as docs/verify_audit.py does.
func python(t *testing.T, cases ...checked) []string {
	t.Helper()
	var in, out, wrong bytes.Buffer
	for _, c := range cases {
		if err := json.NewEncoder(&in).Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "python3", "testdata/verify_cases.py", "../docs/verify_audit.py")
	run.Stdin, run.Stdout, run.Stderr = &in, &out, &wrong
	if err := run.Run(); err != nil {
		t.Fatalf("%v: %s", err, wrong.Bytes())
	}
	answers := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d questions", len(answers), len(cases))
	}
	return answers
}

// Entries of all kinds become leaves in their order, several processes may seal at once, and what was signed stays part of what follows.
func TestTheAuditIsALogThatGrows(t *testing.T) {
	d := openLog(t)
	if _, err := d.Checkpoint(t.Context()); err != nil { // its own key is the first entry
		t.Fatal(err)
	}
	d.must(d.sql(`INSERT INTO redrive.audit (actor, action, subject_type, subject) SELECT 'ann', 'test', 'test', n::text FROM generate_series(1, 600) n`))
	first := d.checkpoint()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range 5 {
				err := d.Record(context.WithoutCancel(t.Context()), delivery.AuditEntry{Actor: "ann", Action: "test", SubjectType: "test", Subject: fmt.Sprint(n), Details: []byte(`{"a": "한글"}`)})
				if _, sealing := d.Checkpoint(context.WithoutCancel(t.Context())); err != nil || sealing != nil {
					t.Error(err, sealing)
				}
			}
		})
	}
	all.Wait()
	last := d.checkpoint()
	if again := d.checkpoint(); again != last {
		t.Errorf("without growth another checkpoint:\n%s%s", last, again)
	}
	v := d.verify(first, last)
	c, err := ledger.Unsigned(last)
	d.must(err)
	if !v.OK() || v.Chain.Entries != 621 || c.Size != 621 || c.Root != v.Root || c.Origin != "example.com/redrive" {
		t.Fatalf("%+v, %+v", v, c)
	}
	keys, err := ledger.ParseKeys(d.publicKeys()...)
	d.must(err)
	var questions []checked
	for _, seq := range []int64{1, 2, 256, 257, 512, 601, 621} {
		p, err := d.Prove(t.Context(), seq)
		d.must(err)
		read, err := ledger.ParseProof(p.String())
		d.must(err)
		entry, err := d.Entry(t.Context(), seq)
		d.must(err)
		if err := read.Check(entry.Hash, keys); err != nil || read.String() != p.String() {
			t.Errorf("proof of %d: %v", seq, err)
		}
		if read.Check(entry.PrevHash, keys) == nil {
			t.Errorf("proof of %d proves another entry", seq)
		}
		questions = append(questions, checked{Keys: d.publicKeys(), Proof: p.String()})
	}
	if _, err := d.Prove(t.Context(), 622); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("proof of what is not there: %v", err)
	}
	lines, signed := d.export(notary.Period{})
	later := d.verify().Chain.Entries
	part, partSigned := d.export(notary.Period{Until: time.Now().Add(-time.Hour)})
	questions = append(questions, checked{Keys: d.publicKeys(), Lines: lines, Notes: []string{signed, first}},
		checked{Keys: d.publicKeys(), Lines: part, Notes: []string{partSigned, first}, Part: true})
	for i, answer := range python(t, questions...) {
		if !strings.HasPrefix(answer, "ok:") {
			t.Errorf("question %d: %s", i, answer)
		}
	}
	if later != 621 || len(lines) != 621 || len(part) != 3 {
		t.Errorf("%d entries, %d and %d lines", later, len(lines), len(part))
	}
}

// A key that was replaced still convicts; the checkpoint between the two is signed by both.
func TestTheKeyOfTheAuditRotates(t *testing.T) {
	d := openLog(t)
	d.entries(2)
	before := d.checkpoint()
	fresh, err := d.RotateAuditKey(t.Context(), "ann")
	d.must(err)
	between := d.checkpoint()
	d.entries(1)
	after := d.checkpoint()
	for _, c := range []struct {
		signed   string
		old, new bool
	}{{before, true, false}, {between, true, true}, {after, false, true}} {
		for i, want := range []bool{c.old, c.new} {
			key, err := ledger.ParseKeys(d.publicKeys()[i])
			d.must(err)
			if _, err = ledger.Open(c.signed, key); (err == nil) != want {
				t.Errorf("key %d: %v\n%s", i, err, c.signed)
			}
		}
	}
	if keys := d.publicKeys(); len(keys) != 2 || keys[1] != fresh || !d.verify(before, between, after).OK() {
		t.Errorf("%v: %+v", keys, d.verify())
	}
	d.UseOrigin("example.com/renamed")
	if c, err := ledger.Unsigned(d.checkpoint()); err != nil || c.Origin != "example.com/renamed" || !d.verify(before, after).OK() {
		t.Errorf("%+v %v: %+v", c, err, d.verify())
	}
}

// The time of an entry is the database's: nobody brings one, and it never runs back.
func TestTheTimeOfTheAuditIsTheDatabases(t *testing.T) {
	d := open(t)
	const own = `INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, reason, details, prev_hash, hash)
		SELECT h.seq + 1, m, 'bob', 'test', 'test', '1', '', %s, h.hash, redrive.audit_hash(h.hash, h.seq + 1, m, 'bob', 'test', 'test', '1', '', %[1]s)
		FROM redrive.audit_head h, LATERAL (SELECT %s AS m) x`
	refused := func(details, moment string) {
		t.Helper()
		if err := d.sql(fmt.Sprintf(own, details, moment)); err == nil || !strings.Contains(err.Error(), "a time that nobody gave") {
			t.Errorf("%s %s: %v", details, moment, err)
		}
	}
	refused("'{}'", "now()")
	refused(`'{"past": true}'`, "now() + interval '1 hour'")
	d.entries(1)
	refused(`'{"past": true}'`, "now() - interval '1 hour'")
	refused("'{}'", "clock_timestamp()")
	d.must(d.sql("SELECT redrive.audit_begin()"))
	refused("'{}'", "now() - interval '1 hour'")
	d.must(d.sql(fmt.Sprintf(own, "'{}'", "h.granted")))
	// a clock that was ahead: what follows has its time, until the clock is there
	d.must(d.sql(`ALTER TABLE redrive.audit_head DISABLE TRIGGER USER`))
	d.must(d.sql(`UPDATE redrive.audit_head SET at = now() + interval '1 hour'`))
	d.must(d.sql(`ALTER TABLE redrive.audit_head ENABLE TRIGGER USER`))
	d.entries(2)
	d.must(d.sql(`INSERT INTO redrive.audit (at, actor, action, subject_type, subject) VALUES ('2001-01-01', 'bob', 'test', 'test', '1')`))
	page, err := d.Audit(t.Context(), delivery.AuditFilter{Limit: 3})
	d.must(err)
	for _, e := range page.Items {
		if !e.At.Equal(page.Items[0].At) || e.At.Before(time.Now().Add(50*time.Minute)) {
			t.Errorf("entry %d is of %s", e.Seq, e.At)
		}
	}
}

// tampering changes an export as its keeper could. It says what was done, and whether the keeper signs a checkpoint of the result: whoever
// has the key can, of anything.
type tampering func(r *rand.Rand, list []delivery.AuditEntry, outside int) (changed []delivery.AuditEntry, rehashed, signs bool)

var tamperings = map[string]tampering{
	"edit": func(r *rand.Rand, list []delivery.AuditEntry, _ int) ([]delivery.AuditEntry, bool, bool) {
		editAny(r, &list[r.IntN(len(list))])
		return list, false, false
	},
	"edit and hash again": func(r *rand.Rand, list []delivery.AuditEntry, _ int) ([]delivery.AuditEntry, bool, bool) {
		editContent(r, &list[r.IntN(len(list))])
		return list, true, false
	},
	"rewrite whole, signed": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		editContent(r, &list[r.IntN(outside)])
		return list, true, true
	},
	"delete": func(r *rand.Rand, list []delivery.AuditEntry, _ int) ([]delivery.AuditEntry, bool, bool) {
		at := r.IntN(len(list))
		return slices.Delete(list, at, at+1), false, false
	},
	"delete and close the gap, signed": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		at := r.IntN(outside)
		return slices.Delete(list, at, at+1), true, true
	},
	"insert": func(r *rand.Rand, list []delivery.AuditEntry, _ int) ([]delivery.AuditEntry, bool, bool) {
		at := r.IntN(len(list) + 1)
		return slices.Insert(list, at, list[r.IntN(len(list))]), r.IntN(2) == 0, false
	},
	"insert, signed": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		added := list[r.IntN(len(list))]
		added.Reason += " and so"
		return slices.Insert(list, r.IntN(outside), added), true, true
	},
	"reorder": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		a := r.IntN(outside - 1)
		b := a + 1 + r.IntN(outside-a-1)
		list[a], list[b] = list[b], list[a]
		again := r.IntN(2) == 0
		return list, again, again
	},
	"truncate": func(r *rand.Rand, list []delivery.AuditEntry, _ int) ([]delivery.AuditEntry, bool, bool) {
		return list[:r.IntN(len(list))], false, false
	},
	"roll back, signed": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		return list[:1+r.IntN(outside-1)], false, true
	},
	"split view, signed": func(r *rand.Rand, list []delivery.AuditEntry, outside int) ([]delivery.AuditEntry, bool, bool) {
		for i := r.IntN(outside); i < len(list); i++ { // another story from here on
			list[i].Subject = fmt.Sprint("another ", r.IntN(1000))
		}
		return list, true, true
	},
}

// editContent changes what is hashed and is no hash.
func editContent(r *rand.Rand, e *delivery.AuditEntry) {
	for _, text := range []*string{&e.Actor, &e.Action, &e.SubjectType, &e.Subject, &e.Reason} {
		if r.IntN(5) == 0 {
			*text += "x"
			return
		}
	}
	if r.IntN(2) == 0 {
		e.At = e.At.Add(time.Microsecond)
		return
	}
	e.Details = append(bytes.Clone(e.Details), ' ')
}

func editAny(r *rand.Rand, e *delivery.AuditEntry) {
	switch r.IntN(5) {
	case 0:
		e.Seq++
	case 1:
		e.Hash = append(bytes.Clone(e.Hash[:31]), e.Hash[31]^1)
	case 2:
		e.PrevHash = bytes.Repeat([]byte{byte(r.IntN(256))}, 32)
	default:
		editContent(r, e)
	}
}

// rehash gives each entry number and hashes as if it had always been there.
func rehash(list []delivery.AuditEntry) {
	before := []byte{}
	for i := range list {
		list[i].Seq, list[i].PrevHash = int64(i)+1, before
		before = audit.Hash(before, list[i])
		list[i].Hash = before
	}
}

func treeOf(list []delivery.AuditEntry) *ledger.Tree {
	tree := &ledger.Tree{}
	for _, e := range list {
		tree.Append(ledger.Leaf(e.Hash))
	}
	return tree
}

// A thousand random tamperings, by somebody who has the key: all are found by whoever has one earlier checkpoint, and what was not tampered
// with passes. The verifier has nothing of ours.
func TestAThousandTamperingsAreFound(t *testing.T) {
	d := openLog(t)
	d.checkpoint()
	d.entries(24)
	outside := d.checkpoint()
	kept := 25
	d.entries(12)
	lines, signed := d.export(notary.Period{})
	keys := d.publicKeys()
	var entries []delivery.AuditEntry
	_, err := d.Walk(t.Context(), func(e *delivery.AuditEntry) error { entries = append(entries, *e); return nil })
	d.must(err)
	private := d.privateKey()
	cases, names := []checked{{Keys: keys, Lines: lines, Notes: []string{signed, outside}}}, []string{"nothing"}
	kinds := slices.Sorted(maps.Keys(tamperings))
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 1000 {
		name := kinds[n%len(kinds)]
		list, again, signs := tamperings[name](r, slices.Clone(entries), kept)
		if again {
			rehash(list)
		}
		note := signed
		if signs {
			tree := treeOf(list)
			root, err := tree.Root(tree.Size())
			d.must(err)
			note, err = ledger.Checkpoint{Origin: "example.com/redrive", Size: tree.Size(), Root: root}.Sign(private)
			d.must(err)
		}
		c := checked{Keys: keys, Notes: []string{note, outside}}
		for _, e := range list {
			c.Lines = append(c.Lines, string(ledger.Line(e)))
		}
		cases, names = append(cases, c), append(names, name)
	}
	found := map[string]int{}
	for i, answer := range python(t, cases...) {
		if ok := strings.HasPrefix(answer, "ok:"); ok != (i == 0) {
			t.Errorf("case %d, %s: %s\n%s", i, names[i], answer, strings.Join(cases[i].Lines, ""))
		}
		found[names[i]]++
	}
	if len(found) != len(kinds)+1 {
		t.Errorf("found %v", found)
	}
}

func (d logged) privateKey() string {
	d.t.Helper()
	var id string
	var sealed []byte
	d.must(d.Pool.QueryRow("SELECT id::text, sealed FROM redrive.audit_keys").Scan(&id, &sealed))
	private, err := d.OpenRow(d.Gorm, "audit", "redrive.audit_keys/"+id, sealed)
	d.must(err)
	return string(private)
}

// Whoever owns the database rewrites it whole, tree and checkpoints with it: a checkpoint from outside convicts them.
func TestARewrittenDatabaseIsFound(t *testing.T) {
	const rewrite = `WITH RECURSIVE told AS (
			SELECT seq, ''::bytea AS before, redrive.audit_hash('', seq, at, actor, action, subject_type, subject, 'another', details) AS own FROM redrive.audit WHERE seq = 1
			UNION ALL SELECT a.seq, t.own, redrive.audit_hash(t.own, a.seq, a.at, a.actor, a.action, a.subject_type, a.subject, 'another', a.details)
			FROM told t JOIN redrive.audit a ON a.seq = t.seq + 1)
		UPDATE redrive.audit a SET reason = 'another', prev_hash = t.before, hash = t.own FROM told t WHERE t.seq = a.seq`
	d := openLog(t)
	d.checkpoint()
	d.entries(5)
	outside := d.checkpoint()
	for _, table := range []string{"audit", "audit_head", "audit_tiles", "audit_checkpoints"} {
		d.must(d.sql("ALTER TABLE redrive." + table + " DISABLE TRIGGER USER"))
	}
	d.must(d.sql("UPDATE redrive.audit_tiles SET hashes = set_byte(hashes, 40, 1)"))
	if v := d.verify(); v.Problem == nil || !strings.Contains(v.Problem.Error(), "tree that is kept") {
		t.Errorf("%+v", v)
	}
	d.must(d.sql(rewrite))
	d.must(d.sql("UPDATE redrive.audit_head h SET hash = a.hash FROM redrive.audit a WHERE a.seq = h.seq"))
	d.must(d.sql("DELETE FROM redrive.audit_tiles"))
	if _, err := d.Checkpoint(t.Context()); err == nil || !strings.Contains(err.Error(), "does not continue") {
		t.Errorf("it signs what does not continue: %v", err)
	}
	d.must(d.sql("DELETE FROM redrive.audit_checkpoints"))
	d.checkpoint()
	if v := d.verify(); !v.OK() {
		t.Errorf("by itself it fits: %+v", v)
	}
	if v := d.verify(outside); v.Problem == nil || !strings.Contains(v.Problem.Error(), "does not continue the checkpoint") {
		t.Errorf("%+v", v)
	}
	d.must(d.sql("DELETE FROM redrive.audit WHERE seq > 3"))
	d.must(d.sql("UPDATE redrive.audit_head h SET (seq, hash) = (SELECT seq, hash FROM redrive.audit WHERE seq = 3)"))
	if v := d.verify(outside); v.OK() {
		t.Errorf("rolled back: %+v", v)
	}
}

// Entries older than the time that is kept leave by segments, their hashes stay: the log goes on, and everything that was signed still fits. The
// database keeps a year, whoever asks.
func TestOldEntriesLeaveAndTheirHashesStay(t *testing.T) {
	d := openLog(t)
	const year = 366 * 24 * time.Hour
	d.must(d.sql("ALTER TABLE redrive.audit DISABLE TRIGGER USER"))
	d.must(d.sql(`ALTER TABLE redrive.audit_head DISABLE TRIGGER USER`))
	var hashes [][]byte
	list := make([]delivery.AuditEntry, 8200)
	began := time.Now().UTC().Add(-3 * year).Truncate(time.Microsecond)
	for i := range list {
		list[i] = delivery.AuditEntry{At: began.Add(time.Duration(i) * time.Minute), Actor: "ann", Action: "test", SubjectType: "test", Details: []byte("{}")}
	}
	rehash(list)
	var times []time.Time
	var before [][]byte
	for _, e := range list {
		hashes, before, times = append(hashes, e.Hash), append(before, e.PrevHash), append(times, e.At)
	}
	d.must(d.Gorm.Exec(`INSERT INTO redrive.audit (seq, at, actor, action, subject_type, subject, prev_hash, hash)
		SELECT n, at, 'ann', 'test', 'test', '', before, own FROM unnest(?::timestamptz[], ?::bytea[], ?::bytea[]) WITH ORDINALITY x(at, before, own, n)`, &times, &before, &hashes).Error)
	d.must(d.sql("UPDATE redrive.audit_head SET (seq, hash, at) = (SELECT seq, hash, at FROM redrive.audit ORDER BY seq DESC LIMIT 1)"))
	d.must(d.sql("ALTER TABLE redrive.audit ENABLE TRIGGER USER"))
	d.must(d.sql("ALTER TABLE redrive.audit_head ENABLE TRIGGER USER"))
	if left, err := d.ForgetAudit(t.Context(), year); left || err != nil {
		t.Errorf("before a checkpoint: %v %v", left, err)
	}
	outside := d.checkpoint()
	for _, wrong := range []string{"(4096, '30 days')", "(4000, '1 year')", "(8192, '1 year')"} {
		if d.sql("INSERT INTO redrive.audit_gone (upto, keep) VALUES "+wrong) == nil {
			t.Errorf("%s left", wrong)
		}
	}
	if d.sql("DELETE FROM redrive.audit WHERE seq < 5") == nil || d.sql("DELETE FROM redrive.audit_gone") == nil {
		t.Error("deleted")
	}
	for want := range 3 {
		if left, err := d.ForgetAudit(t.Context(), year); left != (want < 2) || err != nil {
			t.Errorf("segment %d: %v %v", want, left, err)
		}
	}
	d.entries(3)
	v := d.verify(outside)
	if !v.OK() || v.Gone != 8192 || v.Chain.Entries != 8204 {
		t.Errorf("%+v", v)
	}
	p, err := d.Prove(t.Context(), 8195)
	d.must(err)
	if _, err := d.Prove(t.Context(), 4000); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("what has left is proved: %v", err)
	}
	lines, signed := d.export(notary.Period{})
	keys := d.publicKeys()
	for i, answer := range python(t, checked{Keys: keys, Lines: lines, Notes: []string{signed, outside}}, checked{Keys: keys, Proof: p.String()}) {
		if !strings.HasPrefix(answer, "ok:") {
			t.Errorf("question %d: %s", i, answer)
		}
	}
	if gone := hex.EncodeToString(hashes[8191]); strings.Contains(strings.Join(lines, ""), `"seq":8192,`) || !strings.Contains(lines[32], gone) {
		t.Errorf("the first line after what has left: %s", lines[32])
	}
}
