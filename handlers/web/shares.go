package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// What one person or token may look at at once. Together with the connections that people have for themselves it keeps whoever asks for
// much from slowing deliveries, and others who look.
const (
	looksAtOnce  = 4
	lookPatience = 3 * time.Second  // so long a page waits for an earlier one of the same person to be done
	lookAgain    = 10 * time.Second // after which a refused one may be tried again
)

// shares counts what each person or token is looking at, by id.
type shares struct {
	mu   sync.Mutex
	held map[string]*share
}

type share struct {
	slots chan struct{}
	users int // that hold one or wait; with none it is forgotten
}

// take waits for a slot of an id; ok is false when none becomes free in time. done gives it back.
func (s *shares) take(ctx context.Context, id string) (done func(), ok bool) {
	mine := s.join(id)
	leave := sync.OnceFunc(func() { s.leave(id, mine) })
	timer := time.NewTimer(lookPatience)
	defer timer.Stop()
	select {
	case mine.slots <- struct{}{}:
		return func() { <-mine.slots; leave() }, true
	case <-timer.C:
	case <-ctx.Done():
	}
	leave()
	return nil, false
}

func (s *shares) join(id string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.held[id]
	if mine == nil {
		mine = &share{slots: make(chan struct{}, looksAtOnce)}
		s.held[id] = mine
	}
	mine.users++
	return mine
}

func (s *shares) leave(id string, mine *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(s.held, id)
	}
}

// fairly serves what is looked at within the share of who asks. What is decided is short, and goes through.
func (s *Core) fairly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method != http.MethodGet {
			return next(c)
		}
		done, ok := s.shares.take(c.Request().Context(), Who(c).ID)
		if !ok {
			return TooMany("too_many_requests", lookAgain)
		}
		defer done()
		return next(c)
	}
}

// TooMany is the problem of whoever asks for more at once than one may, and can again after a while.
func TooMany(code string, after time.Duration) Problem {
	p := NewProblem(http.StatusTooManyRequests, code)
	p.RetryAfter = after
	return p
}

// acceptPath is where producers hand over; the engine's connections serve them, as when they use SQL.
const acceptPath = "/api/v1/messages"

// setApart marks what people and programs ask for, so that the database serves it by other connections than the engine's.
func (s *Core) setApart(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !sessionless(r.URL.Path) && (r.Method != http.MethodPost || r.URL.Path != acceptPath) {
			c.SetRequest(r.WithContext(delivery.Apart(r.Context())))
		}
		return next(c)
	}
}
