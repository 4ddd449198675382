// Command redrive delivers asynchronous messages and gives what failed to people. This file is the only place that knows
// every room: it makes them and connects them.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // schedules name time zones, also where none are installed

	"redrive/delivery"
	"redrive/delivery/batch"
	"redrive/delivery/broker"
	"redrive/delivery/cdc"
	"redrive/delivery/config"
	"redrive/delivery/engine"
	"redrive/delivery/form"
	"redrive/delivery/health"
	"redrive/delivery/kinds"
	"redrive/delivery/operations"
	"redrive/delivery/outbox"
	"redrive/delivery/pool"
	"redrive/delivery/rooms"
	"redrive/delivery/search"
	filesend "redrive/delivery/send/file"
	"redrive/delivery/wire"
	"redrive/demo"
	"redrive/handlers"
	"redrive/handlers/web/sso"
	"redrive/internal/cli"
	"redrive/store"
	"redrive/store/source"
	"redrive/store/table"
)

// version is set by the linker for releases.
var version = "dev"

// hurry names an environment variable that makes a process watch its sources and destinations more closely than people need. The
// linker sets it for the program that the tests start; a release has none.
var hurry string

// grace is how long attempts under way may take after the signal to stop.
const grace = 20 * time.Second

// providerTimeout is how long one request to the provider of single sign-on may take.
const providerTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(cli.Program{Version: version, Serve: serve, Check: check}.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// serve makes every room and lets them work until ctx ends.
func serve(ctx context.Context, s cli.Serving) error {
	db, file, log := s.Store, s.File, s.Log
	metrics := handlers.NewMetrics()
	dialer := wire.Dialer{Network: wire.Network{Allow: file.Allow, Deny: file.Deny}, Log: log}
	senders, err := newSenders(file, db.Files(), dialer, log)
	if err != nil {
		return cli.Misused(err)
	}
	defer closeSenders(senders, log)
	masks, err := db.Masks(ctx)
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Config{Store: db, Integrations: file.Integrations, Masks: masks, Senders: senders, Log: log,
		Observer: metrics, Veil: file.Hidden})
	if err != nil {
		return err
	}
	pools, err := pool.New(pool.Config{Integrations: file.Integrations, Attempts: eng, Store: db,
		Dir: filepath.Join(s.DataDir, "journal"), Log: log, Wake: eng.Wake})
	if err != nil {
		return cli.Misused(fmt.Errorf("REDRIVE_DATA_DIR: %w", err))
	}
	db.SetIgnoreDays(s.IgnoreDays)
	relay := newRelay(db, s.Retention, eng.Wake, log)
	ops := operations.New(operations.Config{Store: db, Wake: eng.Wake, Log: log})
	wakeBoth := func() { eng.Wake(); relay.Wake() }
	desk := desk{db: db, dsn: s.DSN, eng: eng, dialer: dialer, keep: s.Retention, wake: wakeBoth, log: log}
	own, err := desk.rooms(file)
	if err != nil {
		return cli.Misused(err)
	}
	defer own.Close(log)
	shop, stopShop, err := startDemo(ctx, s.Settings, demo.Config{DSN: s.DSN, Log: log, Background: true, Wake: wakeBoth, Receivers: s.DemoReceivers,
		Offer: pools.Offer, Brokers: s.DemoBrokers, Capture: demo.Captures(file.Integrations)})
	if err != nil {
		return err
	}
	defer stopShop()
	console, err := newConsole(s, dialer, handlers.Config{
		Masks:       masks,
		Wake:        func() { eng.Wake(); ops.Wake() },
		DemoHandler: shop,
		Metrics:     metrics,
		Offer:       pools.Offer,
		WakeRelay:   relay.Wake,
		Facts:       rooms.VeiledFacts(file.Hidden, own.Facts(pools.Facts, relay.Facts)),
	})
	if err != nil {
		return err
	}
	watch := newWatch(db, log, rooms.VeiledConditions(file.Hidden, own.Conditions), always(pools.Conditions), always(relay.Conditions), always(eng.Conditions))
	index := search.New(search.Config{Store: db, Log: log})
	record, err := s.Audit.Room(db, dialer, lead(db, "audit", func(*store.Leader) struct{} { return struct{}{} }), log)
	if err != nil {
		return err
	}
	all := append(own.Rooms(), eng, pools, relay, console, ops, index, watch, record)
	return rooms.Serve(ctx, s.Listener, console.Handler(), all, grace, log)
}

