package filesend

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/send/sendtest"
	"redrive/delivery/wire"
	"redrive/store/storetest/services"
)

const (
	secretBearer   = "bearer-of-the-upload"
	secretPassword = "passw0rd-of-the-server"
)

// The suite that every destination runs. What arrives is what the files hold; the message only describes them.
func TestConformance(t *testing.T) {
	files := keep("", nil)
	sender := func(t *testing.T, log *slog.Logger, d delivery.FileDestination) delivery.Sender {
		t.Helper()
		d.Timeout = 20 * time.Second
		s, err := New(d, files, wire.Dialer{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	facing := func(d func(t *testing.T) delivery.FileDestination) func(*testing.T, *slog.Logger) delivery.Sender {
		return func(t *testing.T, log *slog.Logger) delivery.Sender { return sender(t, log, d(t)) }
	}
	bed := sendtest.Bed{
		Dress: func(r *delivery.Request) {
			f := describe(r.IdempotencyKey+".csv", r.Message.Payload)
			files.put(f.ID, r.Message.Payload)
			r.Message.Payload, _ = json.Marshal(f)
		},
		Carries:   sendtest.Facts{Else: "a file is its bytes and its name; the manifest has the rest"},
		Permanent: sendtest.Fault{Class: delivery.ClassFileExists, Make: facing(taken)},
		Unknown:   sendtest.Fault{None: "whether the file is there can be seen"},
		Oversized: sendtest.Fault{None: "a file has no size that a directory refuses, as long as there is space"},
		BadHeader: sendtest.Fault{None: "a message's headers do not travel"},
		Secrets:   []string{secretPassword},
	}
	t.Run("directory", func(t *testing.T) {
		b := bed
		b.To = delivery.Destination{To: &delivery.FileDestination{Dir: "in"}}
		b.Open = func(t *testing.T, log *slog.Logger) sendtest.Place {
			dir := t.TempDir()
			return sendtest.Place{Sender: sender(t, log, delivery.FileDestination{Dir: dir}), Arrived: inDirectory(t, dir)}
		}
		b.Transient = sendtest.Fault{Class: delivery.ClassNotFound, Make: facing(func(t *testing.T) delivery.FileDestination {
			return delivery.FileDestination{Dir: filepath.Join(t.TempDir(), "missing")}
		})}
		sendtest.Run(t, b)
	})
	t.Run("sftp", func(t *testing.T) {
		b := bed
		b.To = delivery.Destination{To: &delivery.FileDestination{SFTP: &delivery.SFTPServer{}}}
		b.Senders = 3 // each message costs a sign-in
		b.Open = func(t *testing.T, log *slog.Logger) sendtest.Place {
			s := services.StartSSHD(t)
			d := at(s)
			d.Password = secretPassword
			return sendtest.Place{Sender: sender(t, log, delivery.FileDestination{SFTP: d}), Arrived: inDirectory(t, s.Dir)}
		}
		b.Transient = sendtest.Fault{Class: delivery.ClassConnect, Make: facing(func(t *testing.T) delivery.FileDestination {
			s := services.StartSSHD(t)
			s.Kill()
			return delivery.FileDestination{SFTP: at(s)}
		})}
		sendtest.Run(t, b)
	})
	t.Run("upload", func(t *testing.T) { sendtest.Run(t, uploadBed(bed, sender)) })
}

// taken is a directory in which the suite's file has another content.
func taken(t *testing.T) delivery.FileDestination {
	dir := t.TempDir()
	write(t, dir, sendtest.Request("0001", "").IdempotencyKey+".csv", []byte("another"))
	return delivery.FileDestination{Dir: dir}
}

func inDirectory(t *testing.T, dir string) func(int) []sendtest.Arrived {
	return func(int) (arrived []sendtest.Arrived) {
		for _, name := range names(t, dir) { // sorted, as the suite numbers them
			arrived = append(arrived, sendtest.Arrived{Payload: read(t, dir, name)})
		}
		return arrived
	}
}

func uploadBed(b sendtest.Bed, sender func(*testing.T, *slog.Logger, delivery.FileDestination) delivery.Sender) sendtest.Bed {
	to := func(t *testing.T, log *slog.Logger, handler http.HandlerFunc) delivery.Sender {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		address := strings.Replace(server.URL, "http://", "http://ann:"+secretPassword+"@", 1) + "/in/{name}"
		return sender(t, log, delivery.FileDestination{Upload: &delivery.HTTPDestination{URL: address, Method: http.MethodPut,
			Headers: map[string]string{"X-Token": secretBearer}}})
	}
	answer := func(status int) func(*testing.T, *slog.Logger) delivery.Sender {
		return func(t *testing.T, log *slog.Logger) delivery.Sender {
			return to(t, log, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
			})
		}
	}
	b.Open = func(t *testing.T, log *slog.Logger) sendtest.Place {
		arrived := make(chan sendtest.Arrived, 1000)
		s := to(t, log, func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			arrived <- sendtest.Arrived{Payload: body, Attempt: r.Header.Get("Redrive-Attempt"), IdempotencyKey: r.Header.Get("Idempotency-Key"), Header: r.Header.Get}
		})
		return sendtest.Place{Sender: s, Arrived: func(n int) (got []sendtest.Arrived) {
			for len(got) < n && len(arrived) > 0 { // the receiver had each before it answered
				got = append(got, <-arrived)
			}
			return got
		}}
	}
	b.Carries = sendtest.Facts{Attempt: true, IdempotencyKey: true, Headers: true, Else: "id, type and key are the file's business"}
	b.To = delivery.Destination{To: &delivery.FileDestination{Upload: &delivery.HTTPDestination{}}}
	b.Transient = sendtest.Fault{Class: delivery.ClassHTTP5xx, Make: answer(http.StatusServiceUnavailable)}
	b.Permanent = sendtest.Fault{Class: delivery.ClassHTTP4xx, Make: answer(http.StatusConflict)}
	b.Unknown = sendtest.Fault{Class: delivery.ClassConnectionLost, Make: func(t *testing.T, log *slog.Logger) delivery.Sender {
		return to(t, log, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		})
	}}
	b.Oversized = sendtest.Fault{Class: delivery.ClassHTTP4xx, Make: answer(http.StatusRequestEntityTooLarge),
		Alter: func(r *delivery.Request) { r.Message.Payload = make([]byte, delivery.MaxPayload) }}
	b.BadHeader = sendtest.Fault{Class: delivery.ClassBadRequest, Make: answer(http.StatusOK),
		Alter: func(r *delivery.Request) { r.Message.Headers["tenant"] = "north\r\nsouth" }}
	b.Secrets = []string{secretBearer, secretPassword}
	return b
}

// A send leaves no descriptor behind, whatever its end; the goroutines are counted when the tests have ended.
func TestNothingStaysOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		content := noise(100_000)
		f := describe(name, content)
		wrong := f
		wrong.SHA256 = strings.Repeat("0", 64)
		ended := newSender(t, d, keep(f.ID, content))
		var before int
		for n := range 6 {
			if n == 2 {
				before = descriptors(t)
			}
			_ = os.Remove(filepath.Join(dir, name))
			expect(t, ended.Send(t.Context(), request(wrong, 1)), delivery.OutcomePermanent, delivery.ClassCorrupt)
			expect(t, ended.Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
			expect(t, ended.Send(t.Context(), request(f, 2)), delivery.OutcomeOK, "")
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
