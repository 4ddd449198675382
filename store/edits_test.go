package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"redrive/delivery"
)

const editToken = "019a0000-0000-7000-8000-00000000000%d"

func (d desk) edit(r delivery.EditRequest) delivery.Delivery {
	d.t.Helper()
	if r.Actor == "" {
		r.Actor = "ann"
	}
	if r.Reason == "" {
		r.Reason = "the address was wrong"
	}
	after, err := d.Edit(d.t.Context(), r)
	d.must(err)
	return after
}

func details(t *testing.T, e delivery.AuditEntry) (members map[string]any) {
	t.Helper()
	if err := json.Unmarshal(e.Details, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestEachRoundOfEditsSendsItsVersion(t *testing.T) {
	d := open(t)
	dead := d.dead(delivery.Message{Payload: []byte(`{"n": 1}`), Headers: map[string]string{"tenant": "north", "traceparent": "00-1"}, IdempotencyKey: "k"})
	first := d.edit(delivery.EditRequest{ID: dead.ID, Version: dead.Version, Payload: []byte(`{"n":12345678901234567890}`)})
	if first.State != delivery.StatePending || first.Edit != 2 || first.Version != dead.Version+1 || first.RetryRequestedAt == nil {
		t.Fatalf("after the first edit %+v", first)
	}
	c := d.claimOne("push")
	if string(c.Message.Payload) != `{"n":12345678901234567890}` || c.Message.Headers["tenant"] != "north" || c.IdempotencyKey() != "k" || c.Attempt != 2 ||
		c.Message.ID != dead.MessageID || c.Message.Type != "test" {
		t.Fatalf("claimed %+v", c)
	}
	d.complete(completion(c, answered, delivery.StatePending)) // its policy tries the same version again
	c = d.claimOne("push")
	if string(c.Message.Payload) != `{"n":12345678901234567890}` {
		t.Errorf("the next attempt sends %s", c.Message.Payload)
	}
	d.complete(completion(c, answered, delivery.StateDead))
	d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte(`{"n":3}`), Headers: map[string]string{"tenant": "south"}})
	c = d.claimOne("push")
	if string(c.Message.Payload) != `{"n":3}` || fmt.Sprint(c.Message.Headers) != "map[tenant:south traceparent:00-1]" {
		t.Errorf("the second edit sends %s %v", c.Message.Payload, c.Message.Headers)
	}
	d.complete(completion(c, answered, delivery.StateDead))
	d.act(delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID}) // keeps the version
	c = d.claimOne("push")
	if string(c.Message.Payload) != `{"n":3}` {
		t.Errorf("a retry after an edit sends %s", c.Message.Payload)
	}
	d.complete(completion(c, confirmed, delivery.StateDelivered))
	d.checkVersions(dead.ID)
}

// checkVersions looks at what the rounds above left.
func (d desk) checkVersions(id string) {
	d.t.Helper()
	after := d.read(id)
	var sent, versions []string
	for _, a := range after.Timeline {
		sent = append(sent, fmt.Sprintf("%d:%d", a.Number, a.Edit))
	}
	for _, e := range after.Edits {
		versions = append(versions, fmt.Sprintf("%d %s %s after %d", e.Number, e.Payload, e.Actor, e.AfterAttempt))
	}
	if got := strings.Join(sent, " "); got != "1:1 2:2 3:2 4:3 5:3" {
		d.t.Errorf("attempts sent %s", got)
	}
	if got := strings.Join(versions, "; "); got != `1 {"n": 1}  after 0; 2 {"n":12345678901234567890} ann after 1; 3 {"n":3} ann after 3` {
		d.t.Errorf("versions %s", got)
	}
	if string(after.Message.Payload) != `{"n": 1}` || string(after.Sent().Payload) != `{"n":3}` || after.Sent().Headers["tenant"] != "south" {
		d.t.Errorf("message %s, sent %s", after.Message.Payload, after.Sent().Payload)
	}
	var actions []string
	for _, e := range after.History {
		actions = append(actions, e.Action)
	}
	if fmt.Sprint(actions) != "[delivery.edit delivery.edit delivery.retry]" {
		d.t.Errorf("history %v", actions)
	}
	members := details(d.t, after.History[0])
	if members["number"] != 2.0 || members["old_sha256"] != sha(`{"n": 1}`) || members["new_sha256"] != sha(`{"n":12345678901234567890}`) ||
		after.History[0].Reason != "the address was wrong" || strings.Contains(string(after.History[0].Details), "1234567") {
		d.t.Errorf("audit %+v", members)
	}
}

