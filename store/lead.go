package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"

	"redrive/delivery"
)

// Leadership: one process at a time runs a room. The lock belongs to a session of its own, and everything that the leader writes
// goes through that very session: a process that lost the lock cannot write any more, whatever it believes.
const (
	leadEvery   = time.Second     // who does not lead tries again
	leadBeat    = 5 * time.Second // who leads shows that it lives
	leadSession = "SET idle_session_timeout = '20s'; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3"
)

// Leader is the session that holds a room's lock.
type Leader struct {
	db  *gorm.DB
	ids idClock
}

// Lead waits until this process leads the room of that name, runs work, and begins again when work fails or the session breaks.
// It returns when ctx ends, or nil when work does. Failures go to failed, which may be nil.
func (s *Store) Lead(ctx context.Context, room string, work func(ctx context.Context, l *Leader) error, failed func(error)) error {
	for {
		done, err := s.tryLead(ctx, room, work)
		if ctx.Err() != nil || done && err == nil {
			return nil
		}
		if err != nil && failed != nil {
			failed(err)
		}
		delivery.Pause(ctx, leadEvery)
	}
}

func (s *Store) tryLead(ctx context.Context, room string, work func(context.Context, *Leader) error) (led bool, err error) {
	conn, err := s.leaders.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("connecting for room %s: %w", room, err)
	}
	defer conn.Close() // idle connections are not kept: the session ends, and its lock with it
	if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(hashtextextended('redrive ' || $1, 0))", room).Scan(&led); err != nil || !led {
		return false, err
	}
	if _, err := conn.ExecContext(ctx, leadSession); err != nil {
		return false, fmt.Errorf("preparing the session of room %s: %w", room, err)
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		stop(beat(working, conn))
	}()
	session := s.db.Session(&gorm.Session{NewDB: true, Context: working})
	session.Statement.ConnPool = conn
	err = work(working, &Leader{db: session})
	if cause := context.Cause(working); err != nil && cause != nil && ctx.Err() == nil {
		err = cause
	}
	stop(nil)
	<-beats
	return true, err
}

// beat keeps the session from being taken for dead, and notices when it is.
func beat(ctx context.Context, conn *sql.Conn) error {
	for {
		delivery.Pause(ctx, leadBeat)
		if ctx.Err() != nil {
			return nil
		}
		if err := conn.Raw(func(c any) error { return show(ctx, c.(*stdlib.Conn).Conn()) }); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the leader's session is gone: %w", err)
		}
	}
}

// show leaves a session alone that is in use: that shows enough, and rows that are being read must not be disturbed.
func show(ctx context.Context, conn *pgx.Conn) error {
	if conn.PgConn().IsBusy() || conn.PgConn().TxStatus() != 'I' {
		return nil
	}
	_, err := conn.Exec(ctx, "SELECT 1")
	return err
}
