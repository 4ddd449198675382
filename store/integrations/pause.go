package integrations

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

const (
	pauseSQL  = "UPDATE redrive.integrations SET paused_at = coalesce(paused_at, clock_timestamp()), paused_by = ?, pause_reason = ?, pause_says = NULL, paused_until = ? WHERE name = ?"
	resumeSQL = "UPDATE redrive.integrations SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, pause_says = NULL, paused_until = NULL WHERE name = ?"
)

// SetPaused pauses or resumes an integration. Asking for what already is changes nothing and is not audited.
func (s *Registry) SetPaused(ctx context.Context, integration string, paused bool, actor, reason string) error {
	return s.pauseOrResume(ctx, integration, func(tx *gorm.DB, was pauseState) error {
		switch {
		case was.Paused == paused:
			return nil
		case paused:
			return pause(tx, integration, actor, reason, nil)
		}
		return resume(tx, integration, delivery.AuditEntry{Actor: actor, Reason: reason})
	})
}

// PauseUntil pauses an integration until a moment, at which it goes on by itself; one that is paused already gets the new reason and end.
// The error is invalid_until where the moment is over by the database's clock.
func (s *Registry) PauseUntil(ctx context.Context, integration, actor, reason string, until time.Time) error {
	return s.pauseOrResume(ctx, integration, func(tx *gorm.DB, was pauseState) error {
		if !until.After(was.Now) {
			return delivery.Mistake("invalid_until", "until")
		}
		return pause(tx, integration, actor, reason, &until)
	})
}

// pauseState is what a change of a pause begins with.
type pauseState struct {
	Paused bool
	Now    time.Time
}

// pauseOrResume changes an integration that somebody may pause; one that is not known stays so.
func (s *Registry) pauseOrResume(ctx context.Context, integration string, change func(*gorm.DB, pauseState) error) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		if err := pg.MayFor(tx, integration, delivery.PermitPause); err != nil {
			return err
		}
		was, err := pg.ScanOne[pauseState](tx, `SELECT paused_at IS NOT NULL AS paused, clock_timestamp() AS now
			FROM redrive.integrations WHERE name = ? AND active FOR UPDATE`, integration)
		if err != nil {
			return err
		}
		return change(tx, was)
	})
}

func pause(tx *gorm.DB, integration, actor, reason string, until *time.Time) error {
	if err := tx.Exec(pauseSQL, actor, reason, until, integration).Error; err != nil {
		return err
	}
	entry := delivery.AuditEntry{Actor: actor, Action: "integration.pause", SubjectType: "integration", Subject: integration, Reason: reason}
	if until != nil {
		entry.Details = audit.Details(map[string]any{"until": until.UTC()})
	}
	return audit.Record(tx, entry)
}

// resume lets an integration go on; who does it and why stands in the entry.
func resume(tx *gorm.DB, integration string, entry delivery.AuditEntry) error {
	if err := tx.Exec(resumeSQL, integration).Error; err != nil {
		return err
	}
	entry.Action, entry.SubjectType, entry.Subject = "integration.resume", "integration", integration
	return audit.Record(tx, entry)
}

// ResumeDue lets the integrations go on whose pause is over, and returns their names. One that somebody is at is left for the next time.
func (s *Registry) ResumeDue(ctx context.Context) (names []string, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		if names, err = pg.Read(tx, pg.Single[string], `SELECT name FROM redrive.integrations WHERE paused_until <= clock_timestamp()
			ORDER BY name FOR UPDATE SKIP LOCKED`); err != nil {
			return err
		}
		for _, name := range names {
			over := delivery.AuditEntry{Actor: delivery.ActorPolicy, Details: audit.Details(map[string]any{"why": delivery.Say("audit.paused_until")})}
			if err := resume(tx, name, over); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("resuming integrations whose pause is over: %w", err)
	}
	return names, nil
}
