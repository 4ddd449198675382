package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

const (
	maxStreams   = 300
	streamsEach  = 10 // of one person or token, whatever the sessions
	liveTick     = time.Second
	heartbeat    = 15 * time.Second
	writeLimit   = 10 * time.Second // for one event; who reads slower is cut off
	liveLife     = time.Hour        // then the browser comes back by itself
	countsAtOnce = 4
	streamAgain  = time.Minute // after which a refused one may be tried again
)

// hub tells the open lists that dead letters came or went, and ends those whose session or token ended. It asks the database only while
// somebody listens.
type hub struct {
	generation func(context.Context) (int64, error)
	holding    func(ctx context.Context, holders []string) ([]string, error) // see people.Holding
	counting   chan struct{}                                                 // bounds the counts under way
	beat       time.Duration                                                 // between comments

	mu        sync.Mutex
	listeners map[chan struct{}]listener
	leave     context.CancelFunc // ends the asking
	ended     bool
}

func newHub(generation func(context.Context) (int64, error), holding func(context.Context, []string) ([]string, error)) *hub {
	return &hub{generation: generation, holding: holding, counting: make(chan struct{}, countsAtOnce), beat: heartbeat,
		listeners: map[chan struct{}]listener{}}
}

// listener is whose a stream is: of a person or token, by a session or that token.
type listener struct{ actor, holder string }

// join returns a channel that receives whenever something changed and is closed at the end, or when the listener's session or token ended. The
// error is a problem: there are too many, of this person or in all.
func (h *hub) join(l listener) (changed chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || len(h.listeners) >= maxStreams {
		p := web.NewProblem(http.StatusServiceUnavailable, "too_many_streams")
		p.RetryAfter = streamAgain
		return nil, p
	}
	mine := 0
	for _, other := range h.listeners {
		if other.actor == l.actor {
			mine++
		}
	}
	if mine >= streamsEach {
		return nil, web.TooMany("too_many_streams", streamAgain)
	}
	changed = make(chan struct{}, 1)
	h.listeners[changed] = l
	if len(h.listeners) == 1 {
		var ctx context.Context
		ctx, h.leave = context.WithCancel(context.Background())
		go h.ask(ctx)
	}
	return changed, nil
}

func (h *hub) part(changed chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, changed)
	if len(h.listeners) == 0 && h.leave != nil {
		h.leave()
		h.leave = nil
	}
}

// ask looks once a second whether anything changed. An error is as good as a change: the listeners' own questions will tell.
func (h *hub) ask(ctx context.Context) {
	ticker := time.NewTicker(liveTick)
	defer ticker.Stop()
	seen, err := h.generation(ctx)
	for first := true; ; first = false { // what changed between a listener's own first look and this one shows in no difference
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		h.endOthers(ctx)
		now, failed := h.generation(ctx)
		if ctx.Err() == nil && (first || now != seen || failed != nil || err != nil) {
			h.tell()
		}
		seen, err = now, failed
	}
}

// endOthers closes the streams whose session or token ended. While the database does not answer nobody is told anything either.
func (h *hub) endOthers(ctx context.Context) {
	holders := h.holders()
	held, err := h.holding(ctx, holders)
	if err != nil {
		return
	}
	over := map[string]bool{}
	for _, holder := range holders {
		over[holder] = !slices.Contains(held, holder)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for changed, l := range h.listeners {
		if over[l.holder] {
			close(changed)
			delete(h.listeners, changed)
		}
	}
}

func (h *hub) holders() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]bool{}
	for _, l := range h.listeners {
		all[l.holder] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// tell wakes everybody; who has not yet looked at the last change will see this one as well.
func (h *hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for changed := range h.listeners {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// end closes all streams; later ones are refused.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for changed := range h.listeners {
		close(changed)
		delete(h.listeners, changed)
	}
	if h.leave != nil {
		h.leave()
		h.leave = nil
	}
}

// Run ends the streams when ctx does, so that the web server can stop.
func (s *Console) Run(ctx, _ context.Context) error {
	<-ctx.Done()
	s.live.end()
	return nil
}

// failuresLive is failuresNews as a stream of events.
func (s *Console) failuresLive(c echo.Context) error {
	l := web.ReaderOf(c)
	filter, err := consoleFilter(c.QueryParams(), l.Locale)
	if err != nil {
		return err
	}
	filter = l.Mine(filter)
	right, _ := delivery.RightOf(c.Request().Context())
	changed, err := s.live.join(listener{actor: right.Actor, holder: right.Holder})
	if err != nil {
		return err
	}
	defer s.live.part(changed)
	return s.stream(c, changed, func(ctx context.Context) (string, error) {
		s.live.counting <- struct{}{}
		defer func() { <-s.live.counting }()
		return s.newsText(ctx, l.Locale, filter)
	})
}

// stream sends the text at first, whenever it differs after a change, and a comment now and then, so that nobody between cuts the line.
func (s *Console) stream(c echo.Context, changed <-chan struct{}, text func(context.Context) (string, error)) error {
	ctx, end := context.WithTimeout(c.Request().Context(), liveLife)
	defer end()
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(c.Response())
	_ = out.SetReadDeadline(time.Time{}) // of the server: it counts for requests that end
	beat := time.NewTicker(s.live.beat)
	defer beat.Stop()
	last, event := "", ": hello\n\nretry: 5000\n\n"
	for look := true; ; {
		if look {
			now, err := text(ctx)
			if err == nil && now != last {
				event += liveEvent(now)
				last = now
			}
		}
		if err := send(c, out, event); err != nil || ctx.Err() != nil {
			return nil // the browser left, nothing else
		}
		select {
		case <-ctx.Done():
			return nil
		case _, look = <-changed:
			if !look {
				return nil // the program ends, or the session
			}
			event = ""
		case <-beat.C:
			look, event = false, ": beat\n\n"
		}
	}
}

func liveEvent(text string) string {
	data, _ := json.Marshal(map[string]string{"text": text}) // a map of strings always encodes
	return "data: " + string(data) + "\n\n"
}

func send(c echo.Context, out *http.ResponseController, event string) error {
	if event == "" {
		return nil
	}
	if err := out.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("streaming: %w", err)
	}
	if _, err := c.Response().Write([]byte(event)); err != nil {
		return err
	}
	return out.Flush()
}

// newsText says how many failures a filter selects; empty when there are none.
func (s *Console) newsText(ctx context.Context, l views.Locale, f delivery.Filter) (string, error) {
	n, capped, err := s.store.CountFailures(ctx, f, newsLimit)
	switch {
	case err != nil:
		return "", err
	case capped:
		return l.Say(delivery.Say("news.more", "count", newsLimit)), nil
	case n > 0:
		return l.Say(delivery.Say("news.count", "count", l.Number(n))), nil
	}
	return "", nil
}
