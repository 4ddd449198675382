package source

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"redrive/delivery"
	"redrive/store/session"
)

const (
	readAhead     = 16                     // events that wait for Next
	statusGap     = 100 * time.Millisecond // between two that follow acknowledgements
	idleEvery     = time.Second            // between idle events that nobody asked for
	writeTimeout  = 10 * time.Second
	closeTimeout  = 2 * time.Second
	waitForReader = 2 * time.Second // for the server to notice that the last reader has gone
)

// pace is how patient a stream is.
type pace struct {
	status  time.Duration // a status is sent at the latest; it asks for an answer
	silence time.Duration // the source may say nothing: several statuses were not answered, it is dead
	stall   time.Duration // an event may wait for Next. A reader that takes nothing blocks the source's checkpoints and shutdown.
}

var unhurried = pace{status: 10 * time.Second, silence: time.Minute, stall: time.Minute}

// Stream is one connection that brings a slot's changes in the order of their commits, each transaction in one piece.
type Stream struct {
	source   *Source
	pg       *pgconn.PgConn // its connection is conn
	conn     net.Conn
	decoder  decoder
	lastIdle time.Time // when the latest idle event was offered
	events   chan delivery.CaptureEvent
	wake     chan struct{} // something was acknowledged
	closing  context.Context
	stop     context.CancelFunc
	done     sync.WaitGroup
	err      error // why events was closed
	closed   sync.Once

	writing sync.Mutex

	mu     sync.Mutex
	acked  delivery.LSN
	handed delivery.LSN // end of the last transaction that was handed out
	ending bool         // Close has set the last deadline
}

// Stream begins to read behind from, or where the slot was acknowledged last when that is later. The source leaves out what
// was committed before from: exactly the transactions that end there or earlier. ErrSlotActive, ErrSlotMissing, ErrSlotLost
// and ErrSourceRestored tell what a person has to see to. ctx bounds the start only; the stream must be closed.
func (s *Source) Stream(ctx context.Context, from delivery.LSN) (*Stream, error) {
	conn, system, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, conn, delivery.LSN(system.XLogPos), from); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, delivery.Fault("asking.slot_read", "slot", s.settings.Slot, "why", err)
	}
	s.log.Info("reading changes", "slot", s.settings.Slot, "from", pglogrepl.LSN(from).String())
	closing, stop := context.WithCancel(context.Background())
	st := &Stream{source: s, pg: conn, conn: hijacked.Conn, acked: from, handed: from,
		events: make(chan delivery.CaptureEvent, readAhead), wake: make(chan struct{}, 1), closing: closing, stop: stop,
		decoder: decoder{prefix: s.prefix(), relations: map[uint32]*relation{}, typeOf: s.typeOf, keyOf: s.keyOf}}
	st.done.Go(st.read)
	st.done.Go(st.report)
	return st, nil
}

// connect opens a connection for replication; to one that a pooler has made of it the server refuses replication commands.
func (s *Source) connect(ctx context.Context) (conn *pgconn.PgConn, system pglogrepl.IdentifySystemResult, err error) {
	conn, err = pgconn.ConnectConfig(ctx, s.replication)
	if err != nil {
		return nil, system, delivery.Fault("asking.replication", "why", session.ExplainReplication(err))
	}
	if system, err = pglogrepl.IdentifySystem(ctx, conn); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		return nil, system, delivery.Fault("asking.log_end", "why", session.ExplainReplication(err))
	}
	return conn, system, nil
}

// wayFindings are about a pooler on the way, which may let everything through but replication.
func (s *Source) wayFindings(ctx context.Context) []delivery.CaptureFinding {
	conn, _, err := s.connect(ctx)
	if err == nil {
		_ = conn.Close(context.WithoutCancel(ctx))
	}
	var pooler *session.PoolerError
	if !errors.As(err, &pooler) {
		return nil // whatever else it is, the stream says so
	}
	return []delivery.CaptureFinding{{What: delivery.Say("setup.replication"), Err: delivery.Heard(pooler)}}
}

func (s *Source) start(ctx context.Context, conn *pgconn.PgConn, end, from delivery.LSN) (err error) {
	if from > end {
		return delivery.Fault("slot.err.restored", "what", ErrSourceRestored, "end", end, "from", from, "slot", s.settings.Slot)
	}
	options := pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: []string{
		"proto_version '2'",
		"publication_names " + literal(pgx.Identifier{s.settings.Publication}.Sanitize()),
		"messages 'true'",
	}}
	for deadline := time.Now().Add(waitForReader); ; {
		err = pglogrepl.StartReplication(ctx, conn, s.settings.Slot, pglogrepl.LSN(from), options)
		if sqlState(err) != objectInUse || time.Now().After(deadline) {
			break
		}
		delivery.Pause(ctx, 50*time.Millisecond)
		if err := untilReady(ctx, conn); err != nil {
			return delivery.Fault("asking.slot_read", "slot", s.settings.Slot, "why", err)
		}
	}
	if err != nil && ctx.Err() == nil {
		return s.explain(err)
	}
	return err
}

// untilReady reads what follows a refusal.
func untilReady(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if _, ready := message.(*pgproto3.ReadyForQuery); ready {
			return nil
		}
	}
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Next waits for the next event. When ctx ends first, the stream can be asked again and nothing is lost; any other error is
// the stream's end. Whoever cannot take events for a minute closes the stream: otherwise it closes itself.
func (st *Stream) Next(ctx context.Context) (delivery.CaptureEvent, error) {
	for {
		select {
		case <-ctx.Done():
			return delivery.CaptureEvent{}, ctx.Err()
		case event, open := <-st.events:
			if !open {
				return event, st.err
			}
			if st.hand(event) {
				return event, nil
			}
		}
	}
}

