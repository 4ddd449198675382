package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"redrive/handlers/web"
)

// Nobody asks the database when nobody listens, and there is a limit to how many can.
func TestTheHubWorksOnlyForListeners(t *testing.T) {
	asked, ended := make(chan struct{}, 10), make(chan struct{})
	h := newHub(func(ctx context.Context) (int64, error) {
		asked <- struct{}{}
		if ctx.Done() == nil {
			t.Error("the asking cannot be ended")
		}
		go func() {
			<-ctx.Done()
			select {
			case <-ended:
			default:
				close(ended)
			}
		}()
		return 1, nil
	}, func(_ context.Context, holders []string) ([]string, error) { return holders, nil })
	var all []chan struct{}
	for n := range maxStreams {
		changed, err := h.join(listener{actor: fmt.Sprint(n / streamsEach), holder: fmt.Sprint(n)})
		if err != nil {
			t.Fatal("refused too early")
		}
		all = append(all, changed)
	}
	if _, err := h.join(listener{actor: "other"}); err == nil {
		t.Error("one too many listens")
	}
	<-asked
	h.tell()
	h.tell() // the second is the same news
	for _, changed := range all {
		<-changed
		select {
		case <-changed:
			t.Fatal("told twice")
		default:
		}
		h.part(changed)
	}
	<-ended
	h.end()
	if _, err := h.join(listener{actor: "x"}); err == nil {
		t.Error("somebody listens after the end")
	}
}

// One person cannot take all streams, by however many sessions.
func TestAPersonHasSoManyStreams(t *testing.T) {
	h := newHub(func(context.Context) (int64, error) { return 1, nil }, func(_ context.Context, holders []string) ([]string, error) { return holders, nil })
	defer h.end()
	for n := range streamsEach {
		if _, err := h.join(listener{actor: "ann", holder: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.join(listener{actor: "ann", holder: "one more"})
	var p web.Problem
	if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests || p.RetryAfter == 0 {
		t.Errorf("%v", err)
	}
	if _, err := h.join(listener{actor: "bob", holder: "bob's"}); err != nil {
		t.Error(err)
	}
}
