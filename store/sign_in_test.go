package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/store/storetest"
)

// What codes of apps are made of, in the clear until now, is sealed row by row; a failure in between leaves rows that are whole, and the
// next call goes on. The keys are rotated like all others, and what is sealed for one person opens for nobody else.
func TestCodesOfBeforeAreSealed(t *testing.T) {
	dsn, db := storetest.Earlier(t, 31)
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	ids := []string{}
	for n := range 3 {
		ids = append(ids, fmt.Sprintf("0190a0a0-0000-7000-8000-00000000000%d", n))
		exec("INSERT INTO redrive.operators (id, name, role, password_hash) VALUES ($1, $2, 'viewer', '')", ids[n], fmt.Sprint("person", n))
		exec("INSERT INTO redrive.totp (operator_id, secret, confirmed_at, last_step) VALUES ($1, $2, clock_timestamp(), 7)", ids[n], fmt.Appendf(nil, "in-the-clear-%d", n))
	}
	upgraded(t, dsn)
	first, second := seal.New().Text(), seal.New().Text()
	s := vaultStore(t, dsn, first, "", "")
	// the second row cannot be written: the process ends there
	exec(`ALTER TABLE redrive.totp ADD CONSTRAINT stop CHECK (sealed IS NULL OR operator_id <> '` + ids[1] + `')`)
	if n, err := s.SealCodes(t.Context()); n != 1 || err == nil {
		t.Errorf("%d were sealed: %v", n, err)
	}
	if _, err := s.CodeSecret(t.Context(), ids[2]); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a row that is not sealed yet: %v", err)
	}
	exec("ALTER TABLE redrive.totp DROP CONSTRAINT stop")
	for want := range []int{2, 0} {
		if n, err := s.SealCodes(t.Context()); n != 2-2*want || err != nil {
			t.Errorf("%d were sealed: %v", n, err)
		}
	}
	opens := func(key, old string) {
		t.Helper()
		s := vaultStore(t, dsn, key, old, "")
		for n, id := range ids {
			if c, err := s.CodeSecret(t.Context(), id); err != nil || string(c.Secret) != fmt.Sprint("in-the-clear-", n) || !c.Confirmed {
				t.Errorf("%s: %q, %v", id, c.Secret, err)
			}
		}
	}
	opens(first, "")
	row := ""
	if err := db.QueryRowContext(t.Context(), "SELECT string_agg(t::text || encode(sealed, 'escape'), '') FROM redrive.totp t").Scan(&row); err != nil ||
		bytes.Contains([]byte(row), []byte("in-the-clear")) || bytes.Contains([]byte(row), []byte(fmt.Sprintf("%x", "in-the-clear"))) {
		t.Errorf("in the clear: %s %v", row, err)
	}
	if n, err := vaultStore(t, dsn, second, first, "").Rotate(t.Context(), "admin"); n != 1 || err != nil {
		t.Errorf("%d keys rotated: %v", n, err)
	}
	opens(second, "")
	if _, err := vaultStore(t, dsn, first, "", "").CodeSecret(t.Context(), ids[0]); err == nil {
		t.Error("the key before opens")
	}
	exec("UPDATE redrive.totp t SET sealed = o.sealed FROM redrive.totp o WHERE t.operator_id <> o.operator_id AND t.operator_id = $1 AND o.operator_id = $2", ids[0], ids[1])
	if _, err := vaultStore(t, dsn, second, "", "").CodeSecret(t.Context(), ids[0]); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("somebody else's secret opens: %v", err)
	}
}

// A proposed secret is confirmed by itself alone, once.
func TestOnlyTheProposedSecretIsConfirmed(t *testing.T) {
	s := vaultStore(t, storetest.New(t), seal.New().Text(), "", "")
	o, err := s.CreateOperator(t.Context(), delivery.Operator{Name: "ann", Role: delivery.RoleViewer}, "setup")
	if err != nil {
		t.Fatal(err)
	}
	for n, c := range []struct{ propose, confirm, want string }{
		{"first", "another", "not found"}, {"second", "first", "not found"}, {"", "second", ""}, {"", "second", "not found"}, {"third", "", "exists"},
	} {
		var err error
		if c.propose != "" {
			err = s.ProposeCodeSecret(t.Context(), o.ID, []byte(c.propose))
		}
		if c.confirm != "" && err == nil {
			err = s.ConfirmCodes(t.Context(), o, []byte(c.confirm), int64(n), [][]byte{{byte(n)}})
		}
		var wrong *delivery.InputError
		got := map[bool]string{true: "exists"}[errors.As(err, &wrong)]
		if errors.Is(err, delivery.ErrNotFound) {
			got = "not found"
		}
		if got != c.want || got == "" && err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// What strangers have kept is bounded, and one who has more and more kept takes the place of nobody but themselves; of two at once one ends
// a ticket.
func TestStrangersMakeRoomForEachOther(t *testing.T) {
	d := open(t)
	keep := func(secret, address, operator string) {
		t.Helper()
		d.must(d.KeepChallenge(t.Context(), secret, delivery.Challenge{Kind: delivery.ChallengeForm, Address: address, Operator: operator, Data: []byte(secret)}))
	}
	there := func(secret string) bool {
		t.Helper()
		c, err := d.TakeChallenge(t.Context(), secret, delivery.ChallengeForm)
		return err == nil && !c.Used && string(c.Data) == secret
	}
	o, err := d.CreateOperator(t.Context(), delivery.Operator{Name: "ann", Role: delivery.RoleViewer}, "setup")
	d.must(err)
	keep("ann's own", "", o.ID)
	keep("of a quiet place", "192.0.2.1", "")
	for n := range 30 {
		keep(fmt.Sprint("flood", n), "203.0.113.9", "")
	}
	if n := value[int](d, "SELECT count(*)::int FROM redrive.challenges WHERE address = '203.0.113.9'"); n != 4 {
		t.Errorf("%d are kept of one address", n)
	}
	if there("flood25") || !there("flood29") {
		t.Error("the oldest of an address do not make room for its latest")
	}
	for n := range 120 { // of many addresses, each with more than one
		keep(fmt.Sprint("many", n), fmt.Sprint("198.51.100.", n%30), "")
	}
	if n := value[int](d, "SELECT count(*)::int FROM redrive.challenges WHERE address IS NOT NULL"); n > 60 {
		t.Errorf("%d are kept of strangers", n)
	}
	if !there("ann's own") || !there("of a quiet place") || !there("many119") {
		t.Error("strangers took the place of a person, of an address with one form, or of whoever came last")
	}

	var ended sync.WaitGroup
	results := make(chan error, 8)
	for range cap(results) {
		ended.Go(func() { results <- d.EndTicket(t.Context(), "a ticket") })
	}
	ended.Wait()
	close(results)
	once := 0
	for err := range results {
		if err == nil {
			once++
		} else if !errors.Is(err, delivery.ErrNotFound) {
			t.Error(err)
		}
	}
	if used, err := d.TicketEnded(t.Context(), "a ticket"); once != 1 || !used || err != nil {
		t.Errorf("it ended %d times, %v: %v", once, used, err)
	}
}