// hand keeps account of what was handed out. An idle event counts only when all before it was acknowledged.
func (st *Stream) hand(event delivery.CaptureEvent) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case event.Idle != 0:
		return st.handed <= st.acked && event.Idle > st.acked
	case event.Commit != nil:
		st.handed = event.Commit.LSN
	}
	return true
}

// Acknowledge says that everything before this place is durable: the end of a transaction or the place of an idle event. The
// source is told soon, and need not keep the log before it.
func (st *Stream) Acknowledge(lsn delivery.LSN) error {
	st.mu.Lock()
	st.acked = max(st.acked, lsn)
	st.mu.Unlock()
	select {
	case st.wake <- struct{}{}:
	default:
	}
	if st.closing.Err() != nil {
		return errClosed
	}
	return nil
}

// Close tells the source what was acknowledged, ends the stream and waits until the slot is free for the next reader. It may
// be called again.
func (st *Stream) Close() error {
	st.closed.Do(func() {
		st.stop()
		st.mu.Lock()
		st.ending = true
		_ = st.conn.SetReadDeadline(time.Now().Add(closeTimeout))
		st.mu.Unlock()
		if st.status(false) != nil || st.copyDone() != nil { // a broken connection has nothing to be told
			_ = st.conn.Close()
		}
	})
	st.done.Wait()
	return nil
}

func (st *Stream) copyDone() error {
	st.writing.Lock()
	defer st.writing.Unlock()
	st.pg.Frontend().Send(&pgproto3.CopyDone{})
	return st.pg.Frontend().Flush()
}

// report tells the source what was acknowledged, whether or not anybody asks for the next event: a slow reader is not a
// dead one.
func (st *Stream) report() {
	tick := time.NewTicker(st.source.pace.status)
	defer tick.Stop()
	for {
		ask := false
		select {
		case <-st.closing.Done():
			return
		case <-st.wake:
		case <-tick.C:
			ask = true // or neither side would notice that the other is dead: the server asks only those who are silent
		}
		if err := st.status(ask); err != nil {
			_ = st.conn.Close() // the reading side says why
			return
		}
		delivery.Pause(st.closing, statusGap)
	}
}

func (st *Stream) status(ask bool) error {
	st.mu.Lock()
	acked := pglogrepl.LSN(st.acked)
	st.mu.Unlock()
	st.writing.Lock()
	defer st.writing.Unlock()
	if err := st.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return pglogrepl.SendStandbyStatusUpdate(st.closing, st.pg,
		pglogrepl.StandbyStatusUpdate{WALWritePosition: acked, ReplyRequested: ask})
}

// read takes messages until the connection ends, and closes events.
func (st *Stream) read() {
	defer close(st.events)
	for {
		st.expect()
		message, err := st.pg.Frontend().Receive()
		if err == nil {
			err = st.receive(message)
		}
		if errors.Is(err, errClosed) {
			continue
		}
		if err != nil {
			st.err = st.ended(err)
			st.stop()
			_ = st.conn.Close()
			return
		}
	}
}

// expect gives the source time for its next word, unless the stream is being closed. The read fails where this does.
func (st *Stream) expect() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.ending {
		_ = st.conn.SetReadDeadline(time.Now().Add(st.source.pace.silence))
	}
}

func (st *Stream) ended(err error) error {
	switch {
	case st.closing.Err() != nil:
		return errClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return delivery.Fault("stream.silent", "time", st.source.pace.silence)
	case errors.Is(err, errStalled):
		return delivery.Fault("stream.stalled", "what", err, "time", st.source.pace.stall)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = delivery.Fault("stream.closed_by_source")
	}
	return st.source.explain(err)
}

var (
	errClosed  = delivery.Fault("stream.closed")
	errStalled = delivery.Fault("stream.nobody")
)

func (st *Stream) receive(message pgproto3.BackendMessage) error {
	switch m := message.(type) {
	case *pgproto3.CopyData:
		if st.closing.Err() != nil { // only the end is waited for
			return nil
		}
		return st.copied(m.Data)
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(m)
	case *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return delivery.Fault("stream.ended_by_source")
	}
	return nil // notices and parameters
}

func (st *Stream) copied(data []byte) error {
	if len(data) == 0 {
		return errTruncated
	}
	switch data[0] {
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return err
		}
		return st.decoder.decode(st.closing, x.WALData, st.emit)
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return err
		}
		return st.keepalive(k)
	}
	return nil
}

func (st *Stream) emit(event delivery.CaptureEvent) error {
	select {
	case st.events <- event:
		return nil
	default:
	}
	timer := time.NewTimer(st.source.pace.stall)
	defer timer.Stop()
	select {
	case st.events <- event:
		return nil
	case <-st.closing.Done():
		return errClosed
	case <-timer.C:
		return errStalled
	}
}

// keepalive answers, and offers the server's place as idle: what was committed before it has been sent.
func (st *Stream) keepalive(k pglogrepl.PrimaryKeepaliveMessage) error {
	if k.ReplyRequested {
		if err := st.status(false); err != nil {
			return err
		}
	}
	if st.decoder.tx != nil || !k.ReplyRequested && time.Since(st.lastIdle) < idleEvery {
		return nil
	}
	st.lastIdle = time.Now()
	return st.emit(delivery.CaptureEvent{Idle: delivery.LSN(k.ServerWALEnd)})
}
