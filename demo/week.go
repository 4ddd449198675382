package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/past"
	"redrive/delivery/send/http"
	"redrive/delivery/wire"
)

// Header marks every message of the week that the demo begins with.
const (
	Header = "Redrive-Demo"
	marked = "made up"
)

// week tells what happened to the shop before it was started.
type week struct {
	now          time.Time
	rand         *rand.Rand
	integrations map[string]delivery.Integration
	masks        delivery.Masks
	stage        *stage
	numbers      int
	past.History
	admin, mina, junho, sora, hana past.Person
}

// Week tells what happened in the week before now to the integrations of the demo, in the words that its receivers really answer, as a real
// sender hears them. first is what the first operator is called.
func Week(ctx context.Context, first string, list []delivery.Integration, now time.Time) (*past.History, error) {
	s, err := newStage()
	if err != nil {
		return nil, fmt.Errorf("the demo's week: %w", err)
	}
	defer s.close()
	w := &week{now: now.UTC().Truncate(time.Millisecond), rand: rand.New(rand.NewPCG(7, uint64(now.UnixNano()))), masks: delivery.MasksOf(list),
		integrations: map[string]delivery.Integration{}, stage: s, numbers: 80_000}
	for _, in := range list {
		w.integrations[in.Name] = in
	}
	w.people(first)
	w.routine()
	for _, tell := range stories {
		if err := tell(ctx, w); err != nil {
			return nil, fmt.Errorf("the demo's week: %w", err)
		}
	}
	return &w.History, s.err
}

func (w *week) ago(hours float64) time.Time {
	return w.now.Add(-time.Duration(hours * float64(time.Hour)))
}

func (w *week) id(at time.Time) string { return past.ID(at, w.rand) }

// people are one of each role: who is on call, who operates, who reviews and who audits.
func (w *week) people(first string) {
	for _, p := range []struct {
		to   *past.Person
		name string
		role delivery.Role
	}{{&w.admin, first, delivery.RoleAdmin}, {&w.mina, past.OnCall, delivery.RoleOnCall}, {&w.junho, past.Operator, delivery.RoleOperator},
		{&w.sora, past.Reviewer, delivery.RoleReviewer}, {&w.hana, past.Auditor, delivery.RoleAuditor}} {
		at := w.ago(170).Add(time.Duration(len(w.People)) * time.Minute)
		*p.to = past.Person{ID: w.id(at), Name: p.name, Role: p.role, Since: at}
		w.People = append(w.People, *p.to)
		details, _ := json.Marshal(map[string]any{"role": p.role, "operator_id": p.to.ID})
		by := w.admin.ID
		if p.name == first {
			by = delivery.ActorProgram
		}
		w.Entries = append(w.Entries, delivery.AuditEntry{Actor: by, At: at, Action: "operator.create", SubjectType: "operator", Subject: p.name,
			Details: details})
	}
	w.Views = []delivery.SavedView{{OwnerID: w.mina.ID, Name: "재고 부족", Search: "integration:seller-push 재고", Shared: true},
		{OwnerID: w.junho.ID, Name: "Outcome unknown", Search: "class:connection_lost", Shared: true}}
}

// routine is what went well, hour by hour: little at night.
func (w *week) routine() {
	for hour := range 168 {
		at := w.ago(float64(168 - hour))
		busy := 3
		if local := (at.Hour() + 9) % 24; local > 7 {
			busy = 9
		}
		for name, usual := range routines {
			for range w.rand.IntN(busy) {
				at := at.Add(time.Duration(w.rand.Int64N(int64(time.Hour) - int64(time.Minute))))
				took := time.Duration(8+w.rand.IntN(60)) * time.Millisecond
				w.Delivered = append(w.Delivered, past.Delivered{ID: w.id(at), Integration: name, Message: w.message(name, at, usual(w)),
					At: at.Add(took + 20*time.Millisecond), Took: took})
			}
		}
	}
}

// routines are what each integration usually sends.
var routines = map[string]func(*week) content{
	"seller-push": func(*week) content { return order() },
	"grant-points": func(*week) content {
		return content{"student": pick(people), "lesson": pick(lessons)}
	},
	"search-index": func(*week) content { return article() },
	"login-sms":    func(w *week) content { return w.login("010-2718-%04d") },
	"welcome-mail": func(*week) content { return content{"name": pick(people)} },
}

func order() content {
	return content{"item": pick(items), "customer": pick(people), "address": pick(addresses[:4])}
}

func article() content { return content{"title": pick(titles), "body": pick(titles)} }

func (w *week) login(phone string) content {
	return content{"phone": fmt.Sprintf(phone, w.rand.IntN(10_000)), "code": fmt.Sprintf("%06d", w.rand.IntN(1_000_000))}
}

// message is a message as the shop would have handed it over.
func (w *week) message(integration string, at time.Time, m content) delivery.Message {
	i := slices.IndexFunc(outboxRooms, func(r *room) bool { return r.receiver == integration })
	kind, key := "member", "member.joined"
	if i >= 0 {
		kind, key = kinds[integration][0], kinds[integration][1]
	}
	w.numbers++
	m[kind+"_id"] = w.numbers
	payload, _ := json.Marshal(m)
	out := delivery.Message{ID: w.id(at), Kind: delivery.KindCommand, Integration: integration, Type: key, Key: fmt.Sprintf("%s-%d", kind, w.numbers),
		Headers: map[string]string{Header: marked}, Payload: payload, CreatedAt: at, Sender: delivery.ActorProgram}
	if len(w.integrations[integration].Subscribe) > 0 {
		out.Kind, out.Integration = delivery.KindEvent, ""
	}
	if integration == "login-sms" {
		expires := at.Add(2 * time.Minute)
		out.ExpiresAt = &expires
	}
	return out
}

