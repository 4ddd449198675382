// Package batch is the room of method batch: at the times of a schedule it reads rows, stores them as a file with the next number
// of a gapless sequence, and leaves the file's delivery to the engine. One process at a time leads each integration.
package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"redrive/delivery"
	"redrive/delivery/batch/schedule"
)

const (
	lookEvery  = time.Second // how often runs that people asked for are looked for
	maxCatchUp = 31          // missed runs that are made up for
	lateAfter  = time.Minute // a scheduled time is missed after that
	pruneEvery = time.Hour
)

// Feed is what the leader of an integration does in the database; it belongs to the leader's session.
type Feed interface {
	// Resume brings the feed in place and queues runs again that a former leader did not finish.
	Resume(ctx context.Context) error
	// Look returns where the feed stands, and the database's time.
	Look(ctx context.Context) (feed delivery.BatchFeed, now time.Time, err error)
	// Register notes where the first window begins.
	Register(ctx context.Context, snapshot, database string) error
	// Schedule makes the runs of scheduled times, each once, and notes until when that was done.
	Schedule(ctx context.Context, times []delivery.ScheduledRun, until time.Time, next *time.Time) error
	// Begin takes the oldest run that is due, or answers delivery.ErrNotFound.
	Begin(ctx context.Context, date func(scheduled time.Time) string) (delivery.BatchRun, error)
	// Fail notes why a run failed; with retryIn it is tried again, else it becomes a dead letter.
	Fail(ctx context.Context, run delivery.BatchRun, why delivery.Phrase, retryIn *time.Duration) error
	// Prune lets go of the bytes of files that are older than keep, once their messages are gone, and returns how many parts these were.
	Prune(ctx context.Context, keep time.Duration) (int, error)
	// Progress shows how far a run is.
	Progress(ctx context.Context, run delivery.BatchRun, rows int64) error
	// Write stores what fill writes, and all that belongs to it, in one transaction.
	Write(ctx context.Context, n delivery.NewBatchFile, fill Fill) (delivery.BatchFile, error)

	// Answerable returns the latest files, whose answers may come.
	Answerable(ctx context.Context) ([]delivery.StoredFile, error)
	// Answered writes down what a receiver says of a file, exactly once, and returns whether it was news.
	Answered(ctx context.Context, file delivery.StoredFile, a delivery.Answer) (news bool, err error)
	// BeginCorrection begins a run that sends rejected rows of one file again, or answers delivery.ErrNotFound. Rows that are
	// retried one after the other are collected first.
	BeginCorrection(
		ctx context.Context,
		collect time.Duration,
	) (delivery.BatchRun, delivery.StoredFile, []delivery.CorrectionRow, error)
	// FailCorrection notes why a correction file could not be made: its rows are dead again.
	FailCorrection(ctx context.Context, run delivery.BatchRun, rows []delivery.CorrectionRow, why delivery.Phrase) error
	// SettleCorrections gives rows the outcome of the correction file that carries them, and returns how many.
	SettleCorrections(ctx context.Context) (int, error)
	// SettleLateCorrections does so where the file had failed at first and was delivered when a person retried it.
	SettleLateCorrections(ctx context.Context) (int, error)
}

// Files is where the bytes of files are kept.
type Files interface {
	Open(ctx context.Context, id string) (io.ReadCloser, error)
}

// Fill writes a file to w. With rows it may queue single rows, each a delivery of its own.
type Fill = func(ctx context.Context, w io.Writer, rows func(key string, payload []byte) error) (delivery.BatchContent, error)

// Source is a database as of one moment.
type Source interface {
	// Moment returns what is visible, as a snapshot, and which database it is.
	Moment() (snapshot, database string)
	// Is reports whether this is the database of that name.
	Is(database string) bool
	// Read streams the rows of a selection as Postgres's text, null as nil. What row gets is valid during the call only.
	Read(
		ctx context.Context,
		sel delivery.BatchSelection,
		columns func([]delivery.BatchColumn) error,
		row func([][]byte) error,
	) error
	Close()
}

// Config is what a Batch is made of.
type Config struct {
	Integration delivery.Integration
	Format      delivery.FileFormat
	// Lead runs work while this process leads the integration, and begins again when it fails.
	Lead func(ctx context.Context, work func(ctx context.Context, feed Feed) error, failed func(error)) error
	// Open begins to read from a database; an empty url is our own. Times of day are those of zone.
	Open func(ctx context.Context, url, zone string) (Source, error)
	// CheckQuery reports whether a query names the window, and what is wrong with the names in it.
	CheckQuery func(query string) (windowed bool, err error)
	Files      Files
	Inbox      Inbox         // nil: the receiver writes no answers
	Keep       time.Duration // how long stored bytes are kept at least; 0: for good
	Wake       func()        // tells the engine that work was committed
	Log        *slog.Logger
	Look       time.Duration // default one second
	Collect    time.Duration // rows that are retried one after the other go into one file; default five seconds
}

