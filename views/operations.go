package views

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/views/words"
)

// OperationNewPage asks before an action on many failures: what it would do, and how.
type OperationNewPage struct {
	Layout
	Form   OperationForm
	Dry    delivery.DryRun
	Twice  int              // of the eligible: outcome unknown, and the receiver does not drop duplicates
	Filter *delivery.Filter // what was asked for; nil: Chosen was
	Chosen []Selected
	Return string
}

// OperationForm is what a person typed about an operation.
type OperationForm struct {
	ActionForm
	Token string // the operation's id: sending the form twice starts one
	Twice bool   // what may have its effect twice is to be sent all the same
	Pace  PaceForm
}

// PaceForm is a pace as typed.
type PaceForm struct{ Canary, Rate, RampTo, RampOver, StopAbove string }

// OperationPage is one operation and its items.
type OperationPage struct {
	Layout
	O           delivery.Operation
	Outcome     string // of the items listed; empty: all
	Integration string // the same
	Items       []delivery.OperationItem
	Next        string
	Steer       SteerForm
}

// SteerForm is what a person typed to change a running operation.
type SteerForm struct {
	Step, Reason   string
	Pace           PaceForm
	Field, Problem string // what is wrong, and where
	Conflict       bool   // somebody, or the operation itself, was faster
}

// OperationsPage lists operations.
type OperationsPage struct {
	Layout
	State, Actor string
	Items        []delivery.Operation
	Next         string
	Problem      string
}

// Outcomes of an operation's items, in the order in which they are shown.
var itemOutcomes = []string{"waiting", "released", "succeeded", "failed", "skipped", "cancelled"}

// word is one piece of a sentence, a link where Href is set; After follows without a space.
type word struct{ Text, Href, After string }

// matching is how many the operation was asked for.
func (p OperationNewPage) matching() int {
	n := p.Dry.Eligible
	for _, excluded := range p.Dry.Excluded {
		n += excluded
	}
	return n
}

// asked says how many were asked for.
func (p OperationNewPage) asked() word {
	if p.Filter == nil {
		return word{Text: p.N(p.matching(), "%s is selected", "%s are selected"), After: p.T("; ")}
	}
	return word{Text: p.N(p.matching(), "%s matches", "%s match"), Href: FailureList(*p.Filter), After: p.T("; ")}
}

// possible says how many an action is possible for.
func (l Locale) possible(a delivery.Action, n int) string {
	switch a {
	case delivery.ActionRetry:
		return l.N(n, "%s can be retried", "%s can be retried")
	case delivery.ActionIgnore:
		return l.N(n, "%s can be ignored", "%s can be ignored")
	case delivery.ActionResolve:
		return l.N(n, "%s can be resolved", "%s can be resolved")
	case delivery.ActionReopen:
		return l.N(n, "%s can be reopened", "%s can be reopened")
	default:
		return l.N(n, "%s can be acknowledged", "%s can be acknowledged")
	}
}

// routes says how many are on which integration, the most first.
func (p OperationNewPage) routes() (out []word) {
	names := byCount(p.Dry.Integrations)
	for n, name := range names {
		w := word{After: p.T(", "), Text: p.T("%s on %s", p.Number(p.Dry.Integrations[name]), name)}
		if n == len(names)-1 {
			w.After = p.T(".")
		}
		if p.Filter != nil {
			narrowed := *p.Filter
			narrowed.Integrations = []string{name}
			w.Href = FailureList(narrowed)
		}
		out = append(out, w)
	}
	return out
}

// colon leads to the integrations, if there are any.
func (p OperationNewPage) colon() string {
	if p.Dry.Eligible == 0 {
		return p.T(".")
	}
	return p.T(":")
}

// leftOut says how many are left out, and why.
func (l Locale) leftOut(excluded map[string]int) string {
	total, reasons := 0, []string{}
	for _, reason := range byCount(excluded) {
		total += excluded[reason]
		reasons = append(reasons, l.Say(delivery.Say("excluded", "count", l.Number(excluded[reason]), "why", l.Excluded(reason))))
	}
	if total == 0 {
		return ""
	}
	return l.T("%s: %s.", l.N(total, "%s is left out", "%s are left out"), l.List(reasons))
}

// byCount lists the keys of what has a count, the largest first.
func byCount(counts map[string]int) []string {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(k string) bool { return counts[k] == 0 })
	slices.SortStableFunc(keys, func(a, b string) int { return counts[b] - counts[a] })
	return keys
}

