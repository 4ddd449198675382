package httpsend

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
)

const (
	signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	bearer        = "bearer-of-the-receiver"
	password      = "passw0rd-of-the-receiver"
)

// plain is the text of a header that is encoded as CloudEvents encodes attributes.
func plain(r *http.Request, name string) string {
	text, err := url.PathUnescape(r.Header.Get(name))
	if err != nil {
		return err.Error()
	}
	return text
}

func TestConformance(t *testing.T) {
	to := func(t *testing.T, log *slog.Logger, handler http.HandlerFunc) delivery.Sender {
		url := strings.Replace(receiver(t, handler), "http://", "http://ann:"+password+"@", 1)
		s, err := New(delivery.HTTPDestination{URL: url, Secret: signingSecret, Headers: map[string]string{"X-Token": bearer}, Timeout: 10 * time.Second},
			wire.Dialer{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	answer := func(status int) func(*testing.T, *slog.Logger) delivery.Sender {
		return func(t *testing.T, log *slog.Logger) delivery.Sender {
			return to(t, log, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
			})
		}
	}
	sendtest.Run(t, sendtest.Bed{
		To: delivery.Destination{To: &delivery.HTTPDestination{}},
		Open: func(t *testing.T, log *slog.Logger) sendtest.Place {
			arrived := make(chan sendtest.Arrived, 1000)
			s := to(t, log, func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				arrived <- sendtest.Arrived{Payload: body, ID: plain(r, "Redrive-Message"), Type: plain(r, "Redrive-Type"), Key: plain(r, "Redrive-Key"),
					Attempt: r.Header.Get("Redrive-Attempt"), IdempotencyKey: r.Header.Get("Idempotency-Key"), Header: r.Header.Get}
			})
			return sendtest.Place{Sender: s, Arrived: func(n int) (got []sendtest.Arrived) {
				for len(got) < n && len(arrived) > 0 { // the receiver had each before it answered
					got = append(got, <-arrived)
				}
				return got
			}}
		},
		Carries:   sendtest.Facts{ID: true, Type: true, Key: true, Attempt: true, IdempotencyKey: true, Headers: true},
		Transient: sendtest.Fault{Class: delivery.ClassHTTP5xx, Make: answer(http.StatusServiceUnavailable)},
		Permanent: sendtest.Fault{Class: delivery.ClassGone, Make: answer(http.StatusGone)},
		Unknown: sendtest.Fault{Class: delivery.ClassConnectionLost, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
			return to(t, log, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			})
		}},
		Oversized: sendtest.Fault{Class: delivery.ClassHTTP4xx, Make: answer(http.StatusRequestEntityTooLarge),
			Alter: func(r *delivery.Request) { r.Message.Payload = make([]byte, delivery.MaxPayload) }},
		BadHeader: sendtest.Fault{Class: delivery.ClassBadRequest, Make: answer(http.StatusOK),
			Alter: func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }},
		Secrets: []string{signingSecret, strings.TrimPrefix(signingSecret, secretPrefix), bearer, password},
	})
}
