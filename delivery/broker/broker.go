// Package broker takes messages from Redis, RabbitMQ and Kafka. The first attempt of each runs inline; what fails goes to
// Postgres, together with the note that the message was seen, and only then is it acknowledged. So one bad message never stops
// a queue, and what a broker brings again is not delivered again.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// Store is what a consumer needs of the database.
type Store interface {
	Inbox(ctx context.Context, integration string, keys []string) (map[string]delivery.InboxNote, error)
	Begin(ctx context.Context, integration string, keys []string) (map[string]delivery.InboxNote, error)
	Unbegin(ctx context.Context, integration string, keys []string) error
	Settle(ctx context.Context, integration string, delivered []string, begun bool, failed []delivery.Parked) error
	CountDelivered(ctx context.Context, integration string, n int) error
	BlockedKeys(ctx context.Context, integration string, keys []string) (map[string]bool, error)
	PruneInbox(ctx context.Context, integration string, keep time.Duration) (int, error)
	// Listen notes that a process listens to a source that keeps nothing. It returns the time in which nobody did, once.
	Listen(ctx context.Context, l delivery.Listening) (*delivery.SourceGap, error)
	// Unlisten notes that it ends to listen.
	Unlisten(ctx context.Context, l delivery.Listening) error
	// NoteGap writes down that messages may have been lost; without noted it was known already.
	NoteGap(ctx context.Context, g delivery.NotedGap) (noted bool, err error)
	SourceGaps(ctx context.Context, integration string) (delivery.SourceGaps, error)
	// KeptTopic is what is kept of a topic, KeepTopic keeps what it is like now; see store/integrations.
	KeptTopic(ctx context.Context, n delivery.SourceName) (delivery.SourceTopic, error)
	KeepTopic(ctx context.Context, was, now delivery.SourceTopic, gaps []delivery.NotedGap) (kept bool, err error)
	KeepPositions(ctx context.Context, n delivery.SourceName, id string, list []delivery.SourcePosition) error
	IntegrationStates(ctx context.Context) (map[string]delivery.IntegrationState, error)
	// KeepMember notes a member of a group, whose name nobody else has, and shows that its process lives until ctx ends. noted is
	// called when both stand.
	KeepMember(ctx context.Context, integration, member string, noted func(), failed func(error))
	// GoneMembers are those noted whose processes do not live, ForgetGone drops the notes; ForgetMember drops that of a living one.
	GoneMembers(ctx context.Context, integration string) ([]string, error)
	ForgetGone(ctx context.Context, members []string) error
	ForgetMember(ctx context.Context, member string) error
}

// Attempter makes attempts outside of the queue; the engine is one.
type Attempter interface {
	// Try makes one attempt, in whose error nothing masked is left; without ok nothing was sent: ask again after the wait.
	Try(ctx context.Context, r delivery.Request) (tried delivery.Tried, wait time.Duration, ok bool)
	// Admits reports whether an attempt may start now, without taking anything.
	Admits(integration string) (wait time.Duration, ok bool)
}

// Config is what a Consumer is made of. Zero values of the optional fields take the defaults named.
type Config struct {
	Integration delivery.Integration // with its Broker block
	Store       Store
	Attempter   Attempter
	Dialer      wire.Dialer
	Masks       delivery.Masks // default: of Integration
	Log         *slog.Logger   // default: slog.Default
	Keep        time.Duration  // how long the inbox remembers; default 14 days
	Patience    time.Duration  // how long messages are held that may not be sent, before they go back to RabbitMQ; default 1 min

	look time.Duration // between two looks at a topic of Kafka; default kafkaLook
}

// Defaults and bounds.
const (
	DefaultPrefetch = 256
	DefaultKeep     = 14 * 24 * time.Hour
	defaultPatience = time.Minute
	finalWrites     = 5 * time.Second // outcomes may still be written so long after the grace period
	pruneEvery      = time.Hour
	steady          = 30 * time.Second // a session that lived so long starts the back-off anew
	connectTimeout  = 30 * time.Second
	minAsk, maxAsk  = 20 * time.Millisecond, time.Second
	consumerTimeout = 20 * time.Minute // RabbitMQ closes a channel after 30 min without acknowledgement
)

// Consumer takes the messages of one integration. Make one with New and give it to Run once.
type Consumer struct {
	cfg      Config
	in       delivery.Integration
	log      *slog.Logger
	driver   driver
	traits   traits
	prefetch int
	ran      atomic.Bool
	facts    status
	gaps     gaps
	held     atomic.Bool // a gap paused the integration: nothing is read until a person has let it go on
	listener listener
	wait     *backoff.ExponentialBackOff
	secrets  *strings.Replacer
}

// New checks the settings; nothing is dialled before Run.
func New(cfg Config) (*Consumer, error) {
	if cfg.Store == nil || cfg.Attempter == nil || cfg.Integration.Broker == nil {
		return nil, errors.New("broker: store, attempter and a broker block are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Masks = cfg.Masks.Or([]delivery.Integration{cfg.Integration})
	if cfg.Dialer.Log == nil {
		cfg.Dialer.Log = cfg.Log
	}
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.look <= 0 {
		cfg.look = kafkaLook
	}
	cfg.Integration.Concurrency = max(cfg.Integration.Concurrency, 1)
	c := &Consumer{
		cfg: cfg,
		in:  cfg.Integration,
		log: cfg.Log.With("integration", cfg.Integration.Name, "source", cfg.Integration.Broker.Address()),
	}
	var err error
	if c.driver, err = newDriver(cfg); err != nil {
		return nil, delivery.SettingOf("broker."+cfg.Integration.Broker.Kind(), err)
	}
	c.secrets = secrets(cfg.Integration.Broker.From)
	c.traits = c.driver.traits()
	c.prefetch = bounded(cfg.Integration, c.traits)
	c.wait = newBackOff()
	c.facts.start(c.prefetch)
	c.gaps.changed = make(chan struct{}, 1)
	c.listener.worker = rand.Text()
	c.held.Store(cfg.Integration.Broker.OnGap == delivery.OnGapStop) // until it is known
	return c, nil
}

func newBackOff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     200 * time.Millisecond,
		RandomizationFactor: 0.3,
		Multiplier:          2,
		MaxInterval:         2500 * time.Millisecond, // a broker that is back is noticed within 5 s
	}
	b.Reset()
	return b
}