// kinds are the names of rows and messages of the rooms.
var kinds = map[string][2]string{"seller-push": {"order", "order.placed"}, "grant-points": {"lesson", "lesson.finished"},
	"search-index": {"article", "article.published"}, "login-sms": {"request", "code.requested"}}

// span is when so many failed, in hours before now.
type span struct {
	n        int
	from, to float64
}

// fail lets messages fail for a cause, the oldest first.
func (w *week) fail(ctx context.Context, c cause, m func(i int) content, spans ...span) (list []*past.Failure) {
	for _, s := range spans {
		for i := range s.n {
			at := w.ago(s.from + (s.to-s.from)*(float64(i)+w.rand.Float64()*0.9)/float64(s.n))
			list = append(list, w.failAt(ctx, c, at, m(len(list)), 1<<10))
		}
	}
	return list
}

// failAt lets one message fail so many times.
func (w *week) failAt(ctx context.Context, c cause, at time.Time, m content, times int) *past.Failure {
	f := &past.Failure{ID: w.id(at), Integration: w.integrations[c.receiver], Message: w.message(c.receiver, at, m)}
	f.Send(at.Add(40*time.Millisecond), w.now.Add(-time.Second), func(f *past.Failure, n int, at time.Time) delivery.Tried {
		if n > times {
			return w.stage.takes(w.rand)
		}
		return w.stage.try(ctx, w, f, n, at, c)
	})
	w.Failures = append(w.Failures, f)
	return f
}

// again sends a failure once more to a receiver that takes it, or, if the cause lasts, says the same again.
func (w *week) again(ctx context.Context, c cause) past.Sender {
	return func(f *past.Failure, n int, at time.Time) delivery.Tried {
		var m content
		_ = json.Unmarshal(f.Sent().Payload, &m)
		if c.lasting == nil || !c.lasting(m) {
			return w.stage.takes(w.rand)
		}
		return w.stage.try(ctx, w, f, n, at, c)
	}
}

// stage is where receivers answer while the week is told.
type stage struct {
	listener net.Listener
	server   *http.Server
	answer   complaint
	senders  map[string]*httpsend.Sender
	err      error
}

func newStage() (*stage, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &stage{listener: listener, senders: map[string]*httpsend.Sender{}}
	s.server = &http.Server{ReadHeaderTimeout: dbTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.answer.write(w) })}
	go func() { _ = s.server.Serve(listener) }() // until it is closed
	return s, nil
}

func (s *stage) close() {
	for _, sender := range s.senders {
		_ = sender.Close()
	}
	_ = s.server.Close()
}

// sender is the real sender of an integration, with the stage for its receiver.
func (s *stage) sender(in delivery.Integration) (*httpsend.Sender, error) {
	if s.senders[in.Name] == nil {
		to := *in.Destination.To.(*delivery.HTTPDestination)
		to.URL = "http://" + s.listener.Addr().String()
		sender, err := httpsend.New(to, wire.Dialer{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		s.senders[in.Name] = sender
	}
	return s.senders[in.Name], nil
}

// try makes one attempt, with the times of a receiver that is farther away.
func (s *stage) try(ctx context.Context, w *week, f *past.Failure, number int, at time.Time, c cause) (tried delivery.Tried) {
	sender, err := s.sender(f.Integration)
	if err != nil {
		s.err = err
		return tried
	}
	sent := f.Sent()
	var m content
	_ = json.Unmarshal(sent.Payload, &m)
	s.answer = c.answers(m)
	r := delivery.Request{DeliveryID: f.ID, IdempotencyKey: f.ID, Integration: f.Integration.Name, Attempt: number, Message: sent}
	tried.Result = sender.Send(ctx, r).Storable().Conceal(sent.Payload, w.masks.For(sent, f.Integration.Name))
	tried.Duration = time.Duration(12+w.rand.IntN(180)) * time.Millisecond
	if e := tried.Exchange; e != nil {
		e.Address = f.Integration.Destination.Address()
		e.Steps = nil
		dated(e.Sent, at)
		dated(e.Answered, at)
		e.Took(delivery.StepConnect, time.Duration(300+w.rand.IntN(2000))*time.Microsecond)
		if s.answer.status > 0 {
			e.Took(delivery.StepFirstByte, tried.Duration-4*time.Millisecond)
		}
	}
	return tried
}

// takes is an attempt that the receiver confirms.
func (s *stage) takes(r *rand.Rand) delivery.Tried {
	return delivery.Tried{Result: delivery.Result{Outcome: delivery.OutcomeOK, HTTPStatus: http.StatusOK},
		Duration: time.Duration(10+r.IntN(90)) * time.Millisecond}
}

// dated puts the time of an attempt in the place of the time at which the stage played it.
func dated(lines []delivery.HeaderLine, at time.Time) {
	for i := range lines {
		switch strings.ToLower(lines[i][0]) {
		case "date":
			lines[i][1] = at.UTC().Format(http.TimeFormat)
		case "webhook-timestamp":
			lines[i][1] = strconv.FormatInt(at.Unix(), 10)
		}
	}
}
