package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/engine"
	kafkasend "redrive/delivery/send/kafka"
	rabbitsend "redrive/delivery/send/rabbitmq"
	"redrive/delivery/wire"
	"redrive/store"
	"redrive/store/storetest"
	limits "redrive/store/storetest/patience"
)

// desk takes dead letters and sends them back, or elsewhere.
type desk struct {
	t               *testing.T
	db              *store.Store
	dsn             string
	died, elsewhere delivery.Integration
}

// newDesk runs until the test ends.
func newDesk(t *testing.T, source delivery.BrokerSource, back, elsewhere delivery.Destination) *desk {
	t.Helper()
	p := &desk{t: t, dsn: storetest.New(t)}
	source.DeadLetters, source.Prefetch = true, 32
	p.died = delivery.Integration{Name: "died", Method: delivery.MethodBroker, Idempotent: true, OnFailure: delivery.StateDead, Concurrency: 4, Broker: &source,
		Retry: delivery.RetryPolicy{Attempts: 1}, Destination: back}
	p.elsewhere = delivery.Integration{Name: "elsewhere", Method: delivery.MethodOutbox, Idempotent: true, OnFailure: delivery.StateDead, Concurrency: 4,
		Retry: delivery.RetryPolicy{Attempts: 1}, Destination: elsewhere}
	p.start()
	return p
}

func opened(to delivery.Target, dialer wire.Dialer) (delivery.Sender, error) {
	switch to := to.(type) {
	case *delivery.RabbitMQDestination:
		return rabbitsend.New(*to, dialer)
	case *delivery.KafkaDestination:
		return kafkasend.New(*to, dialer)
	}
	return nil, fmt.Errorf("no sender for %s", to.Kind())
}

// start runs the engine and the consumer until the test ends.
func (p *desk) start() {
	t, log := p.t, storetest.Log(p.t)
	var err error
	if p.db, err = store.Open(t.Context(), p.dsn, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.db.Close)
	list := []delivery.Integration{p.died, p.elsewhere}
	if err := p.db.SyncIntegrations(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	senders := map[string]delivery.Sender{}
	for _, in := range list {
		sender, err := opened(in.Destination.To, wire.Dialer{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sender.Close() })
		senders[in.Name] = sender
	}
	run, err := engine.New(engine.Config{Store: p.db, Integrations: list, Senders: senders, Log: log, Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := New(Config{Integration: p.died, Store: p.db, Attempter: run, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = run.Run(ctx, ctx); done <- struct{}{} }()
	go func() { _ = consumer.Run(ctx, ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
}

// delivered waits for what was sent again, unless that failed.
func (p *desk) delivered(id string) {
	p.t.Helper()
	p.eventually("an outcome", func() bool {
		d, err := p.db.Delivery(p.t.Context(), id)
		if err != nil || d.State == delivery.StateDead && d.ErrorClass != delivery.ClassForeign {
			p.t.Fatalf("not sent: %s %v", d.Error, err)
		}
		return d.State == delivery.StateDelivered
	})
}

func (p *desk) eventually(what string, ok func() bool) {
	p.t.Helper()
	limits.Until(p.t, what, ok)
}

// dead waits for the one dead letter.
func (p *desk) dead() delivery.Detail {
	p.t.Helper()
	var id string
	p.eventually("a dead letter", func() bool {
		return storetest.Session(p.t, p.dsn).QueryRow(p.t.Context(), "SELECT id::text FROM redrive.deliveries WHERE state = 'dead'").Scan(&id) == nil
	})
	d, err := p.db.Delivery(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

const corrected = `{"corrected": true}`

func (p *desk) retry(d delivery.Detail) error {
	_, err := p.db.Act(p.t.Context(), delivery.ActionRequest{Action: delivery.ActionRetry, ID: d.ID, Version: d.Version, Actor: "tester", Reason: "again"})
	return err
}

func (p *desk) edit(d delivery.Detail) error {
	_, err := p.db.Edit(p.t.Context(), delivery.EditRequest{ID: d.ID, Version: d.Version, Actor: "tester", Reason: "wrong", Payload: []byte(corrected), Headers: d.Message.Headers})
	return err
}

func (p *desk) redirect(d delivery.Detail) error {
	_, err := p.db.Redirect(p.t.Context(), delivery.RedirectRequest{ID: d.ID, Version: d.Version, Actor: "tester", Reason: "there instead", Integration: p.elsewhere.Name})
	return err
}

func (p *desk) ignore(d delivery.Detail) error {
	_, err := p.db.Act(p.t.Context(), delivery.ActionRequest{Action: delivery.ActionIgnore, ID: d.ID, Version: d.Version, Actor: "tester", Reason: "too late", Category: "obsolete"})
	return err
}
