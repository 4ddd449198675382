package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"redrive/delivery"
)

// twins asks both rules about one message: the program's, and that of the SQL functions.
type twins struct {
	t    rapid.TB
	conn *pgx.Conn
}

func (w twins) agree(m delivery.Message) bool {
	w.t.Helper()
	program := m.Check()
	for name, value := range m.Headers { // as JSON it would be another text: SQL never sees this one
		if !validUTF8(name) || !validUTF8(value) {
			if program == nil {
				w.t.Errorf("%q: %q is taken", name, value)
			}
			return false
		}
	}
	headers, err := json.Marshal(m.Headers)
	if err != nil {
		w.t.Fatal(err)
	}
	if m.Headers == nil {
		headers = []byte("{}")
	}
	none := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	_, err = w.conn.Exec(context.Background(), "SELECT redrive.check_message($1, $2, $3, $4, $5, $6, $7)", m.Type, m.Payload, none(m.Key), string(headers), none(m.IdempotencyKey),
		m.DeliverAfter, m.ExpiresAt)
	if state := code(err); err != nil && !strings.HasPrefix(state, "RD00") && !strings.HasPrefix(state, "22") {
		w.t.Fatal(err)
	}
	if (program == nil) != (err == nil) {
		w.t.Errorf("%+v: the program says %v, SQL says %v", m, program, err)
	}
	var input *delivery.InputError
	if program != nil && (!errors.As(program, &input) || input.Code == "" || english(input.Phrase()) == input.Phrase().String()) {
		w.t.Errorf("%+v: %v", m, program)
	}
	return program == nil
}

// texts are what a field may be, and must not be.
func texts() []string {
	list := []string{"", " ", "\t", "   ", "a", " a", "a ", "a b", "\ta", "a\t", "a\tb", "a\nb", "a\r\nb", "a\vb", "a\x1bb", "a\x7f", "a\x00b", "\u0085", "a\u009fb", "a\u00a0", "\u00a0a", "\u3000a", "한글", "é", "😀",
		"\ufeff", "\ufffd", "a\xffb", "\xc3", "%20", "%", `a"b`, `\`, "a,b", "a;b", "a=b", "a/b:c@d", "__proto__"}
	for _, n := range []int{254, 255, 256, 1023, 1024, 1025, 7999, 8000, 8001} {
		list = append(list, strings.Repeat("x", n), strings.Repeat("é", n/2))
	}
	return list
}

func TestTheProgramAndTheFunctionsRefuseTheSame(t *testing.T) {
	d := open(t)
	w := twins{t, d.connect()}
	good := delivery.Message{Type: "t", Payload: []byte("x")}
	taken, refused := map[string]int{}, map[string]int{}
	note := func(field string, m delivery.Message) {
		if w.agree(m) {
			taken[field]++
		} else {
			refused[field]++
		}
	}
	for _, text := range texts() {
		m := good
		m.Type = text
		note("type", m)
		m = good
		m.Key = text
		note("key", m)
		m = good
		m.IdempotencyKey = text
		note("idempotency key", m)
		m = good
		m.Headers = map[string]string{"X-A": text}
		note("header value", m)
		m.Headers = map[string]string{text: "v"}
		note("header name", m)
	}
	for _, field := range []string{"type", "key", "idempotency key", "header value", "header name"} {
		if taken[field] == 0 || refused[field] == 0 {
			t.Errorf("%s: %d taken, %d refused", field, taken[field], refused[field])
		}
	}
	headers := map[string]string{}
	for n := range 65 {
		headers[fmt.Sprint("h", n)] = "v"
		m := good
		m.Headers = headers
		w.agree(m)
	}
	times := []*time.Time{nil}
	for _, at := range []time.Time{time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Now(), time.Now().Add(time.Second), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		at = at.Truncate(time.Microsecond)
		times = append(times, &at)
	}
	for _, after := range times {
		for _, expires := range times {
			m := good
			m.DeliverAfter, m.ExpiresAt = after, expires
			w.agree(m)
		}
	}
	for _, size := range []int{0, delivery.MaxPayload, delivery.MaxPayload + 1} {
		m := good
		m.Payload = make([]byte, size)
		w.agree(m)
	}
}

// Also about texts that nobody thought of.
func TestTheProgramAndTheFunctionsRefuseTheSameAtRandom(t *testing.T) {
	d := open(t)
	conn := d.connect()
	runes := rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune{' ', '\t', '\n', 0x7f, 0x80, 0x85, 0x9f, 0xa0, 'a', '-', '"', '\\'}), rapid.Int32Range(0, 0x180))
	text := rapid.OneOf(rapid.StringOf(runes), rapid.SampledFrom(texts()))
	rapid.Check(t, func(r *rapid.T) {
		m := delivery.Message{Type: "t", Payload: []byte("x")}
		switch rapid.IntRange(0, 4).Draw(r, "field") {
		case 0:
			m.Type = text.Draw(r, "type")
		case 1:
			m.Key = text.Draw(r, "key")
		case 2:
			m.IdempotencyKey = text.Draw(r, "idempotency key")
		case 3:
			m.Headers = rapid.MapOfN(rapid.StringMatching("[A-Za-z-]{1,4}"), text, 1, 3).Draw(r, "headers")
		case 4:
			m.Headers = map[string]string{text.Draw(r, "name"): "v"}
		}
		twins{r, conn}.agree(m)
	})
}

func validUTF8(text string) bool { return strings.ToValidUTF8(text, "") == text }

// The producers' functions ask the rule: what they recognise at a glance is never what it refuses.
func TestProducersFunctionsAskTheRule(t *testing.T) {
	d := open(t)
	conn := d.connect()
	for _, text := range texts() {
		if !validUTF8(text) || strings.Contains(text, "\x00") {
			continue
		}
		for field, m := range map[string]delivery.Message{"type": {Type: text}, "key": {Type: "t", Key: text}, "idempotency_key": {Type: "t", IdempotencyKey: text}} {
			if text == "" && field == "idempotency_key" {
				continue // no key for the program, a mistake for SQL
			}
			want := m.Check() == nil
			arguments := "payload => 'x', " + field + " => $1"
			if field != "type" {
				arguments += ", type => 't'"
			}
			for _, call := range []string{"SELECT redrive.publish(" + arguments + ")", "SELECT redrive.enqueue(integration => 'push', " + arguments + ")"} {
				_, err := conn.Exec(t.Context(), call, text)
				if (err == nil) != want {
					t.Errorf("%s %q: want it taken: %v, got %v", field, text[:min(len(text), 20)], want, err)
				}
			}
		}
	}
	for _, key := range []string{" k-1", "k-1 ", " ", "\tk"} {
		if err := d.sql("SELECT redrive.publish('t', 'x', idempotency_key => $1)", key); code(err) != "RD006" {
			t.Errorf("idempotency key %q: %v", key, err)
		}
	}
	if err := d.sql("SELECT redrive.enqueue('push', 't', 'x', deliver_after => now() + interval '2 h', expires_at => now() + interval '1 h')"); code(err) != "RD006" {
		t.Errorf("expires before it is sent: %v", err)
	}
	if got := value[[]string](d, "SELECT array_agg(DISTINCT idempotency_key) FROM redrive.messages WHERE idempotency_key IS NOT NULL AND length(idempotency_key) < 6"); slices.ContainsFunc(got, func(key string) bool { return strings.TrimSpace(key) != key }) {
		t.Errorf("kept: %q", got)
	}
}