// Excluded is the phrase for why a failure is not part of an operation, or was skipped.
func (l Locale) Excluded(reason string) string {
	if p := delivery.Say("excluded." + reason); words.Known(p) {
		return l.Say(p)
	}
	return strings.ReplaceAll(reason, "_", " ")
}

// verb names what the button does to how many.
func (p OperationNewPage) verb() string {
	n := p.Number(p.Dry.Eligible)
	switch p.Form.Action {
	case delivery.ActionRetry:
		return p.T("Retry %s", n)
	case delivery.ActionIgnore:
		return p.T("Ignore %s", n)
	case delivery.ActionResolve:
		return p.T("Resolve %s", n)
	case delivery.ActionReopen:
		return p.T("Reopen %s", n)
	default:
		return p.T("Acknowledge %s", n)
	}
}

// question is the page's title.
func (l Locale) question(a delivery.Action) string {
	switch a {
	case delivery.ActionRetry:
		return l.T("Retry these?")
	case delivery.ActionIgnore:
		return l.T("Ignore these?")
	case delivery.ActionResolve:
		return l.T("Resolve these?")
	case delivery.ActionReopen:
		return l.T("Reopen these?")
	default:
		return l.T("Acknowledge these?")
	}
}

// Titled is the page with the question of its action as the title.
func (p OperationNewPage) Titled() OperationNewPage {
	p.Title = p.question(p.Form.Action)
	return p
}

// loose is a problem that belongs to no field of the form.
func (f OperationForm) loose() string {
	if slices.Contains([]string{"reason", "category", "until", "evidence", "canary", "rate", "ramp_to", "ramp_over",
		"stop_above", FieldTwice}, f.Field) {
		return ""
	}
	return f.Problem
}

// Suggested is a careful pace for so many retries. Those of one group share a cause: a few tell whether it is gone.
func Suggested(retries int, ofOneGroup bool) PaceForm {
	switch {
	case retries >= 50:
		return PaceForm{Canary: "10", StopAbove: "20"}
	case ofOneGroup && retries > 1:
		return PaceForm{Canary: strconv.Itoa(min(2, retries-1))}
	}
	return PaceForm{}
}

