package broker

import (
	"context"
	"time"

	"redrive/delivery"
)

// taken is one message in our hands that its broker has not been told about.
type taken struct {
	message     delivery.Message // without ids
	identity    string           // at its source; empty: none
	problem     string           // why it cannot be read; it is kept as it came
	trace       []byte           // of an entry of a dead-letter queue: the stack trace that came with it
	redelivered bool             // the broker says that somebody may have had it before
	firstTime   bool             // the broker vouches that nobody had it before, whatever its identity looks like
	last        bool             // the broker may not bring it again: it is made durable before it is attempted
	dead        bool             // it failed and is a dead letter here, which is durable
	receipt     any              // the session's own
}

// driver knows one kind of broker.
type driver interface {
	// connect opens a session with room for so many messages that are not acknowledged.
	connect(ctx context.Context, prefetch int, h holder) (session, error)
	traits() traits
}

// traits are what the consumer must know about a kind of broker.
type traits struct {
	forgets   bool // what is not taken at once is lost (Redis): messages are made durable rather than left to wait
	impatient bool // the broker does not bear it when messages stay unacknowledged for long (RabbitMQ)
	counted   bool // messages have positions (Kafka): how many are missing can be told
	nameless  bool // messages may have no identity, and the receiver keeps duplicates: no more are taken than are attempted at once
}

// session is one connection to a source. receive is called by one goroutine, acknowledge and giveBack by one other.
type session interface {
	// receive waits for messages and answers at most n. An error other than ctx's ends the session.
	receive(ctx context.Context, n int) ([]*taken, error)
	// registered is called when release will find what receive answered last.
	registered()
	// acknowledge says that these are dealt with for good.
	acknowledge(list []*taken) error
	// giveBack returns what was not attempted, where the broker has a way. What is neither acknowledged nor given back
	// returns by itself when the session closes.
	giveBack(list []*taken) error
	// lost is closed when nothing more can be acknowledged.
	lost() <-chan struct{}
	// stop ends the delivery of further messages; acknowledging goes on.
	stop() error
	close(ctx context.Context) error
	// facts adds what the broker says about itself.
	facts(ctx context.Context, f *delivery.SourceFacts)
}

// holder is told by a session what the broker does with messages that are in our hands.
type holder interface {
	// release drops what was not attempted of the messages that match, and returns when the others are settled or ctx ends.
	release(ctx context.Context, match func(*taken) bool)
	// status changes what people see.
	status(s delivery.SourceStatus, why delivery.Phrase)
	// gap notes that messages may have been lost at the broker.
	gap(g delivery.SourceGap)
	// found writes down what was lost at a source with positions. errHeld: the integration is paused with it, and nothing more is read.
	found(ctx context.Context, list []delivery.NotedGap) error
	// changed keeps what a topic is like, with what was lost by that; see Store.KeepTopic and found.
	changed(ctx context.Context, was, now delivery.SourceTopic, list []delivery.NotedGap) (kept bool, err error)
	// listens says since when somebody listens to a source that forgets, and when it last gave a sign of life; zero: nobody does.
	listens(since, heard time.Time)
}
