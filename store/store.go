// Package store is every conversation with Postgres, cut into rooms that own their tables; Store is all of them on one pool of
// connections. In a room an exported method opens the transaction, its unexported twin takes it.
package store

import (
	"context"
	"log/slog"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/batch"
	"redrive/store/capture"
	"redrive/store/desk"
	"redrive/store/find"
	"redrive/store/ignore"
	"redrive/store/index"
	"redrive/store/integrations"
	"redrive/store/notary"
	"redrive/store/people"
	"redrive/store/pg"
	"redrive/store/queue"
	"redrive/store/seed"
	"redrive/store/sqltext"
	"redrive/store/subjects"
	"redrive/store/vault"
)

// Files are the stored bytes of batch files.
type Files = batch.Files

// Store is every room on one pool of connections. It is safe for concurrent use.
type Store struct {
	*pg.DB
	*audit.Trail
	*people.People
	*index.SearchIndex
	*queue.Queue
	*find.Lists
	*desk.Desk
	*approve.Requests
	*ignore.Rules
	*batch.Batches
	*capture.Captures
	*integrations.Registry
	*vault.Vault
	*notary.Notary
	*subjects.Subjects
	*seed.Seed
}

// Open connects to the database that dsn names (URL or key=value form) and checks that it answers.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*Store, error) {
	db, err := pg.Open(ctx, dsn, log)
	if err != nil {
		return nil, err
	}
	keys, trail := vault.New(db), audit.New(db)
	return &Store{
		DB:          db,
		Trail:       trail,
		People:      people.New(db, keys),
		SearchIndex: index.New(db),
		Queue:       queue.New(db),
		Lists:       find.New(db),
		Desk:        desk.New(db),
		Rules:       ignore.New(db, delivery.UsualIgnoreDays),
		Requests:    approve.New(db, desk.Executors, batch.Executors, capture.Executors, ignore.Executors),
		Batches:     batch.New(db),
		Captures:    capture.New(db),
		Registry:    integrations.New(db),
		Vault:       keys,
		Notary:      notary.New(db, keys, trail),
		Subjects:    subjects.New(db, keys),
		Seed:        seed.New(db),
	}, nil
}

// SetIgnoreDays says after how many days what is ignored comes back, and a rule ends, where nobody says when; 0: the usual ones.
func (s *Store) SetIgnoreDays(days int) {
	if days <= 0 {
		days = delivery.UsualIgnoreDays
	}
	s.Desk.SetIgnoreDays(days)
	s.Rules.SetIgnoreDays(days)
}

// CheckBatchQuery reports whether a query names the window, and refuses names that no run gives a value to.
func CheckBatchQuery(query string) (windowed bool, err error) { return sqltext.CheckBatch(query) }

// Leader is the session of the process that leads a room, as each room sees it.
type Leader struct {
	*pg.Leader
	*queue.RelayTerm
	*capture.Term
}

// Lead waits until this process leads the room of that name, runs work, and begins again when work fails or the session breaks.
// It returns when ctx ends, or nil when work does. Failures go to failed, which may be nil.
func (s *Store) Lead(
	ctx context.Context,
	room string,
	work func(ctx context.Context, l *Leader) error,
	failed func(error),
) error {
	return s.DB.Lead(ctx, room, func(ctx context.Context, l *pg.Leader) error {
		return work(ctx, &Leader{Leader: l, RelayTerm: &queue.RelayTerm{Leader: l}, Term: &capture.Term{Leader: l}})
	}, failed)
}

// Batch returns the feed of a batch integration, for the leader of its room.
func (s *Store) Batch(l *Leader, integration string) *batch.Feed {
	return s.Batches.Batch(l.Leader, integration)
}
