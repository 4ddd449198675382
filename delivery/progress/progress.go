// Package progress tells people how far long work is: a bar on a screen, elsewhere a line every few seconds. Whoever starts the work
// says where to by a context; the work itself only counts.
package progress

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	onScreen  = 200 * time.Millisecond
	elsewhere = 5 * time.Second
	barWidth  = 24
)

type key struct{}

// teller says how far a step is.
type teller struct {
	every time.Duration
	tell  func(State)
	clear func() // after the last word of a step that was told of; may be nil
}

// State is how far a step is.
type State struct {
	What    string
	Done    int64
	Total   int64 // 0: not known
	Elapsed time.Duration
}

// ToScreen draws a bar in the last line of a terminal.
func ToScreen(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, key{}, teller{
		every: onScreen,
		tell:  func(s State) { fmt.Fprint(w, "\r\x1b[K", s.bar()) },
		clear: func() { fmt.Fprint(w, "\r\x1b[K") },
	})
}

// ToLines writes a line every few seconds.
func ToLines(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, key{}, teller{every: elsewhere, tell: func(s State) { fmt.Fprintln(w, s) }})
}

// ToLog logs an entry every few seconds.
func ToLog(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, key{}, teller{every: elsewhere, tell: func(s State) {
		log.Info("under way", "work", s.What, "done", s.Done, "total", s.Total, "took", s.Elapsed.Round(time.Second))
	}})
}

// Step is one piece of long work that counts. The zero value counts for nobody.
type Step struct {
	done, total atomic.Int64
	stop        chan struct{}
	once        sync.Once
	ended       sync.WaitGroup
}

// Begin tells of a step until End, to whom the context says; a total of 0 is not known. Work that is shorter than the time between
// two lines says nothing.
func Begin(ctx context.Context, what string, total int64) *Step {
	s := &Step{stop: make(chan struct{})}
	s.total.Store(total)
	if t, ok := ctx.Value(key{}).(teller); ok {
		s.ended.Go(func() { s.follow(t, what) })
	}
	return s
}

func (s *Step) follow(t teller, what string) {
	began, told := time.Now(), false
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			if told && t.clear != nil {
				t.clear()
			}
			return
		case <-ticker.C:
			told = true
			t.tell(State{What: what, Done: s.done.Load(), Total: s.total.Load(), Elapsed: time.Since(began)})
		}
	}
}

// Add counts n more. It costs next to nothing.
func (s *Step) Add(n int64) { s.done.Add(n) }

// Set says how many are done.
func (s *Step) Set(n int64) { s.done.Store(n) }

// Of says how many there are in all, where that is known later.
func (s *Step) Of(total int64) { s.total.Store(total) }

// End is the end of the step, whatever came of it. It may be called again.
func (s *Step) End() {
	s.once.Do(func() {
		if s.stop != nil {
			close(s.stop)
		}
		s.ended.Wait()
	})
}

// share is the part that is done, 0 to 1; false where it is not known.
func (s State) share() (float64, bool) {
	if s.Total <= 0 {
		return 0, false
	}
	return min(float64(s.Done)/float64(s.Total), 1), true
}

func (s State) bar() string {
	share, known := s.share()
	if !known {
		return fmt.Sprintf("%s: %d, %s", s.What, s.Done, s.Elapsed.Round(time.Second))
	}
	full := int(share * barWidth)
	return fmt.Sprintf("%s [%s%s] %d of %d, %s", s.What, strings.Repeat("#", full), strings.Repeat(".", barWidth-full),
		s.Done, s.Total, s.Elapsed.Round(time.Second))
}

// String is the state in a line of its own.
func (s State) String() string {
	if share, known := s.share(); known {
		return fmt.Sprintf("%s: %d of %d (%d %%), %s", s.What, s.Done, s.Total, int(share*100), s.Elapsed.Round(time.Second))
	}
	return fmt.Sprintf("%s: %d, %s", s.What, s.Done, s.Elapsed.Round(time.Second))
}
