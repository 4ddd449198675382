package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"redrive/delivery"
)

const (
	keepReceived = 200
	keepKeys     = 10_000
	keepStudents = 1_000
	maxHanging   = 64
	longestHang  = time.Minute
	lessonPoints = 10
)

// Knobs say how a receiver misbehaves; the zero value is a healthy one.
type Knobs struct {
	FailurePercent    int  `json:"failure_percent"`
	RefusePercent     int  `json:"refuse_percent"`
	DropPercent       int  `json:"drop_percent"` // takes the request and closes the connection without an answer
	LatencyMS         int  `json:"latency_ms"`
	RetryAfterSeconds int  `json:"retry_after_seconds"` // answers 429 when above 0
	Hang              bool `json:"hang"`
	Outage            bool `json:"outage"`
	Refuse            bool `json:"refuse"`
}

func (k Knobs) check() error {
	for _, n := range []struct {
		name       string
		value, max int
	}{{"failure_percent", k.FailurePercent, 100}, {"refuse_percent", k.RefusePercent, 100}, {"drop_percent", k.DropPercent, 100},
		{"latency_ms", k.LatencyMS, 30_000}, {"retry_after_seconds", k.RetryAfterSeconds, 3600}} {
		if n.value < 0 || n.value > n.max {
			return fmt.Errorf("%s: %d is not between 0 and %d", n.name, n.value, n.max)
		}
	}
	return nil
}

// received is one request as its receiver saw it.
type received struct {
	At        time.Time `json:"at"`
	Key       string    `json:"idempotency_key"`
	Attempt   string    `json:"attempt"`
	Status    int       `json:"status"` // 0: no answer
	Duplicate bool      `json:"duplicate"`
	Signed    bool      `json:"signed"`
}

// receiver is a service at the other end of an integration.
type receiver struct {
	name       string
	idempotent bool
	hanging    chan struct{}

	mu       sync.Mutex
	knobs    Knobs
	requests int
	effects  int
	log      []received
	keys     map[string]bool
	keyOrder []string
	points   map[string]int
}

// doubles are the receivers that do not know duplicates.
var doubles = map[string]bool{"grant-points": true, "login-sms": true, "welcome-mail": true}

// habits are how receivers misbehave from the start, so that the console has something to show.
var habits = map[string]Knobs{
	"seller-push":   {FailurePercent: 15},
	"grant-points":  {DropPercent: 8},
	"search-index":  {FailurePercent: 10},
	"login-sms":     {RefusePercent: 15},
	"welcome-mail":  {FailurePercent: 20},
	"parcel-notice": {FailurePercent: 15},
	"view-counter":  {FailurePercent: 10},
	"stock-display": {RefusePercent: 10},
}

func newReceivers(rooms []*room, background bool) map[string]*receiver {
	out := map[string]*receiver{}
	for _, room := range rooms {
		r := &receiver{name: room.receiver, idempotent: !doubles[room.receiver], hanging: make(chan struct{}, maxHanging),
			keys: map[string]bool{}, points: map[string]int{}}
		if background {
			r.knobs = habits[r.name]
		}
		out[r.name] = r
	}
	return out
}

// state is a receiver as JSON and page show it.
type state struct {
	Name       string         `json:"name"`
	Idempotent bool           `json:"idempotent"`
	Knobs      Knobs          `json:"knobs"`
	Requests   int            `json:"requests"`
	Effects    int            `json:"effects"`
	Points     map[string]int `json:"points,omitempty"`
	Received   []received     `json:"received"` // newest first
}

func (r *receiver) state() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := state{Name: r.name, Idempotent: r.idempotent, Knobs: r.knobs, Requests: r.requests, Effects: r.effects,
		Points: map[string]int{}, Received: make([]received, 0, len(r.log))}
	for i := len(r.log) - 1; i >= 0; i-- {
		s.Received = append(s.Received, r.log[i])
	}
	for student, points := range r.points {
		s.Points[student] = points
	}
	return s
}

func (r *receiver) set(k Knobs) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.knobs = k
}

func (r *receiver) current() Knobs {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.knobs
}