// newConsole completes what the rooms give it with the settings.
func newConsole(s cli.Serving, dialer wire.Dialer, c handlers.Config) (_ *handlers.Server, err error) {
	if c.TrustedProxies, err = s.TrustedProxies(); err != nil {
		return nil, cli.Misused(err)
	}
	if c.SSO, err = newProvider(s, dialer); err != nil {
		return nil, err
	}
	c.Integrations, c.Schemas, c.TicketURL = s.File.Integrations, s.File.Checks(), s.File.TicketURL
	c.Log, c.Version, c.SecureCookies = s.Log, s.Version, bool(s.SecureCookies)
	c.MetricsAccess, c.Lang = s.Metrics, s.Lang
	c.PublicURL = s.Public(rooms.BaseURL(s.Listener))
	c.SessionLifetime, c.SessionIdle, c.FreshSignIn = s.SessionLifetime, s.SessionIdle, s.FreshSignIn
	c.RevealFor = s.RevealFor
	c.TokenLifetimes = s.Lifetimes()
	return handlers.New(s.Store, c)
}

// newProvider makes the provider of single sign-on; nil: there is none.
func newProvider(s cli.Serving, dialer wire.Dialer) (*sso.Provider, error) {
	cfg, err := s.Provider()
	if cfg == nil || err != nil {
		return nil, err
	}
	cfg.Client = dialer.Client(nil, providerTimeout)
	return sso.New(*cfg), nil
}

// newWatch makes the room that notes how the parts of integrations stand.
func newWatch(db *store.Store, log *slog.Logger, probes ...func(context.Context) []delivery.Condition) *health.Watch {
	c := health.Config{Store: db, Worker: rand.Text(), Log: log, Probes: probes}
	if hurry != "" && os.Getenv(hurry) != "" {
		c.Every, c.Patience, c.Settle = 200*time.Millisecond, 2*time.Second, 500*time.Millisecond
	}
	return health.New(c)
}

// check makes what serve makes of the integrations file and closes it again: what is wrong with a setting, or with a file that one
// names, shows then. Nothing is connected to.
func check(file *config.File, dsn string) error {
	log := slog.New(slog.DiscardHandler)
	none := desk{db: &store.Store{}, dsn: dsn, wake: func() {}, log: log}
	senders, err := newSenders(file, none.db.Files(), none.dialer, log)
	if err != nil {
		return err
	}
	closeSenders(senders, log)
	own, err := none.rooms(file)
	own.Close(log)
	return err
}

// always is for rooms that know how their parts stand without asking.
func always(conditions func() []delivery.Condition) func(context.Context) []delivery.Condition {
	return func(context.Context) []delivery.Condition { return conditions() }
}

// lead makes the way in which one process at a time leads a room; session is what the room sees of the leader.
func lead[S any](
	db *store.Store,
	name string,
	session func(*store.Leader) S,
) func(context.Context, func(context.Context, S) error, func(error)) error {
	return func(ctx context.Context, work func(context.Context, S) error, failed func(error)) error {
		return db.Lead(ctx, name, func(ctx context.Context, l *store.Leader) error { return work(ctx, session(l)) }, failed)
	}
}

// newRelay makes the room that fans events out, while this process leads it.
func newRelay(db *store.Store, retention time.Duration, wake func(), log *slog.Logger) *outbox.Relay {
	return outbox.New(outbox.Config{Lead: lead(db, "outbox", func(l *store.Leader) outbox.Session { return l }),
		Lag: db.OutboxLag, Wake: wake, Log: log, Retention: retention})
}

// desk is what the rooms of single integrations are made with.
type desk struct {
	db     *store.Store
	dsn    string
	eng    *engine.Engine
	dialer wire.Dialer
	keep   time.Duration
	wake   func() // engine and relay
	log    *slog.Logger
}

// rooms makes the room of each integration that has one of its own.
func (d desk) rooms(file *config.File) (rooms.Owned, error) {
	out := rooms.Owned{}
	for _, in := range file.Integrations {
		var own rooms.Own
		var err error
		switch {
		case in.Broker != nil:
			own, err = d.consumer(in)
		case in.CDC != nil:
			own, err = d.capture(in)
		case in.Batch != nil:
			own, err = d.batch(in)
		default:
			continue
		}
		if err != nil {
			out.Close(d.log)
			return nil, file.Locate(in.Name, err)
		}
		out[in.Name] = own
	}
	return out, nil
}

func (d desk) consumer(in delivery.Integration) (rooms.Own, error) {
	consumer, err := broker.New(broker.Config{Integration: in, Store: d.db, Attempter: d.eng, Dialer: d.dialer, Log: d.log})
	if err != nil {
		return rooms.Own{}, err
	}
	return rooms.Own{Room: consumer, Facts: func(ctx context.Context) []delivery.Fact { return consumer.Facts(ctx).Facts() },
		Condition: func(context.Context) delivery.Condition { return consumer.Condition() }}, nil
}

