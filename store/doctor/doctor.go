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
	"strings"
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
	Failed bool          // a line was bad
	Dial   delivery.Dial // how the databases of integrations are reached
}

// Note says that something is as it should be, or what is wrong with it.
func (r *Report) Note(what string, err error) {
	if err != nil {
		r.Failed = true
		fmt.Fprintf(r.Out, "bad   %s: %s\n", what, delivery.Sentence(err))
		return
	}
	fmt.Fprintf(r.Out, "ok    %s\n", what)
}

// Database examines the program's own database.
func (r *Report) Database(ctx context.Context, db *store.Store) {
	ready := db.Ready(ctx)
	r.Note("schema", ready)
	audit, err := db.VerifyAudit(ctx)
	if err == nil && !audit.OK() {
		err = errors.New(audit.String())
	}
	r.Note("audit chain", err)
	prepared, err := db.PreparedTransactions(ctx)
	if err == nil {
		err = orphaned(prepared)
	}
	r.Note("prepared transactions", err)
	if ready == nil {
		r.Note("stored secrets", db.CheckKeys(ctx))
		r.role(ctx, db)
		r.producers(ctx, db)
	}
}

// role warns where the program could change what it has written into the audit.
func (r *Report) role(ctx context.Context, db *store.Store) {
	power, err := db.Power(ctx)
	if err != nil || power == "" {
		r.Note("role", err)
		return
	}
	r.finding("role", delivery.CaptureFinding{
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
		r.Note("producers", err)
	case since != nil:
		r.finding("producers", delivery.CaptureFinding{
			Warning: true,
			SQL:     "DELETE FROM redrive.earlier_producers",
			Err:     delivery.Say("producers.earlier", "since", since.UTC().Format(time.DateOnly)),
		})
	}
}

// orphaned names the prepared transactions that nobody seems to end. They are not ours, but the queue lives in their database.
func orphaned(prepared []pg.PreparedTransaction) error {
	var named []string
	for _, p := range prepared {
		if p.Age > orphanAge {
			named = append(named, fmt.Sprintf("%q of %s, %s old", p.GID, p.Owner, p.Age.Round(time.Second)))
		}
	}
	if len(named) == 0 {
		return nil
	}
	return fmt.Errorf("%d orphaned: %s; each keeps its locks and holds back vacuum until COMMIT PREPARED or ROLLBACK PREPARED",
		len(named), strings.Join(named, "; "))
}

// Source examines the database that a cdc integration reads; defaultURL is it where the settings name none.
func (r *Report) Source(ctx context.Context, in delivery.Integration, defaultURL string) {
	src, err := source.New(*in.CDC, defaultURL, in.Name, r.Dial, slog.New(slog.DiscardHandler))
	if err != nil {
		r.Note(in.Name, err)
		return
	}
	defer src.Close()
	findings, err := src.Check(ctx)
	if err != nil {
		r.Note(in.Name, err)
	}
	for _, f := range findings {
		r.finding(in.Name+": "+f.What.English(), f)
	}
}

// Tables says what is missing of the tables that a cdc integration reads, and what of them has changed since they were looked at last.
func (r *Report) Tables(ctx context.Context, db *store.Store, in delivery.Integration, defaultURL string) {
	gaps, err := db.CaptureGaps(ctx)
	if err != nil {
		r.Note(in.Name+": gaps", err)
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
		r.Note(in.Name+": tables", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(now.Tables)) {
		known, read := position.Tables[name]
		if why := known.Gone(now.Tables[name]); read && !why.IsZero() {
			err = fmt.Errorf("%s; changes after %s may be missing", why.English(), position.Verified)
		}
		for _, g := range gaps[in.Name] {
			if g.Table == name {
				err = errors.New(g.Phrase().English())
			}
		}
		if err != nil {
			err = fmt.Errorf("%w: redrive cdc resnapshot %s --table %s reads the table again", err, in.Name, name)
		}
		r.Note(in.Name+": changes of "+name, err)
		err = nil
	}
}

func (r *Report) finding(what string, f delivery.CaptureFinding) {
	text := f.Err.English()
	if f.SQL != "" {
		text += " (" + f.SQL + ")"
	}
	switch {
	case f.Err.IsZero():
		r.Note(what, nil)
	case f.Warning:
		fmt.Fprintf(r.Out, "warn  %s: %s\n", what, text)
	default:
		r.Note(what, errors.New(text))
	}
}
