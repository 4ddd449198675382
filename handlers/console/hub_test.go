package console

import (
	"context"
	"testing"
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
	for range maxStreams {
		changed, ok := h.join("x")
		if !ok {
			t.Fatal("refused too early")
		}
		all = append(all, changed)
	}
	if _, ok := h.join("x"); ok {
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
	if _, ok := h.join("x"); ok {
		t.Error("somebody listens after the end")
	}
}