// Typed is a pace as its form shows it.
func Typed(p delivery.Pace) PaceForm {
	number := func(f float64) string {
		if f == 0 {
			return ""
		}
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return PaceForm{
		Canary:    number(float64(p.Canary)),
		Rate:      number(p.Rate),
		RampTo:    number(p.RampTo),
		RampOver:  number(p.RampOver.Minutes()),
		StopAbove: number(float64(int(p.StopAbove*1000+.5)) / 10),
	}
}

// filterWords writes a filter as the search bar reads it.
func (l Locale) filterWords(f delivery.Filter) string {
	if text := f.SearchText(); text != "" {
		return text
	}
	return l.T("all dead letters")
}

// running reports whether anything of an operation can still be steered.
func running(o delivery.Operation) bool {
	return o.State == delivery.OperationRunning || o.State == delivery.OperationPaused
}

// moving reports whether its numbers may still change.
func moving(o delivery.Operation) bool { return running(o) || o.Remaining > 0 }

// operationState is an operation's state as word and shape.
func (l Locale) operationState(o delivery.Operation) (name, kind string) {
	switch o.State {
	case delivery.OperationRunning:
		return l.T("running"), "wait"
	case delivery.OperationPaused:
		return l.T("paused"), "paused"
	case delivery.OperationCancelled:
		return l.T("cancelled"), "ignored"
	}
	if o.Failed > 0 {
		return l.T("finished, %s failed", l.Number(o.Failed)), "warn"
	}
	return l.T("finished"), "good"
}

// deedOf says what an operation does, with its number.
func (l Locale) deedOf(o delivery.Operation) string {
	texts := map[delivery.Action][2]string{
		delivery.ActionRetry:       {"Retry of %s failure", "Retry of %s failures"},
		delivery.ActionIgnore:      {"Ignore %s failure", "Ignore %s failures"},
		delivery.ActionResolve:     {"Resolve %s failure", "Resolve %s failures"},
		delivery.ActionReopen:      {"Reopen %s failure", "Reopen %s failures"},
		delivery.ActionAcknowledge: {"Acknowledge %s failure", "Acknowledge %s failures"},
	}
	return l.N(o.Selected, texts[o.Action][0], texts[o.Action][1])
}

// sum is one number of an operation.
type sum struct {
	N             int
	Outcome, Name string
	Kind          string // of its colour in the bar
}

// sums are the numbers that add up to what was selected.
func (l Locale) sums(o delivery.Operation) []sum {
	succeeded := l.T("done")
	if o.Action.Row().Queues {
		succeeded = l.T("confirmed by the receiver")
	}
	return []sum{
		{o.Succeeded, "succeeded", succeeded, "good"},
		{o.Failed, "failed", l.T("failed again"), "bad"},
		{o.Skipped, "skipped", l.T("skipped"), "gone"},
		{o.Cancelled, "cancelled", l.T("cancelled"), "gone"},
		{o.Remaining, "", l.T("remaining"), "rest"},
	}
}

// sumText is the sum in words, for who cannot see the bar.
func (l Locale) sumText(o delivery.Operation) string {
	parts := []string{}
	for _, s := range l.sums(o) {
		parts = append(parts, l.Number(s.N)+" "+s.Name)
	}
	return l.T("Of %s selected: %s", l.Number(o.Selected), l.List(parts))
}

// piece is one coloured part of a progress bar.
type piece struct{ X, Width, Kind string }

// barWide is the width of a progress bar in its own units.
const barWide = 1000.0

// pieces draws the numbers of an operation side by side; what is released but not confirmed is never drawn as success.
func pieces(o delivery.Operation) (out []piece) {
	x := 0.0
	for _, part := range []struct {
		n    int
		kind string
	}{{o.Succeeded, "good"}, {o.Failed, "bad"}, {o.Skipped + o.Cancelled, "gone"}, {o.Released, "sent"}} {
		if part.n == 0 || o.Selected == 0 {
			continue
		}
		width := float64(part.n) / float64(o.Selected) * barWide
		out = append(out, piece{ftoa(x), ftoa(width), part.kind})
		x += width
	}
	return out
}

// remaining says what the remaining ones wait for.
func (p OperationPage) remaining() (out []word) {
	o := p.O
	if o.Action.Row().Queues && o.Released > 0 {
		out = append(out, word{
			Text: p.N(o.Released, "%s is requested and not confirmed yet", "%s are requested and not confirmed yet"),
			Href: OperationItems(o.ID, "released", ""),
		})
	}
	if o.Failing > 0 {
		out = append(out, word{
			Text: p.N(o.Failing, "%s of these failed again and is tried once more",
				"%s of these failed again and are tried once more"),
		})
	}
	if waiting := o.Remaining - o.Released; waiting > 0 {
		out = append(out, word{
			Text: p.N(waiting, "%s waits for its turn", "%s wait for their turn"),
			Href: OperationItems(o.ID, "waiting", ""),
		})
	}
	return out
}

// unstarted names the items that were not acted on: they wait, until the operation is cancelled.
func (p OperationPage) unstarted() string {
	if p.O.State == delivery.OperationCancelled {
		return p.T("Cancelled")
	}
	return p.T("Waiting")
}

// reasonFor is the label of a reason, which cancelling needs.
func (p OperationPage) reasonFor(step string) string {
	if step == "cancel" {
		return p.T("Reason (required)")
	}
	return p.T("Reason")
}

// phase says where one integration of an operation stands.
func (p OperationPage) phase(part delivery.OperationPart) string {
	settled := part.Succeeded + part.Failed + part.Skipped
	switch {
	case part.Phase == "done" && part.Released > 0:
		return p.T("all requested; waiting for confirmations")
	case part.Phase == "done":
		return p.T("done")
	case p.O.State == delivery.OperationCancelled:
		return p.T("cancelled")
	case part.Phase == delivery.PhaseCanary && p.O.Pace.FirstWave() > 0:
		return p.clauses(p.judged(part, p.T("canary: %s of %s confirmed", p.Number(part.Good), p.Number(part.Size)))...)
	case !p.O.Action.Row().Queues:
		return p.T("%s of %s done", p.Number(settled), p.Number(part.Selected))
	}
	if part.Number > 1 {
		wave := p.T("wave %s: %s of %s confirmed", p.Number(part.Number), p.Number(part.Good), p.Number(part.Size))
		return p.clauses(append(p.judged(part, wave), p.speed(part))...)
	}
	return p.speed(part)
}

// judged adds to how many of a wave were confirmed how many failed, if some did.
func (p OperationPage) judged(part delivery.OperationPart, confirmed string) []string {
	if part.Bad == 0 {
		return []string{confirmed}
	}
	return []string{confirmed, p.T("%s failed (%s %%)", p.Number(part.Bad), rate(100*part.Ratio()))}
}

// speed is how fast a part is released.
func (p OperationPage) speed(part delivery.OperationPart) string {
	switch {
	case p.O.Pace.RampTo > 0 && part.Rate != p.O.Pace.RampTo:
		return p.T("ramp: %s to %s per second", rate(part.Rate), rate(p.O.Pace.RampTo))
	case part.Rate > 0:
		return p.T("%s per second", rate(part.Rate))
	}
	return p.T("as fast as it goes")
}

func rate(f float64) string {
	if f >= 10 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	if f < 1 { // one each so many minutes: never 0
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// heldWord says why a part waits.
func (l Locale) heldWord(held delivery.Phrase) string {
	switch held.Key {
	case delivery.HeldPaused:
		return l.T("the integration is paused by %s", held.Args["by"])
	case delivery.HeldBreaker:
		return l.T("the integration's breaker is open")
	case delivery.HeldNoRoute:
		return l.T("the integration left the configuration file")
	}
	return l.Say(held)
}

// pace says in words how retries are released.
func (l Locale) pace(p delivery.Pace) string {
	var parts []string
	if p.Canary > 0 {
		parts = append(parts, l.N(p.Canary, "first %s of each integration, then, when that is confirmed, the others in waves",
			"first %s of each integration, then, when these are confirmed, the others in waves"))
	}
	switch {
	case p.Rate > 0 && p.RampTo > 0:
		parts = append(parts, l.T("%s per second, growing to %s within %s", rate(p.Rate), rate(p.RampTo), l.Span(p.RampOver)))
	case p.Rate > 0:
		parts = append(parts, l.T("%s per second", rate(p.Rate)))
	default:
		parts = append(parts, l.T("as fast as it goes"))
	}
	if limit := p.Limit(); limit > 0 {
		parts = append(parts, l.T("pauses by itself when more than %s %% fail", rate(limit*100)))
	}
	return l.clauses(parts...)
}

// itemState is the outcome of an item as word and shape.
func (p OperationPage) itemState(outcome string) (name, kind string) {
	switch outcome {
	case "waiting":
		return p.T("waiting"), "wait"
	case "released":
		if p.O.Action.Row().Queues {
			return p.T("retry requested"), "wait"
		}
		return p.T("under way"), "wait"
	case "succeeded":
		if p.O.Action.Row().Queues {
			return p.T("delivered"), "good"
		}
		return p.T("done"), "good"
	case "failed":
		return p.T("failed again"), "bad"
	case "skipped":
		return p.T("skipped"), "ignored"
	case "cancelled":
		return p.T("cancelled"), "ignored"
	}
	return outcome, ""
}

// itemReason is why an item failed or was skipped.
func (p OperationPage) itemReason(i delivery.OperationItem) string {
	if i.Reason == "" {
		return ""
	}
	if i.Reason == delivery.ReasonWithdrawn {
		return p.T("the retry was withdrawn")
	}
	if i.Outcome == "failed" {
		return p.Class(i.Reason)
	}
	if i.Who.IsZero() {
		return p.Excluded(i.Reason)
	}
	return p.T("%s: %s", p.Excluded(i.Reason), p.Say(i.Who))
}

// outcomeChoices are the outcomes that items can be narrowed to.
func (p OperationPage) outcomeChoices() []choice {
	out := []choice{{"", p.T("all outcomes")}}
	for _, outcome := range itemOutcomes {
		name, _ := p.itemState(outcome)
		out = append(out, choice{outcome, name})
	}
	return out
}

// partChoices are the integrations that items can be narrowed to.
func (p OperationPage) partChoices() []choice {
	out := []choice{{"", p.T("all integrations")}}
	for _, part := range p.O.Parts {
		out = append(out, choice{part.Integration, part.Integration})
	}
	return out
}

// partCounts are the numbers of a part, each with the outcome that it counts.
func (p OperationPage) partCounts(part delivery.OperationPart) []partCount {
	waiting := "waiting"
	if p.O.State == delivery.OperationCancelled {
		waiting = "cancelled"
	}
	return []partCount{
		{N: part.Selected, Name: p.T("Selected")},
		{N: part.Waiting, Outcome: waiting, Name: p.unstarted()},
		{
			N:       part.Released,
			Outcome: "released",
			Name:    p.T("Not confirmed"),
			Again:   part.Failing,
		},
		{N: part.Succeeded, Outcome: "succeeded", Name: p.T("Succeeded")},
		{
			N:       part.Failed,
			Outcome: "failed",
			Name:    p.T("Failed"),
			Hot:     part.Failed > 0,
		},
		{N: part.Skipped, Outcome: "skipped", Name: p.T("Skipped")},
	}
}

// partCount is one number of a part.
type partCount struct {
	N             int
	Outcome, Name string
	Again         int // of them are being tried again
	Hot           bool
}

// wrong is the problem of one field of one form.
func (f SteerForm) wrong(step, field string) string {
	if f.Step == step && f.Field == field && !f.Conflict {
		return f.Problem
	}
	return ""
}

// steered is the pace that the form shows: what was typed, else what holds.
func (p OperationPage) steered() PaceForm {
	if p.Steer.Step == "pace" {
		return p.Steer.Pace
	}
	return Typed(p.O.Pace)
}

// operationStates are the states that the list can be narrowed to.
func (p OperationsPage) operationStates() []choice {
	return []choice{
		{"", p.T("all")},
		{string(delivery.OperationRunning), p.T("running")},
		{string(delivery.OperationPaused), p.T("paused")},
		{string(delivery.OperationFinished), p.T("finished")},
		{string(delivery.OperationCancelled), p.T("cancelled")},
	}
}

// moves reports whether anything on the list may still change.
func (p OperationsPage) moves() bool { return slices.ContainsFunc(p.Items, moving) }

// said is how far the operation is, for who cannot see it: in steps, so that it is not said with every look.
func (p OperationPage) said() string {
	name, _ := p.operationState(p.O)
	tenths := 10 * (p.O.Selected - p.O.Remaining) / max(p.O.Selected, 1)
	return p.clauses(name, p.T("%d %% have their outcome", 10*tenths))
}

// canary is how many the form to resume says go first.
func (p OperationPage) canary() string {
	if p.Steer.Step == "resume" {
		return p.Steer.Pace.Canary
	}
	if first := p.O.Pace.FirstWave(); first > 0 || p.O.Note.Key != delivery.NoteFailing {
		return Typed(delivery.Pace{Canary: first}).Canary
	}
	return Typed(delivery.Pace{Canary: delivery.StandardCanary}).Canary
}

// resuming says what a resume does.
func (p OperationPage) resuming() string {
	if !p.O.Action.Row().Queues {
		return p.T("It goes on where it stopped.")
	}
	return p.T("It begins with a new canary of each integration: what is under way and, where failures stopped it, what failed is sent again first. When that is confirmed, the others follow in waves, each twice as large as the one before.")
}

// stepTold says what somebody did to an operation, and with what.
func (p OperationPage) stepTold(e delivery.AuditEntry) string {
	var with struct {
		Canary *int
		To     struct {
			Rate   float64 `json:"rate_per_second"`
			RampTo float64 `json:"ramp_to"`
			Ramp   float64 `json:"ramp_seconds"`
			Canary int
			Stop   float64 `json:"stop_above_failure_ratio"`
		}
	}
	_ = json.Unmarshal(e.Details, &with)
	deed := p.Deed(e.Action)
	switch {
	case e.Action == "operation.resume" && with.Canary != nil && *with.Canary == 0:
		return p.clauses(deed, p.T("without a canary"))
	case e.Action == "operation.resume" && with.Canary != nil:
		return p.clauses(deed, p.T("canary of %s", p.Number(*with.Canary)))
	case e.Action == "operation.pace":
		return p.clauses(deed, p.pace(delivery.Pace{Rate: with.To.Rate, RampTo: with.To.RampTo, RampOver: time.Duration(with.To.Ramp * float64(time.Second)),
			Canary: with.To.Canary, StopAbove: with.To.Stop}))
	}
	return deed
}

// typed is the reason typed into a form that was refused.
func (p OperationPage) typed(step string) string {
	if p.Steer.Step == step {
		return p.Steer.Reason
	}
	return ""
}

// Titled is the page with what the operation does as the title.
func (p OperationPage) Titled() OperationPage {
	p.Title = p.deedOf(p.O)
	return p
}

// lacks is the permission that the reader does not have for a part of the operation, and steering needs; empty when there is none.
func (p OperationPage) lacks() delivery.Permission {
	for _, part := range p.O.Parts {
		if missing := p.Lacks(part.Integration, delivery.PermitBulk); missing != "" {
			return missing
		}
	}
	return p.Rights.Missing(delivery.PermitBulk)
}
