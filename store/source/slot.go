package source

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"redrive/delivery"
)

// SQLSTATEs that are told apart.
const (
	insufficientPrivilege = "42501"
	undefinedObject       = "42704"
	duplicateObject       = "42710"
	objectInUse           = "55006"
	queryCanceled         = "57014"
)

const createSlotTimeout = 5 * time.Minute // it waits for every transaction that is open at the source

const settleEvery = 100 * time.Millisecond

// Slot says how the slot stands.
func (s *Source) Slot(ctx context.Context) (delivery.SlotStatus, error) {
	slot, err := s.slot(ctx)
	return slot.SlotStatus, err
}

type slot struct {
	delivery.SlotStatus
	database, plugin string
}

func (s *Source) slot(ctx context.Context) (found slot, err error) {
	var status, reason string
	var confirmed, restart, current int64
	err = s.pool.QueryRow(ctx, `SELECT s.slot_name IS NOT NULL, coalesce(s.database::text, ''), coalesce(s.plugin::text, ''), coalesce(s.active, false),
			coalesce(s.wal_status, ''), coalesce(to_jsonb(s) ->> 'invalidation_reason', ''), s.safe_wal_size,
			coalesce((s.confirmed_flush_lsn - '0/0')::bigint, 0), coalesce((s.restart_lsn - '0/0')::bigint, 0), (c.lsn - '0/0')::bigint
		FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) c(lsn)
		LEFT JOIN pg_replication_slots s ON s.slot_name = $1`, s.settings.Slot).
		Scan(&found.Exists, &found.database, &found.plugin, &found.Active, &status, &reason, &found.SafeBytes, &confirmed, &restart, &current)
	if err != nil {
		return found, delivery.Fault("asking.slot", "slot", s.settings.Slot, "why", err)
	}
	found.Confirmed, found.Restart, found.Current = delivery.LSN(confirmed), delivery.LSN(restart), delivery.LSN(current)
	if found.Lost = status == "lost" || reason != ""; found.Lost {
		found.Why, found.SafeBytes = whyLost(reason), nil
	}
	if confirmed > 0 {
		found.Lag = max(current-confirmed, 0)
	}
	if restart > 0 {
		found.Retained = max(current-restart, 0)
	}
	return found, nil
}

func whyLost(reason string) delivery.Phrase {
	switch reason {
	case "", "wal_removed":
		return delivery.Say("slot.wal_removed")
	case "idle_timeout":
		return delivery.Say("slot.idle_timeout")
	case "wal_level_insufficient":
		return delivery.Say("slot.wal_level")
	case "rows_removed":
		return delivery.Say("slot.rows_removed")
	}
	return delivery.Say("slot.invalidated", "reason", reason)
}

// CreateSlot creates the slot and answers where its stream will begin: later commits will be in it, and a query sees all
// earlier ones. It waits for the transactions that are open at the source. The publication must be there before.
func (s *Source) CreateSlot(ctx context.Context) (delivery.LSN, error) {
	ctx, cancel := context.WithTimeout(ctx, createSlotTimeout)
	defer cancel()
	var lsn int64
	err := s.long(ctx, func(run query) error {
		return run("SELECT (lsn - '0/0')::bigint FROM pg_create_logical_replication_slot($1, 'pgoutput')", &lsn, s.settings.Slot)
	})
	if err == nil {
		s.log.Info("created a replication slot", "slot", s.settings.Slot, "from", pglogrepl.LSN(lsn).String())
		return delivery.LSN(lsn), nil
	}
	switch code := sqlState(err); {
	case code == duplicateObject:
		return 0, delivery.Fault("slot.err.exists", "what", ErrSlotExists, "slot", s.settings.Slot)
	case code == queryCanceled || errors.Is(err, context.DeadlineExceeded):
		return 0, delivery.Fault("slot.err.not_created", "slot", s.settings.Slot, "time", createSlotTimeout, "why", err)
	}
	return 0, delivery.Fault("asking.slot_created", "slot", s.settings.Slot, "why", err)
}

type query func(sql string, result any, args ...any) error

// long runs a query that only ctx bounds.
func (s *Source) long(ctx context.Context, work func(query) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = 0"); err != nil {
		return err
	}
	defer func() { // a connection that ctx has broken is not used again
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SET statement_timeout = "+limits+"; SET lock_timeout = "+lockTimeout)
	}()
	return work(func(sql string, result any, args ...any) error { return conn.QueryRow(ctx, sql, args...).Scan(result) })
}

// DropSlot removes the slot; that there is none is no error. Its reader must have ended: ErrSlotActive.
func (s *Source) DropSlot(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "SELECT pg_drop_replication_slot($1)", s.settings.Slot)
	switch sqlState(err) {
	case undefinedObject:
		return nil
	case objectInUse:
		return s.slotActive()
	}
	if err != nil {
		return delivery.Fault("asking.slot_dropped", "slot", s.settings.Slot, "why", err)
	}
	return nil
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func (s *Source) slotActive() error {
	return delivery.Fault("slot.err.active", "what", ErrSlotActive, "slot", s.settings.Slot)
}

// explain finds out whether a failure of the stream is one of its slot.
func (s *Source) explain(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	slot, asked := s.slot(ctx)
	switch {
	case asked != nil: // the source is down
	case !slot.Exists:
		return delivery.Fault("slot.err.missing", "what", ErrSlotMissing, "slot", s.settings.Slot)
	case slot.Lost:
		return delivery.Fault("slot.err.lost", "what", ErrSlotLost, "slot", s.settings.Slot, "why", slot.Why)
	}
	switch sqlState(err) {
	case objectInUse:
		return s.slotActive()
	case undefinedObject: // the slot is there
		return delivery.Fault("slot.err.publication", "what", ErrPublicationMissing, "publication", s.settings.Publication,
			"slot", s.settings.Slot)
	}
	return delivery.Fault("asking.slot_read", "slot", s.settings.Slot, "why", err)
}
