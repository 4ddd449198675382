package client

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What stands around the values is in the language of whoever runs the command, and columns stand under their headings however wide
// their signs are.
func TestTheTerminalSpeaksKorean(t *testing.T) {
	t.Setenv("REDRIVE_LANG", "ko")
	at := time.Now().Add(-time.Minute)
	var out strings.Builder
	screen := &Terminal{Out: &out}
	var d detail
	err := json.Unmarshal([]byte(`{"id": "1", "state": "2", "type": "3", "key": "주문", "integration": "연동", "failed_at": "2026-01-31T09:30:00Z",
		"next_attempt_at": "2026-01-31T09:30:00Z", "attempts": [{"number": 1, "started_at": "2026-01-31T09:30:00Z"}],
		"notes": [{"author": "미나"}], "history": [{"actor": "미나"}]}`), &d)
	if err != nil {
		t.Fatal(err)
	}
	d.print(screen, time.Now())
	for _, sent := range []content{{Dropped: true}, {PayloadNull: true}, {Masked: true}} {
		detail{Message: sent}.printSent(screen)
	}
	operation{ID: "1", Action: "2", State: "3", Actor: "미나", Released: 2, Failing: 1, Cancelled: 1, Remaining: 1, CreatedAt: &at, Parts: make([]part, 1)}.print(screen, time.Now())
	for _, word := range regexp.MustCompile(`[A-Za-z]{3,}`).FindAllString(strings.ReplaceAll(out.String(), "null", ""), -1) {
		t.Errorf("English in the terminal: %s", word)
	}
	if t.Failed() {
		t.Log(out.String())
	}

	out.Reset()
	x := &table{head: []string{"KEY", "REASON"}, least: []int{0, 0}}
	x.add("order-1", "x")
	x.add("주문-1", "x")
	screen.table(x)
	lines := strings.Split(out.String(), "\n")
	for _, line := range lines[:3] {
		if before, _, _ := strings.Cut(strings.Replace(line, "사유", "x", 1), "x"); columns(before) != 9 {
			t.Errorf("the second column of %q begins at %d", line, columns(before))
		}
	}
	for _, text := range []string{"주문서", "order", "가나다라"} {
		if got := shortened(text, 5); columns(got) > 5 {
			t.Errorf("%q is wider than 5 columns", got)
		}
	}
}