func TestEditsThatAreRefusedLeaveNoTrace(t *testing.T) {
	d := open(t)
	dead := d.dead(delivery.Message{Payload: []byte(`{"n":1}`), Headers: map[string]string{"Webhook-Id": "7", "tenant": "north"}})
	ok := delivery.EditRequest{ID: dead.ID, Version: dead.Version, Actor: "ann", Reason: "r", Payload: []byte(`{"n":2}`)}
	for want, change := range map[string]func(*delivery.EditRequest){
		"reason_required":   func(r *delivery.EditRequest) { r.Reason = " " },
		"payload_too_large": func(r *delivery.EditRequest) { r.Payload = make([]byte, delivery.MaxPayload+1) },
		"invalid_json":      func(r *delivery.EditRequest) { r.Payload = []byte(`{"n":2`) },
		"protected_header":  func(r *delivery.EditRequest) { r.Headers = map[string]string{"webhook-id": "8"} },
		"invalid_header":    func(r *delivery.EditRequest) { r.Headers = map[string]string{"tenant": "a\nb"} },
		"bad_token":         func(r *delivery.EditRequest) { r.Token = "7" },
	} {
		r := ok
		change(&r)
		_, err := d.Edit(t.Context(), r)
		if code := inputCode(t, err); code != want {
			t.Errorf("code %s, want %s", code, want)
		}
	}
	stale := ok
	stale.Version++
	var conflict *delivery.ConflictError
	if _, err := d.Edit(t.Context(), stale); !errors.As(err, &conflict) {
		t.Errorf("a stale version: %v", err)
	}
	if after := d.read(dead.ID); after.Version != dead.Version || after.State != delivery.StateDead || len(after.Edits) > 0 || len(after.History) > 0 {
		t.Errorf("changed to %+v", after)
	}
	waiting := d.accept(numbered(2))
	if _, err := d.Edit(t.Context(), delivery.EditRequest{ID: waiting.Deliveries[0].ID, Reason: "r"}); !errors.As(err, &conflict) {
		t.Errorf("what has not failed: %v", err)
	}
}

func TestWhatCannotBeEdited(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	r := delivery.EditRequest{ID: dead.ID, Actor: "ann", Reason: "r", Payload: []byte("2")}
	d.must(d.sql("INSERT INTO redrive.batch_rows (delivery_id, file_id, row) VALUES ($1, $2, 1)", dead.ID, dead.MessageID))
	_, err := d.Edit(t.Context(), r)
	if code := inputCode(t, err); code != "batch" {
		t.Errorf("a row of a batch: %s", code)
	}
	d.must(d.sql("DELETE FROM redrive.batch_rows"))
	d.must(d.sql("DELETE FROM redrive.messages"))
	_, err = d.Edit(t.Context(), r)
	if code := inputCode(t, err); code != "message_dropped" {
		t.Errorf("a dropped message: %s", code)
	}
}

func TestAFormIsCarriedOutOnce(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	r := delivery.EditRequest{ID: dead.ID, Payload: []byte("2"), Token: fmt.Sprintf(editToken, 1)}
	d.edit(r)
	d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	if again := d.edit(r); again.State != delivery.StateDead || again.Edit != 2 {
		t.Errorf("the same form again: %+v", again)
	}
	r.Token = fmt.Sprintf(editToken, 2)
	if other := d.edit(r); other.Edit != 3 {
		t.Errorf("another form: %+v", other)
	}
}

// Retries and edits of one dead letter at once: one wins, and what is sent is the winner's.
func TestOneOfEditsAndRetriesWins(t *testing.T) {
	d := open(t)
	for n := range 30 {
		dead := d.dead(numbered(n))
		errs := make([]error, 6)
		var people sync.WaitGroup
		for i := range errs {
			people.Go(func() {
				if i%2 == 0 {
					_, errs[i] = d.Act(t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: dead.ID, Version: dead.Version, Actor: "p0"})
				} else {
					_, errs[i] = d.Edit(t.Context(), delivery.EditRequest{ID: dead.ID, Version: dead.Version, Actor: fmt.Sprint("p", i), Reason: "r",
						Payload: fmt.Appendf(nil, "-%d", i)})
				}
			})
		}
		people.Wait()
		want := ""
		for i, err := range errs {
			var conflict *delivery.ConflictError
			switch {
			case err == nil && want != "":
				t.Fatal("two winners")
			case err == nil && i%2 == 0:
				want = fmt.Sprint(n)
			case err == nil:
				want = fmt.Sprintf("-%d", i)
			case !errors.As(err, &conflict) || conflict.Actor == "engine":
				t.Fatal(err)
			}
		}
		c := d.claimOne("push")
		if string(c.Message.Payload) != want {
			t.Fatalf("sent %s, the winner wanted %s", c.Message.Payload, want)
		}
		d.complete(completion(c, confirmed, delivery.StateDelivered))
	}
}

