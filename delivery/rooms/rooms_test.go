package rooms

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

type roomFunc func(ctx, grace context.Context) error

func (f roomFunc) Run(ctx, grace context.Context) error { return f(ctx, grace) }

var quiet = slog.New(slog.DiscardHandler)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func untilTheEnd(ctx, _ context.Context) error {
	<-ctx.Done()
	return nil
}

func TestServeFinishesWhatIsUnderWayWhileItStillAnswers(t *testing.T) {
	listener := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "received") })
	answered := ""
	sending := roomFunc(func(ctx, grace context.Context) error {
		stop()
		<-ctx.Done()
		request, _ := http.NewRequestWithContext(grace, http.MethodGet, BaseURL(listener), nil)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		answered = string(body)
		return err
	})
	if err := Serve(ctx, listener, handler, []Room{roomFunc(untilTheEnd), sending}, time.Minute, quiet); err != nil || answered != "received" {
		t.Errorf("%q, %v", answered, err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestServeGivesUpAfterTheGrace(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	slow := roomFunc(func(_, grace context.Context) error {
		<-grace.Done()
		return errors.New("not finished")
	})
	err := Serve(ctx, listen(t), http.NotFoundHandler(), []Room{slow}, 50*time.Millisecond, quiet)
	if err == nil || err.Error() != "not finished" {
		t.Errorf("got %v", err)
	}
}

func TestServeEndsWithARoomOrTheListener(t *testing.T) {
	broken := errors.New("broken")
	failing := roomFunc(func(context.Context, context.Context) error { return broken })
	if err := Serve(t.Context(), listen(t), http.NotFoundHandler(), []Room{roomFunc(untilTheEnd), failing}, time.Minute, quiet); !errors.Is(err, broken) {
		t.Errorf("a room: %v", err)
	}
	closed := listen(t)
	_ = closed.Close()
	if err := Serve(t.Context(), closed, http.NotFoundHandler(), []Room{roomFunc(untilTheEnd)}, time.Minute, quiet); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v", err)
	}
}

func TestBaseURL(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80", "[::1]:81": "http://[::1]:81", "10.0.0.7:82": "http://10.0.0.7:82"} {
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := BaseURL(bound{addr: addr}); got != want {
			t.Errorf("%s is reached by %s", address, got)
		}
		if got := BaseURL(&TLS{bound{addr: addr}}); got != strings.Replace(want, "http", "https", 1) {
			t.Errorf("%s is reached by %s with TLS", address, got)
		}
	}
}

// bound is a listener at an address.
type bound struct {
	net.Listener
	addr net.Addr
}

func (b bound) Addr() net.Addr { return b.addr }

func TestFactsOfOwnRoomsComeFirst(t *testing.T) {
	fact := func(name string) []delivery.Fact { return []delivery.Fact{{Name: name}} }
	owned := Owned{"a": {Room: roomFunc(untilTheEnd), Facts: func(ctx context.Context) []delivery.Fact {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a page would wait for ever")
		}
		return fact("own")
	}}, "silent": {Facts: func(context.Context) []delivery.Fact { return nil }}}
	others := func(of, name string) func(string) []delivery.Fact {
		return func(integration string) []delivery.Fact {
			if integration != of && of != "" {
				return nil
			}
			return fact(name)
		}
	}
	facts := owned.Facts(others("b", "second"), others("", "third"))
	for integration, want := range map[string]string{"a": "own", "b": "second", "c": "third"} {
		if got := facts(integration); len(got) != 1 || got[0].Name != want {
			t.Errorf("%s: %+v", integration, got)
		}
	}
	if got := facts("silent"); got != nil {
		t.Errorf("others answered for a room that has no figures: %+v", got)
	}
}

func TestCloseGoesOnAndSaysWhatFailed(t *testing.T) {
	var log bytes.Buffer
	closed := 0
	closing := func(err error) func() error {
		return func() error { closed++; return err }
	}
	owned := Owned{"a": {Close: closing(errors.New("stuck"))}, "b": {Close: closing(nil)}, "c": {}}
	owned.Close(slog.New(slog.NewTextHandler(&log, nil)))
	if closed != 2 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "integration=a error=stuck") {
		t.Errorf("%d closed, logged %q", closed, &log)
	}
}
