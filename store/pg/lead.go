package pg

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
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
	leadEvery   = time.Second     // between attempts to become the leader
	leadBeat    = 5 * time.Second // between a leader's signs of life
	leadSession = "SET idle_session_timeout = '20s'; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3"
)

// lockOf is the key of the lock of the room that an SQL expression names.
func lockOf(room string) string { return "hashtextextended('redrive ' || " + room + ", 0)" }

// Led is the SQL condition that some process leads the room which an SQL expression names.
func Led(room string) string {
	return `EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (classid::bigint << 32) | objid::bigint = ` + lockOf(room) + `)`
}

// Leader is the session that holds a room's lock.
type Leader struct {
	Gorm *gorm.DB
	IDs  idClock
}

// Lead waits until this process leads the room of that name, runs work, and begins again when work fails or the session breaks.
// It returns when ctx ends, or nil when work does. Failures go to failed, which may be nil.
func (s *DB) Lead(ctx context.Context, room string, work func(ctx context.Context, l *Leader) error, failed func(error)) error {
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

func (s *DB) tryLead(ctx context.Context, room string, work func(context.Context, *Leader) error) (led bool, err error) {
	conn, err := s.leaders.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("connecting for room %s: %w", room, err)
	}
	defer conn.Close() // idle connections are not kept: the session ends, and its lock with it
	if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock("+lockOf("$1")+")", room).
		Scan(&led); err != nil ||
		!led {
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
	session := s.Gorm.Session(&gorm.Session{NewDB: true, Context: working})
	session.Statement.ConnPool = conn
	err = work(working, &Leader{Gorm: session})
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

const counterBits = 12

// idClock makes ids of version 7 that only grow, so that the order in which messages are written is the order of their ids.
type idClock struct {
	ahead time.Duration // of the database's clock before ours
	last  uint64        // milliseconds and, below them, a counter of 12 bits
}

// Follow makes ids of the database's time from now on.
func (c *idClock) Follow(now time.Time) { c.ahead = time.Until(now) }

// Next returns an id. When more than 4,096 are made in a millisecond, they run a little ahead of time (RFC 9562, 6.2).
func (c *idClock) Next() string {
	c.last = max(c.last+1, uint64(time.Now().Add(c.ahead).UnixMilli())<<counterBits)
	var id [16]byte
	_, _ = rand.Read(id[8:]) // never fails, see crypto/rand
	binary.BigEndian.PutUint64(id[:8], c.last>>counterBits<<16|7<<12|c.last&(1<<counterBits-1))
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