func TestTheByteBudgetCountsEditedPayloads(t *testing.T) {
	d := open(t)
	for _, dead := range []delivery.Detail{d.dead(numbered(1)), d.dead(numbered(2))} {
		d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte(strings.Repeat("7", 1000))})
	}
	claimed, err := d.Claim(t.Context(), "worker", []delivery.Quota{{Integration: "push", Limit: 10, Bytes: 1500, Lease: time.Minute}})
	if err != nil || len(claimed) != 1 {
		t.Errorf("%d claimed: %v", len(claimed), err)
	}
}

// A short secret could be guessed from the hash of a payload of which everything else can be seen.
func TestHashesDoNotTellMaskedFields(t *testing.T) {
	d := open(t)
	masked := integration("push", "order.placed")
	masked.Mask = []string{"$.code"}
	d.must(d.SyncIntegrations(t.Context(), []delivery.Integration{masked, integration("sms")}))
	dead := d.dead(delivery.Message{Payload: []byte(`{"code":"1234","n":1}`)})
	d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte(`{"code":"1234","n":2}`)})
	members := details(t, d.read(dead.ID).History[0])
	if members["old_sha256"] != sha(`{"code":"•••","n":1}`) || members["new_sha256"] != sha(`{"code":"•••","n":2}`) || members["masked"] != true {
		t.Errorf("%v", members)
	}
}

func TestManyLargeVersionsAreReadOneByOne(t *testing.T) {
	d := open(t)
	dead := d.dead(numbered(1))
	for range 3 {
		d.edit(delivery.EditRequest{ID: dead.ID, Payload: []byte(strings.Repeat("7", delivery.MaxPayload))})
		d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	}
	list := d.read(dead.ID).Edits
	if len(list) != 4 || !list[1].Omitted || list[1].Payload != nil || list[1].Size != delivery.MaxPayload || list[2].Omitted || len(list[3].Payload) != delivery.MaxPayload {
		t.Errorf("%d versions, the second omitted: %v", len(list), list[1].Omitted)
	}
	if e, err := d.EditOf(t.Context(), dead.ID, 2); err != nil || len(e.Payload) != delivery.MaxPayload || e.Actor != "ann" {
		t.Errorf("version 2: %d bytes, %v", len(e.Payload), err)
	}
	if e, err := d.EditOf(t.Context(), dead.ID, 1); err != nil || string(e.Payload) != "1" {
		t.Errorf("version 1: %s, %v", e.Payload, err)
	}
	if _, err := d.EditOf(t.Context(), dead.ID, 9); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("version 9: %v", err)
	}
}

func TestRetentionTakesTheContentOfEdits(t *testing.T) {
	d := open(t)
	kept, gone := d.dead(numbered(1)), d.dead(numbered(2))
	d.edit(delivery.EditRequest{ID: gone.ID, Payload: []byte("22"), Headers: map[string]string{"a": "b"}})
	d.complete(completion(d.claimOne("push"), confirmed, delivery.StateDelivered))
	d.edit(delivery.EditRequest{ID: kept.ID, Payload: []byte("11")})
	d.complete(completion(d.claimOne("push"), answered, delivery.StateDead))
	d.aged(40 * days)
	d.must(d.sql("UPDATE redrive.edits SET created_at = now() - interval '40 days'"))
	d.maintain(30 * days)
	after := d.read(gone.ID)
	if e := after.Edits[1]; !e.Dropped || e.Payload != nil || len(e.Headers) > 0 || e.Reason == "" || after.Timeline[1].Edit != 2 || !after.Sent().Dropped {
		t.Errorf("what is delivered: %+v", after.Edits)
	}
	if e := d.read(kept.ID).Edits[1]; e.Dropped || string(e.Payload) != "11" {
		t.Errorf("what is not: %+v", e)
	}
}
