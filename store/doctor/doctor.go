// Package doctor examines the databases that the program works with and says in lines what is in order and what is not.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/pg"
	"redrive/store/source"
)

// orphanAge is more than any two-phase commit takes whose coordinator is alive.
const orphanAge = 5 * time.Minute

// Report goes to Out line by line: ok, warn or bad.
type Report struct {
	Out    io.Writer
	Failed bool                         // a line was bad
	Dial   delivery.Dial                // how the databases of integrations are reached
	Say    func(delivery.Phrase) string // in the language of whoever reads; nil: English
}

// Note says that something is as it should be, or what is wrong with it.
func (r *Report) Note(what delivery.Phrase, err error) {
	if err != nil {
		r.bad(what, r.say(delivery.Heard(err)))
		return
	}
	fmt.Fprintf(r.Out, "ok    %s\n", r.say(what))
}

func (r *Report) bad(what delivery.Phrase, text string) {
	r.Failed = true
	fmt.Fprintf(r.Out, "bad   %s: %s\n", r.say(what), delivery.Sentence(errors.New(text)))
}

func (r *Report) say(p delivery.Phrase) string {
	if r.Say == nil {
		return p.English()
	}
	return r.Say(p)
}

// Database examines the program's own database.
func (r *Report) Database(ctx context.Context, db *store.Store) {
	ready := db.Ready(ctx)
	r.Note(delivery.Say("doctor.schema"), ready)
	audit, err := db.VerifyAudit(ctx)
	if err == nil && !audit.OK() {
		err = delivery.Fault("doctor.audit.broken", "report", audit)
	}
	r.Note(delivery.Say("doctor.audit"), err)
	prepared, err := db.PreparedTransactions(ctx)
	if err == nil {
		err = orphaned(prepared)
	}
	r.Note(delivery.Say("doctor.prepared"), err)
	if ready == nil {
		r.Note(delivery.Say("doctor.secrets"), db.CheckKeys(ctx))
		r.role(ctx, db)
		r.producers(ctx, db)
	}
}

// role warns where the program could change what it has written into the audit.
func (r *Report) role(ctx context.Context, db *store.Store) {
	power, err := db.Power(ctx)
	if err != nil || power == "" {
		r.Note(delivery.Say("doctor.role"), err)
		return
	}
	r.finding(delivery.Say("doctor.role"), delivery.CaptureFinding{
		Warning: true,
		SQL:     "SELECT redrive.admit_program(…)",
		Err:     delivery.Say("role."+power, "role", db.Config.User),
	})
}

// producers says that the reading of before holds on, which only the operator can end: nobody else knows what producers there are.
func (r *Report) producers(ctx context.Context, db *store.Store) {
	since, err := db.EarlierProducers(ctx)
	switch {
	case err != nil:
		r.Note(delivery.Say("doctor.producers"), err)
	case since != nil:
		r.finding(delivery.Say("doctor.producers"), delivery.CaptureFinding{
			Warning: true,
			SQL:     "DELETE FROM redrive.earlier_producers",
			Err:     delivery.Say("producers.earlier", "since", since.UTC().Format(time.DateOnly)),
		})
	}
}

// orphaned names the prepared transactions that nobody seems to end. They are not ours, but the queue lives in their database.
func orphaned(prepared []pg.PreparedTransaction) error {
	var named []delivery.Phrase
	for _, p := range prepared {
		if p.Age > orphanAge {
			named = append(named, delivery.Say("doctor.prepared.one", "id", p.GID, "owner", p.Owner, "age", p.Age.Round(time.Second)))
		}
	}
	if len(named) == 0 {
		return nil
	}
	return delivery.Fault("doctor.orphaned", "count", len(named), "list", delivery.Listed(named))
}

// Source examines the database that a cdc integration reads; defaultURL is it where the settings name none.
func (r *Report) Source(ctx context.Context, in delivery.Integration, defaultURL string) {
	src, err := source.New(*in.CDC, defaultURL, in.Name, r.Dial, slog.New(slog.DiscardHandler))
	if err != nil {
		r.Note(delivery.Verbatim(in.Name), err)
		return
	}
	defer src.Close()
	findings, err := src.Check(ctx)
	if err != nil {
		r.Note(delivery.Verbatim(in.Name), err)
	}
	for _, f := range findings {
		r.finding(delivery.Say("doctor.source", "integration", in.Name, "what", f.What), f)
	}
}

// Tables says what is missing of the tables that a cdc integration reads, and what of them has changed since they were looked at last.
func (r *Report) Tables(ctx context.Context, db *store.Store, in delivery.Integration, defaultURL string) {
	gaps, err := db.CaptureGaps(ctx)
	if err != nil {
		r.Note(delivery.Say("doctor.gaps", "integration", in.Name), err)
		return
	}
	position, err := db.CapturePosition(ctx, in.Name)
	if err != nil || position.SystemIdentifier == "" || position.ResnapshotAt != nil {
		return // not begun; a database that does not answer was reported
	}
	src, err := source.New(*in.CDC, defaultURL, in.Name, r.Dial, slog.New(slog.DiscardHandler))
	if err != nil {
		return // reported
	}
	defer src.Close()
	now, err := src.Look(ctx, position.Tables)
	if err != nil {
		r.Note(delivery.Say("doctor.tables", "integration", in.Name), err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(now.Tables)) {
		known, read := position.Tables[name]
		if why := known.Gone(now.Tables[name]); read && !why.IsZero() {
			err = delivery.Fault("doctor.lost", "why", why, "position", position.Verified)
		}
		for _, g := range gaps[in.Name] {
			if g.Table == name {
				err = &delivery.FaultError{Says: g.Phrase()}
			}
		}
		if err != nil {
			err = delivery.Fault("doctor.again", "what", err, "integration", in.Name, "table", name)
		}
		r.Note(delivery.Say("doctor.changes", "integration", in.Name, "table", name), err)
		err = nil
	}
}

func (r *Report) finding(what delivery.Phrase, f delivery.CaptureFinding) {
	text := r.say(f.Err)
	if f.SQL != "" {
		text += " (" + f.SQL + ")"
	}
	switch {
	case f.Err.IsZero():
		r.Note(what, nil)
	case f.Warning:
		fmt.Fprintf(r.Out, "warn  %s: %s\n", r.say(what), text)
	default:
		r.bad(what, text)
	}
}
