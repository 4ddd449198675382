package handlers

import (
	"time"

	"redrive/delivery"
)

// operationJSON is a bulk action; a list leaves the parts out.
type operationJSON struct {
	ID         string                  `json:"id"`
	Action     delivery.Action         `json:"action"`
	State      delivery.OperationState `json:"state"`
	Version    int                     `json:"version"`
	Actor      string                  `json:"actor"`
	Reason     string                  `json:"reason"`
	Category   string                  `json:"category"`
	Until      *time.Time              `json:"until"`
	Evidence   string                  `json:"evidence"`
	Filter     map[string]any          `json:"filter"` // null: a list
	Pace       paceJSON                `json:"pace"`
	Selected   int                     `json:"selected"`
	Succeeded  int                     `json:"succeeded"`
	Failed     int                     `json:"failed"`
	Skipped    int                     `json:"skipped"`
	Cancelled  int                     `json:"cancelled"`
	Remaining  int                     `json:"remaining"`
	Released   int                     `json:"released"`
	Failing    int                     `json:"failing"`
	Excluded   map[string]int          `json:"excluded"`
	Note       string                  `json:"note"`
	Parts      []operationPartJSON     `json:"parts"`
	CreatedAt  *time.Time              `json:"created_at"`
	ChangedAt  *time.Time              `json:"changed_at"`
	FinishedAt *time.Time              `json:"finished_at"`
}

type paceJSON struct {
	Rate      float64 `json:"rate_per_second"`
	RampTo    float64 `json:"ramp_to"`
	RampOver  float64 `json:"ramp_seconds"`
	Canary    int     `json:"canary"`
	StopAbove float64 `json:"stop_above_failure_ratio"`
}

type operationPartJSON struct {
	Integration string  `json:"integration"`
	Phase       string  `json:"phase"`
	Selected    int     `json:"selected"`
	Waiting     int     `json:"waiting"`
	Released    int     `json:"released"`
	Failing     int     `json:"failing"`
	Succeeded   int     `json:"succeeded"`
	Failed      int     `json:"failed"`
	Skipped     int     `json:"skipped"`
	Rate        float64 `json:"rate_per_second"`
	Held        string  `json:"held"`
}

type operationItemJSON struct {
	N           int    `json:"n"`
	DeliveryID  string `json:"delivery_id"`
	Integration string `json:"integration"`
	Version     int    `json:"version"`
	Outcome     string `json:"outcome"`
	Reason      string `json:"reason"`
}

func operationItemJSONOf(i delivery.OperationItem) operationItemJSON {
	reason := i.Reason
	if !i.Who.IsZero() {
		reason += ": " + english(i.Who)
	}
	return operationItemJSON{N: i.N, DeliveryID: i.DeliveryID, Integration: i.Integration, Version: i.Version, Outcome: i.Outcome, Reason: reason}
}

// dryRunJSON is what an operation would select.
type dryRunJSON struct {
	Eligible     int            `json:"eligible"`
	Excluded     map[string]int `json:"excluded"`
	Integrations map[string]int `json:"integrations"`
	Unsure       int            `json:"unsure"`
}

func operationJSONOf(o delivery.Operation) operationJSON {
	out := operationJSON{ID: o.ID, Action: o.Action, State: o.State, Version: o.Version, Actor: o.Actor, Reason: o.Reason, Category: o.Category,
		Until: utc(o.Until), Evidence: o.Evidence, Pace: paceJSON{Rate: o.Pace.Rate, RampTo: o.Pace.RampTo, RampOver: o.Pace.RampOver.Seconds(),
			Canary: o.Pace.Canary, StopAbove: o.Pace.StopAbove}, Selected: o.Selected, Succeeded: o.Succeeded, Failed: o.Failed, Skipped: o.Skipped,
		Cancelled: o.Cancelled, Remaining: o.Remaining, Released: o.Released, Failing: o.Failing, Excluded: counts(o.Excluded), Note: english(o.Note),
		Parts: make([]operationPartJSON, 0, len(o.Parts)), CreatedAt: utc(&o.CreatedAt), ChangedAt: utc(&o.ChangedAt), FinishedAt: utc(o.FinishedAt)}
	if o.Filter != nil {
		out.Filter = FilterJSON(*o.Filter)
	}
	for _, p := range o.Parts {
		out.Parts = append(out.Parts, operationPartJSON{Integration: p.Integration, Phase: p.Phase, Selected: p.Selected, Waiting: p.Waiting, Released: p.Released,
			Failing: p.Failing, Succeeded: p.Succeeded, Failed: p.Failed, Skipped: p.Skipped, Rate: p.Rate, Held: english(p.Held)})
	}
	return out
}

// counts is never null.
func counts(n map[string]int) map[string]int {
	if n == nil {
		return map[string]int{}
	}
	return n
}