// secrets hides passwords in what libraries and servers say.
func secrets(from delivery.Source) *strings.Replacer {
	var hide []string
	for _, secret := range from.Secrets() {
		if secret != "" {
			hide = append(hide, secret, "(hidden)")
		}
	}
	return strings.NewReplacer(hide...)
}

func newDriver(cfg Config) (driver, error) {
	i := slices.IndexFunc(sourceKinds, func(k sourceKind) bool { return k.Name == cfg.Integration.Broker.Kind() })
	if i < 0 {
		return nil, errors.New("broker: the block names no broker")
	}
	return sourceKinds[i].open(cfg)
}

// bounded is the prefetch. Where the broker is impatient, the last message taken must have its turn in time even if every
// attempt takes as long as it may. Where a redelivered message cannot be told from one that was attempted, nothing waits here.
func bounded(in delivery.Integration, t traits) int {
	prefetch := in.Broker.Prefetch
	if prefetch <= 0 {
		prefetch = DefaultPrefetch
	}
	if t.impatient {
		rounds := int(consumerTimeout / in.Destination.Timeout())
		prefetch = min(prefetch, max(rounds*in.Concurrency, 1))
	}
	if t.nameless {
		prefetch = min(prefetch, in.Concurrency)
	}
	return prefetch
}

// Run consumes until ctx ends. Then it takes nothing more, gives back what was not attempted and lets attempts under way finish
// until grace ends. What became of them is written and acknowledged even a little after that.
func (c *Consumer) Run(ctx, grace context.Context) error {
	if c.ran.Swap(true) {
		return errors.New("broker: already run")
	}
	base := context.WithoutCancel(ctx)
	sends, stopSends := context.WithCancel(base)
	defer stopSends()
	writes, stopWrites := context.WithCancel(base)
	defer stopWrites()
	taking, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	defer context.AfterFunc(grace, func() {
		stopTaking()
		stopSends()
		time.AfterFunc(finalWrites, stopWrites)
	})()
	var helpers sync.WaitGroup
	helpers.Go(func() { c.prune(taking) })
	helpers.Go(func() { c.watchGaps(taking) })
	defer c.unlisten(base)
	defer helpers.Wait()
	defer stopTaking()
	defer c.status(delivery.SourceStopped, delivery.Phrase{})
	return c.sessions(taking, sends, writes)
}

// sessions opens one session after the other, until taking ends.
func (c *Consumer) sessions(taking, sends, writes context.Context) error {
	c.status(delivery.SourceConnecting, delivery.Phrase{})
	for c.admitted(taking) {
		opened := time.Now()
		left, err := c.session(taking, sends, writes)
		if left > 0 {
			return fmt.Errorf("broker: %s: what became of %d messages could not be written; the broker will bring "+
				"them again", c.in.Name, left)
		}
		if taking.Err() != nil || errors.Is(err, errStalled) || c.held.Load() {
			continue
		}
		if time.Since(opened) > steady {
			c.wait.Reset()
		}
		c.status(delivery.SourceReconnecting, delivery.Heard(err).With(c.secrets.Replace))
		if !delivery.Pause(taking, c.wait.NextBackOff()) {
			break
		}
	}
	return nil
}

// session connects and works until the connection is lost or taking ends.
func (c *Consumer) session(taking, sends, writes context.Context) (left int, err error) {
	ctx, cancel := context.WithTimeout(taking, connectTimeout)
	defer cancel()
	s := c.newSession(sends, writes)
	if s.session, err = c.driver.connect(ctx, c.prefetch, s); err != nil {
		return 0, err
	}
	c.status(delivery.SourceConnected, delivery.Phrase{})
	return s.run(taking)
}

// admitted waits until the integration may send; while it may not, messages stay where they are.
func (c *Consumer) admitted(taking context.Context) bool {
	for ask := minAsk; taking.Err() == nil; ask = min(2*ask, maxAsk) { // often at first: an engine that starts is not ready at once
		wait, ok := c.cfg.Attempter.Admits(c.in.Name)
		if !c.stillHeld(taking) && (ok || c.regardless()) {
			return true
		}
		c.status(delivery.SourceWaiting, delivery.Say("source.held"))
		if !delivery.Pause(taking, min(patience(wait), ask)) {
			return false
		}
	}
	return false
}

// patience bounds how long to wait before asking again whether attempts may start.
func patience(wait time.Duration) time.Duration {
	return min(max(wait, minAsk), maxAsk)
}

// prune forgets what was seen long ago.
func (c *Consumer) prune(ctx context.Context) {
	for {
		n, err := c.cfg.Store.PruneInbox(ctx, c.in.Name, c.cfg.Keep)
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "forgetting old messages failed", "error", err)
		}
		if n > 0 && err == nil {
			continue // it forgets a batch at once
		}
		if !delivery.Pause(ctx, pruneEvery) {
			return
		}
	}
}
