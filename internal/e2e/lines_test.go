package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A receiver that goes on talking after its answer makes net/http write a line by itself, past every logger.
func TestEveryLineOfTheLogIsAnEvent(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ns3cr3t of the receiver")
		_, _ = io.Copy(io.Discard, conn) // until the other side hangs up
	}))
	t.Cleanup(receiver.Close)
	p := serve(t, onFreshDatabase(t), "REDRIVE_LOG_FORMAT=json", configFile(t, `integrations:
  - name: push
    method: outbox
    destination: {http: {url: "`+receiver.URL+`"}}
`))
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")) // the server's own lines: no request at all
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "\x16\x03\x01 garbage\r\n\r\n")
	_ = conn.Close()
	const sign = "Unsolicited response"
	await(t, "a line of net/http", func() bool { // whether the garbage is there before the connection is idle is up to the network
		p.send("push", 1)
		return strings.Contains(p.output(), sign)
	})
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(p.output(), "s3cr3t") {
		t.Error("the log has what the receiver said")
	}
	for line := range strings.Lines(p.output()) {
		var event struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Level == "" || event.Msg == "" {
			t.Errorf("no event: %s", line)
		}
	}
}

// The password of the first operator is told once, as a line like the others; it is what one signs in with.
func TestTheFirstOperatorIsAnEvent(t *testing.T) {
	env := []string{onFreshDatabase(t), "REDRIVE_LOG_FORMAT=json", "REDRIVE_ADMIN_PASSWORD=", "REDRIVE_CONFIG=", "REDRIVE_DATA_DIR=" + t.TempDir()}
	p := serve(t, env...)
	var told []string
	for line := range strings.Lines(p.output()) {
		var event struct{ Level, Msg, Operator, Password string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Level == "" || event.Msg == "" {
			t.Errorf("no event: %s", line)
		}
		if event.Password != "" {
			told = append(told, event.Operator+":"+event.Password)
		}
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "admin:") {
		t.Fatalf("told %q", told)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, password, _ := strings.Cut(told[0], ":")
	answer, err := (&http.Client{Jar: jar}).PostForm(p.url+"/sign-in", url.Values{"name": {"admin"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if at, _ := url.Parse(p.url); answer.StatusCode != http.StatusOK || len(jar.Cookies(at)) == 0 {
		t.Errorf("signing in answers %d", answer.StatusCode)
	}
	p.stop()
	if again := serve(t, env...); strings.Contains(again.output(), "password") {
		t.Errorf("told again: %s", again.output())
	}
}