// Batch runs one integration. Make one with New and give it to Run once.
type Batch struct {
	cfg      Config
	in       delivery.Integration
	settings delivery.BatchSettings
	schedule *schedule.Schedule
	windowed bool
	trouble  atomic.Pointer[delivery.Phrase]
	log      *slog.Logger
}

// New checks the configuration.
func New(cfg Config) (*Batch, error) {
	if cfg.Integration.Batch == nil {
		return nil, fmt.Errorf("batch: integration %s has no batch settings", cfg.Integration.Name)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.Look <= 0 {
		cfg.Look = lookEvery
	}
	if cfg.Collect <= 0 {
		cfg.Collect = collectFor
	}
	settings := *cfg.Integration.Batch
	times, err := schedule.Parse(settings.Schedule, settings.Location)
	if err != nil {
		return nil, &delivery.SettingError{Setting: "batch.schedule", Err: err}
	}
	windowed, err := cfg.CheckQuery(settings.Query)
	if err != nil {
		return nil, &delivery.SettingError{Setting: "batch.query", Err: err}
	}
	if !windowed && settings.Start == delivery.StartBeginning {
		return nil, &delivery.SettingError{
			Setting: "batch.start",
			Err: errors.New("the query names neither :window_from nor :window_to, so that each run reads all " +
				"that it finds; remove it"),
		}
	}
	return &Batch{
		cfg:      cfg,
		in:       cfg.Integration,
		settings: settings,
		schedule: times,
		windowed: windowed,
		log:      cfg.Log.With("integration", cfg.Integration.Name),
	}, nil
}

// Run leads whenever no other process does, until ctx ends. A run under way is given up then: it has left nothing behind, and
// whoever leads next begins it again.
func (b *Batch) Run(ctx, _ context.Context) error {
	return b.cfg.Lead(ctx, b.lead, func(err error) {
		b.stumble(delivery.Heard(err))
		b.log.Warn("batch interrupted", "error", err)
	})
}

func (b *Batch) stumble(over delivery.Phrase) { b.trouble.Store(&over) }

// Trouble is what keeps this process from working at the batch; zero: nothing.
func (b *Batch) Trouble() delivery.Phrase {
	if over := b.trouble.Load(); over != nil {
		return *over
	}
	return delivery.Phrase{}
}

func (b *Batch) lead(ctx context.Context, feed Feed) error {
	if err := feed.Resume(ctx); err != nil {
		return err
	}
	if err := b.register(ctx, feed); err != nil {
		return err
	}
	d := leaderTerm{answers: answers{batch: b, seen: map[string]seen{}}, corrections: corrections{batch: b}}
	for {
		worked, err := b.turn(ctx, feed, &d)
		if err != nil {
			return err
		}
		b.stumble(delivery.Phrase{})
		if !worked && !delivery.Pause(ctx, b.cfg.Look) || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// register gives the feed its first position, before the first row comes that it is to see.
func (b *Batch) register(ctx context.Context, feed Feed) error {
	state, _, err := feed.Look(ctx)
	if err != nil || !b.windowed || state.Snapshot != "" {
		return err
	}
	source, err := b.cfg.Open(ctx, b.settings.URL, b.settings.Location.String())
	if err != nil {
		return err
	}
	defer source.Close()
	snapshot, database := source.Moment()
	if b.settings.Start == delivery.StartBeginning {
		snapshot = beforeAll
	}
	return feed.Register(ctx, snapshot, database)
}

// beforeAll is a snapshot that shows nothing: 3 is the first transaction of a cluster.
const beforeAll = "3:3:"

// leaderTerm is what a leader does beside its runs.
type leaderTerm struct {
	answers     answers
	corrections corrections
	pruned      time.Time
}

// prune lets go of old files every hour.
func (d *leaderTerm) prune(ctx context.Context, feed Feed, now time.Time, keep time.Duration) error {
	if keep <= 0 || now.Sub(d.pruned) < pruneEvery {
		return nil
	}
	d.pruned = now
	_, err := feed.Prune(ctx, keep)
	return err
}

// turn does what is due and returns whether there was anything.
func (b *Batch) turn(ctx context.Context, feed Feed, d *leaderTerm) (worked bool, err error) {
	state, now, err := feed.Look(ctx)
	if err != nil {
		return false, err
	}
	if err := b.plan(ctx, feed, state, now); err != nil {
		return false, err
	}
	if err := d.prune(ctx, feed, now, b.cfg.Keep); err != nil {
		return false, err
	}
	if err := d.answers.look(ctx, feed, now); err != nil {
		return false, err
	}
	if worked, err = d.corrections.look(ctx, feed, now); err != nil || worked {
		return worked, err
	}
	run, err := feed.Begin(ctx, b.settings.BusinessDate)
	if errors.Is(err, delivery.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.execute(ctx, feed, run, state)
}

// plan makes the runs of scheduled times that have come.
func (b *Batch) plan(ctx context.Context, feed Feed, state delivery.BatchFeed, now time.Time) error {
	next := b.schedule.Next(now)
	from := now
	if state.ScheduledAt != nil {
		from = *state.ScheduledAt
		if state.NextRunAt != nil && state.NextRunAt.Equal(next) && b.schedule.Next(from).After(now) {
			return nil
		}
	}
	due, dropped := b.due(from, now)
	if dropped > 0 {
		b.log.Warn("missed runs are not made up for", "count", dropped, "catch_up_at_most", maxCatchUp)
	}
	return feed.Schedule(ctx, due, now, &next)
}

// due are the runs of scheduled times between from and now. dropped of the oldest are too many to be made up for: the last of
// them says so.
func (b *Batch) due(from, now time.Time) (due []delivery.ScheduledRun, dropped int) {
	times := b.schedule.Between(from, now)
	if dropped = len(times) - maxCatchUp; dropped > 0 {
		due = append(due, delivery.ScheduledRun{At: times[dropped-1],
			Skip: delivery.Say("run.skipped.too_many", "count", dropped, "max", maxCatchUp)})
		times = times[dropped:]
	}
	for _, at := range times {
		run := delivery.ScheduledRun{At: at}
		if b.settings.Missed == delivery.MissedSkip && now.Sub(at) > lateAfter {
			run.Skip = delivery.Say("run.skipped")
		}
		due = append(due, run)
	}
	return due, max(dropped, 0)
}

// execute makes one run. Only what breaks the leader's session is an error.
func (b *Batch) execute(ctx context.Context, feed Feed, run delivery.BatchRun, state delivery.BatchFeed) error {
	started := time.Now()
	file, err := b.write(ctx, feed, run, state)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return b.failed(ctx, feed, run, err)
	}
	if file.ID == "" {
		b.log.Info("batch run was empty", "business_date", run.BusinessDate)
		return nil
	}
	b.cfg.Wake()
	b.log.Info("batch file stored", "name", file.Name, "sequence", file.Sequence, "rows", file.Rows, "bytes", file.Bytes,
		"took", time.Since(started).Round(time.Millisecond))
	return nil
}

func (b *Batch) failed(ctx context.Context, feed Feed, run delivery.BatchRun, err error) error {
	if errors.Is(err, delivery.ErrNotDated) {
		return feed.Fail(ctx, run, delivery.Say("run.not_dated"), nil)
	}
	var retryIn *time.Duration
	if run.Attempts < b.in.Retry.Attempts {
		wait := b.in.Retry.Wait(run.Attempts, 0)
		retryIn = &wait
	}
	b.log.Warn("batch run failed", "business_date", run.BusinessDate, "attempt", run.Attempts, "error", err)
	return feed.Fail(ctx, run, delivery.Explain(err,
		delivery.MasksOf([]delivery.Integration{b.in}).For(delivery.Message{}, b.in.Name).Hides()), retryIn)
}

// write reads the rows and stores them.
func (b *Batch) write(
	ctx context.Context,
	feed Feed,
	run delivery.BatchRun,
	state delivery.BatchFeed,
) (file delivery.BatchFile, err error) {
	if run.Dated && b.windowed {
		return file, delivery.ErrNotDated
	}
	source, err := b.cfg.Open(ctx, b.settings.URL, b.settings.Location.String())
	if err != nil {
		return file, err
	}
	defer source.Close()
	snapshot, _ := source.Moment()
	if b.windowed && !source.Is(state.DatabaseID) {
		return file, delivery.Fault("run.other_database", "integration", b.in.Name)
	}
	sel := delivery.BatchSelection{
		Query:        b.settings.Query,
		Types:        b.in.Subscribe,
		BusinessDate: run.BusinessDate,
		ScheduledAt:  run.ScheduledAt,
		From:         state.Snapshot,
	}
	out := &output{batch: b, source: source, selection: sel}
	if b.windowed {
		out.snapshot = snapshot
	}
	reporting, stop := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		b.report(reporting, feed, run, &out.rows)
	}()
	fill := func(ctx context.Context, w io.Writer, rows func(string, []byte) error) (delivery.BatchContent, error) {
		content, err := out.fill(ctx, w, rows)
		stop()
		<-reported // before the run's row is changed for good
		return content, err
	}
	defer stop()
	return feed.Write(ctx, delivery.NewBatchFile{Run: run, Settings: b.settings, Format: b.cfg.Format}, fill)
}

// report shows people about once a second how many rows were read.
func (b *Batch) report(ctx context.Context, feed Feed, run delivery.BatchRun, rows *atomic.Int64) {
	for delivery.Pause(ctx, lookEvery) {
		if err := feed.Progress(ctx, run, rows.Load()); err != nil && ctx.Err() == nil {
			b.log.Warn("showing the progress", "error", err)
		}
	}
}