// capturedSource is a source whose streams are the room's.
type capturedSource struct{ *source.Source }

func (s capturedSource) Stream(ctx context.Context, from delivery.LSN) (cdc.Stream, error) {
	return s.Source.Stream(ctx, from)
}

func (d desk) capture(in delivery.Integration) (rooms.Own, error) {
	src, err := source.New(*in.CDC, d.dsn, in.Name, d.dialer.DialContext, d.log)
	if err != nil {
		return rooms.Own{}, err
	}
	room, err := cdc.New(cdc.Config{Integration: in, Source: capturedSource{src}, Store: d.db, Wake: d.wake, Log: d.log,
		Lead: lead(d.db, "cdc/"+in.Name, func(l *store.Leader) cdc.Leader { return l })})
	if err != nil {
		_ = src.Close() // nothing was opened
		return rooms.Own{}, err
	}
	return rooms.Own{Room: room, Facts: func(context.Context) []delivery.Fact { return room.Facts() },
		Condition: func(context.Context) delivery.Condition { return room.Condition() }, Close: src.Close}, nil
}

func (d desk) batch(in delivery.Integration) (rooms.Own, error) {
	settings := batch.Config{
		Integration: in,
		Format:      in.BatchFormat(),
		CheckQuery:  store.CheckBatchQuery,
		Files:       d.db.Files(),
		Keep:        d.keep,
		Wake:        d.eng.Wake,
		Log:         d.log,
		Lead:        lead(d.db, "batch/"+in.Name, func(l *store.Leader) batch.Feed { return d.db.Batch(l, in.Name) }),
		Open: func(ctx context.Context, url, zone string) (batch.Source, error) {
			source, err := d.db.OpenBatchSource(ctx, d.dialer.DialContext, url, zone)
			if err != nil {
				return nil, err // never a nil source in an interface
			}
			return source, nil
		},
	}
	if in.Batch.Acknowledgement != nil {
		inbox, err := filesend.NewInbox(*in.Batch.Acknowledgement, *in.Destination.To.(*delivery.FileDestination), d.dialer)
		if err != nil {
			return rooms.Own{}, err
		}
		settings.Inbox = inbox
	}
	room, err := batch.New(settings)
	if err != nil {
		return rooms.Own{}, err
	}
	return rooms.Own{Room: room, Facts: func(ctx context.Context) []delivery.Fact {
		feed, runs, err := d.db.BatchStatus(ctx, in.Name)
		if err != nil {
			return nil
		}
		return delivery.BatchFacts(feed, runs)
	}, Condition: func(ctx context.Context) delivery.Condition {
		feed, runs, err := d.db.BatchStatus(ctx, in.Name)
		if err != nil { // our own database: nothing is known of the schedule
			return delivery.Condition{Integration: in.Name, Part: delivery.PartSchedule}
		}
		return delivery.BatchCondition(in.Name, feed, runs, room.Trouble(), time.Now())
	}}, nil
}

// newSenders opens one sender for each integration.
func newSenders(file *config.File, files store.Files, dialer wire.Dialer, log *slog.Logger) (map[string]delivery.Sender, error) {
	senders := map[string]delivery.Sender{}
	for _, in := range file.Integrations {
		if in.CDC != nil && in.Destination.Kind() == "" {
			senders[in.Name] = cdc.Nowhere{}
			continue
		}
		sender, err := kinds.NewSender(in, form.Means{Dialer: dialer, Files: files, Tables: table.Through(dialer.DialContext)})
		if err != nil {
			closeSenders(senders, log)
			return nil, file.Locate(in.Name, err)
		}
		senders[in.Name] = sender
	}
	return senders, nil
}

func closeSenders(senders map[string]delivery.Sender, log *slog.Logger) {
	for name, sender := range senders {
		if err := sender.Close(); err != nil {
			log.Warn("closing a sender", "integration", name, "error", err)
		}
	}
}

// startDemo starts shop and background load; without REDRIVE_DEMO it answers a nil handler.
func startDemo(ctx context.Context, c cli.Settings, settings demo.Config) (http.Handler, func(), error) {
	if !c.Demo {
		return nil, func() {}, nil
	}
	var err error
	if settings.Files, err = demo.MakeFiles(c.DataDir); err != nil {
		return nil, nil, err
	}
	return demo.Start(ctx, settings)
}