// ServeHTTP takes one delivery.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, delivery.MaxPayload))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	k := r.current()
	if k.LatencyMS > 0 && !pause(req, time.Duration(k.LatencyMS)*time.Millisecond) {
		return
	}
	status, text := r.verdict(k)
	complaint, complains := complains(r.name, body)
	switch {
	case status != http.StatusOK:
		r.record(req, status, false)
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", strconv.Itoa(k.RetryAfterSeconds))
		}
		http.Error(w, text, status)
	case complains:
		r.record(req, complaint.status, false)
		complaint.write(w)
	case k.Hang:
		r.take(req, body, 0)
		r.hang(w, req)
	case chance(k.DropPercent):
		r.take(req, body, 0)
		drop(w)
	default:
		r.take(req, body, http.StatusOK)
		fmt.Fprintln(w, "ok")
	}
}

// verdict is the answer that knobs call for, 200 when nothing is wrong.
func (r *receiver) verdict(k Knobs) (int, string) {
	switch {
	case k.Outage:
		return http.StatusServiceUnavailable, "closed for maintenance"
	case k.RetryAfterSeconds > 0:
		return http.StatusTooManyRequests, "too many requests"
	case k.Refuse || chance(k.RefusePercent):
		return http.StatusUnprocessableEntity, "the receiver refuses this request"
	case chance(k.FailurePercent):
		return http.StatusInternalServerError, "internal error"
	}
	return http.StatusOK, ""
}

func chance(percent int) bool { return rand.IntN(100) < percent }

// take does what the request asks for, unless its key has been seen and the receiver drops duplicates.
func (r *receiver) take(req *http.Request, body []byte, status int) {
	r.mu.Lock()
	key := req.Header.Get("Idempotency-Key")
	duplicate := r.idempotent && key != "" && r.keys[key]
	if !duplicate {
		r.effects++
		r.remember(key)
		r.grant(body)
	}
	r.mu.Unlock()
	r.record(req, status, duplicate)
}

// remember forgets the oldest key when there are too many. The caller holds the lock.
func (r *receiver) remember(key string) {
	if !r.idempotent || key == "" {
		return
	}
	r.keys[key] = true
	r.keyOrder = append(r.keyOrder, key)
	if len(r.keyOrder) > keepKeys {
		delete(r.keys, r.keyOrder[0])
		r.keyOrder = append(r.keyOrder[:0], r.keyOrder[1:]...)
	}
}

// grant counts a student's points, so that a second grant is seen. The caller holds the lock.
func (r *receiver) grant(body []byte) {
	var lesson struct{ Student string }
	if r.name != "grant-points" || json.Unmarshal(body, &lesson) != nil || len(lesson.Student) > 400 {
		return
	}
	if _, known := r.points[lesson.Student]; known || len(r.points) < keepStudents {
		r.points[lesson.Student] += lessonPoints
	}
}

func (r *receiver) record(req *http.Request, status int, duplicate bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.log = append(r.log, received{
		At:        time.Now().UTC(),
		Key:       clip(req.Header.Get("Idempotency-Key")),
		Status:    status,
		Attempt:   clip(req.Header.Get("Redrive-Attempt")),
		Duplicate: duplicate,
		Signed:    req.Header.Get("webhook-signature") != "",
	})
	if len(r.log) > keepReceived {
		r.log = append(r.log[:0], r.log[1:]...)
	}
}

func clip(text string) string { return text[:min(len(text), 255)] }

// hang keeps the client waiting until it goes away; beyond its bound it hangs up.
func (r *receiver) hang(w http.ResponseWriter, req *http.Request) {
	select {
	case r.hanging <- struct{}{}:
		pause(req, longestHang)
		<-r.hanging
	default:
	}
	drop(w)
}

// pause returns false when the client went away first.
func pause(req *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-req.Context().Done():
		return false
	}
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the server's own way to close a connection that cannot be taken over
	}
	_ = conn.Close()
}

// decodeKnobs reads exactly one JSON object of known settings.
func decodeKnobs(body io.Reader) (k Knobs, err error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&k); err != nil {
		return k, fmt.Errorf("the body is not a JSON object of knobs: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return k, errors.New("the body holds more than one JSON object")
	}
	return k, nil
}
