package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"redrive/delivery"
)

// Check looks at everything that capturing needs, for people and before reading begins, and returns what it looked at. An
// error means that it could not look.
func (s *Source) Check(ctx context.Context) ([]delivery.CaptureFinding, error) {
	st, err := s.inspect(ctx)
	if err != nil {
		return nil, err
	}
	if st.old() {
		return s.serverFindings(st), nil
	}
	findings := append(s.serverFindings(st), s.tableFindings(st)...)
	findings = append(append(findings, s.slotFinding(st)), s.wayFindings(ctx)...)
	steps := s.steps(st)
	for _, step := range steps {
		findings = append(findings, delivery.CaptureFinding{What: step.what, Err: step.err, SQL: step.sql})
	}
	for _, what := range []delivery.Phrase{s.publicationNamed(), delivery.Say("setup.replicate")} {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.what.Equal(what) }) {
			findings = append(findings, delivery.CaptureFinding{What: what})
		}
	}
	return findings, nil
}

// SetupError is why set-up could not be completed, and what somebody with more rights must run first.
type SetupError struct {
	Why delivery.Phrase
	SQL []string // statements; may be empty
}

// Phrase says both.
func (e *SetupError) Phrase() delivery.Phrase {
	if len(e.SQL) == 0 {
		return e.Why
	}
	return delivery.Say("setup.refused.sql", "why", e.Why, "sql", strings.Join(e.SQL, ";\n"))
}

func (e *SetupError) Error() string { return e.Phrase().English() }

// SetUp creates or extends the publication, then creates the slot, and returns in words what it has done: nothing when all
// is there. Where tables are named (schema.table), the others are left as they are. It removes nothing, and changes no table.
// A *SetupError says what it may not do, or what it refuses.
func (s *Source) SetUp(ctx context.Context, tables ...string) (done []string, err error) {
	if len(tables) > 0 {
		s = s.only(tables)
	}
	phrases, err := s.setUp(ctx)
	for _, p := range phrases {
		done = append(done, p.English())
	}
	return done, err
}

func (s *Source) setUp(ctx context.Context) (done []delivery.Phrase, err error) {
	st, err := s.inspect(ctx)
	if err != nil {
		return nil, err
	}
	refused := refusal(append(append(append(s.serverFindings(st), s.tableFindings(st)...), s.slotFinding(st)),
		s.wayFindings(ctx)...))
	if refused != nil {
		return nil, refused
	}
	steps := s.steps(st)
	for n, step := range steps {
		err := s.take(ctx, step)
		if errors.Is(err, errNotOurs) || sqlState(err) == insufficientPrivilege {
			return done, &SetupError{
				Why: delivery.Say("setup.refused", "role", st.server.role),
				SQL: statements(steps[n:]),
			}
		}
		if err != nil {
			return done, delivery.Fault("asking.set_up", "what", step.what, "why", err)
		}
		done = append(done, step.done)
	}
	return done, nil
}

// only is the source with the rules of these tables.
func (s *Source) only(tables []string) *Source {
	settings := s.settings
	settings.Rules = slices.DeleteFunc(slices.Clone(settings.Rules),
		func(r delivery.CDCRule) bool { return !slices.Contains(tables, r.Schema+"."+r.Table) })
	return &Source{
		settings:    settings,
		log:         s.log,
		pool:        s.pool,
		catalogue:   s.catalogue,
		replication: s.replication,
		pace:        s.pace,
		types:       map[uint32]valueType{},
	}
}

// SetUpAll sets up the source of each cdc integration and goes on after one that refuses. out gets a line for each thing done, and
// why something was not, with the SQL for whoever has the rights, as say has it in a language. complete: nothing is left to do.
func SetUpAll(
	ctx context.Context,
	list []delivery.Integration,
	defaultURL string,
	dial delivery.Dial,
	out io.Writer,
	say func(delivery.Phrase) string,
) (complete bool) {
	complete = true
	for _, in := range list {
		done, err := setUp(ctx, in, defaultURL, dial)
		for _, p := range done {
			fmt.Fprintf(out, "%s: %s\n", in.Name, say(p))
		}
		switch {
		case err != nil:
			complete = false
			fmt.Fprintf(out, "%s: %s\n", in.Name, say(delivery.Heard(err)))
		case len(done) == 0:
			fmt.Fprintf(out, "%s: %s\n", in.Name, say(delivery.Say("setup.complete")))
		}
	}
	return complete
}

func setUp(ctx context.Context, in delivery.Integration, defaultURL string, dial delivery.Dial) ([]delivery.Phrase, error) {
	src, err := New(*in.CDC, defaultURL, in.Name, dial, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return src.setUp(ctx)
}

// refusal gathers what keeps set-up from beginning; nil when nothing does.
func refusal(findings []delivery.CaptureFinding) error {
	var e SetupError
	var reasons []delivery.Phrase
	for _, f := range findings {
		if f.Err.IsZero() || f.Warning {
			continue
		}
		reasons = append(reasons, f.Phrase())
		if f.SQL != "" {
			e.SQL = append(e.SQL, f.SQL)
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	e.Why = delivery.Listed(reasons)
	return &e
}

var errNotOurs = errors.New("our role has not the right")

func (s *Source) take(ctx context.Context, step step) error {
	switch {
	case step.ask:
		return errNotOurs
	case step.slot:
		_, err := s.CreateSlot(ctx)
		return err
	}
	_, err := s.pool.Exec(ctx, step.sql)
	return err
}

func statements(steps []step) []string {
	sql := make([]string, len(steps))
	for n, step := range steps {
		sql[n] = step.sql
	}
	return sql
}
