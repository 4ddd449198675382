package api

import (
	"time"

	"redrive/delivery"
	"redrive/handlers/web"
)

// OperationJSON is a bulk action; a list leaves the parts out.
type OperationJSON struct {
	ID         string                  `json:"id"`
	Action     delivery.Action         `json:"action"`
	State      delivery.OperationState `json:"state"`
	Version    int                     `json:"version"`
	Actor      string                  `json:"actor"`
	ActorID    string                  `json:"actor_id"`
	Reason     string                  `json:"reason"`
	Category   string                  `json:"category"`
	Until      *time.Time              `json:"until"`
	Evidence   string                  `json:"evidence"`
	Filter     map[string]any          `json:"filter"` // null: a list
	Pace       PaceJSON                `json:"pace"`
	Selected   int                     `json:"selected"`
	Succeeded  int                     `json:"succeeded"`
	Failed     int                     `json:"failed"`
	Skipped    int                     `json:"skipped"`
	Cancelled  int                     `json:"cancelled"`
	Remaining  int                     `json:"remaining"`
	Released   int                     `json:"released"`
	Failing    int                     `json:"failing"`
	Excluded   map[string]int          `json:"excluded"`
	Wave       *WaveJSON               `json:"wave"` // null: nothing is sent
	Note       string                  `json:"note"`
	Parts      []operationPartJSON     `json:"parts"`
	CreatedAt  *time.Time              `json:"created_at"`
	ChangedAt  *time.Time              `json:"changed_at"`
	FinishedAt *time.Time              `json:"finished_at"`
}

// PaceJSON is how fast retries are released, for each integration by itself.
type PaceJSON struct {
	Rate      float64 `json:"rate_per_second"`
	RampTo    float64 `json:"ramp_to"`
	RampOver  float64 `json:"ramp_seconds"`
	Canary    int     `json:"canary"`
	StopAbove float64 `json:"stop_above_failure_ratio"`
}

// WaveJSON is what is sent together and judged before more goes.
type WaveJSON struct {
	Number int     `json:"number"`
	Size   int     `json:"size"`
	Failed int     `json:"failed"`
	Ratio  float64 `json:"ratio"`
}

func waveJSONOf(w delivery.Wave) *WaveJSON {
	if w.Number == 0 {
		return nil
	}
	return &WaveJSON{Number: w.Number, Size: w.Size, Failed: w.Bad, Ratio: w.Ratio()}
}

type operationPartJSON struct {
	Integration string    `json:"integration"`
	Phase       string    `json:"phase"`
	Wave        *WaveJSON `json:"wave"`
	Selected    int       `json:"selected"`
	Waiting     int       `json:"waiting"`
	Released    int       `json:"released"`
	Failing     int       `json:"failing"`
	Succeeded   int       `json:"succeeded"`
	Failed      int       `json:"failed"`
	Skipped     int       `json:"skipped"`
	Rate        float64   `json:"rate_per_second"`
	Held        string    `json:"held"`
}

// OperationItemJSON is one delivery of an operation and what became of it.
type OperationItemJSON struct {
	N           int    `json:"n"`
	DeliveryID  string `json:"delivery_id"`
	Integration string `json:"integration"`
	Version     int    `json:"version"`
	Outcome     string `json:"outcome"`
	Reason      string `json:"reason"`
}

func operationItemJSONOf(i delivery.OperationItem) OperationItemJSON {
	reason := i.Reason
	if !i.Who.IsZero() {
		reason += ": " + web.English(i.Who)
	}
	return OperationItemJSON{
		N:           i.N,
		DeliveryID:  i.DeliveryID,
		Integration: i.Integration,
		Version:     i.Version,
		Outcome:     i.Outcome,
		Reason:      reason,
	}
}

// DryRunJSON is what an operation would select.
type DryRunJSON struct {
	Eligible     int            `json:"eligible"`
	Excluded     map[string]int `json:"excluded"`
	Integrations map[string]int `json:"integrations"`
	Unsure       int            `json:"unsure"`
}

func operationJSONOf(o delivery.Operation) OperationJSON {
	out := OperationJSON{
		ID:       o.ID,
		Action:   o.Action,
		State:    o.State,
		Version:  o.Version,
		Actor:    o.Actor,
		ActorID:  o.ActorID,
		Reason:   o.Reason,
		Category: o.Category,
		Until:    web.Utc(o.Until),
		Evidence: o.Evidence,
		Pace: PaceJSON{
			Rate:      o.Pace.Rate,
			RampTo:    o.Pace.RampTo,
			RampOver:  o.Pace.RampOver.Seconds(),
			Canary:    o.Pace.Canary,
			StopAbove: o.Pace.StopAbove,
		},
		Selected:   o.Selected,
		Succeeded:  o.Succeeded,
		Failed:     o.Failed,
		Skipped:    o.Skipped,
		Cancelled:  o.Cancelled,
		Remaining:  o.Remaining,
		Released:   o.Released,
		Failing:    o.Failing,
		Excluded:   counts(o.Excluded),
		Wave:       waveJSONOf(o.Wave),
		Note:       web.English(o.Note),
		Parts:      make([]operationPartJSON, 0, len(o.Parts)),
		CreatedAt:  web.Utc(&o.CreatedAt),
		ChangedAt:  web.Utc(&o.ChangedAt),
		FinishedAt: web.Utc(o.FinishedAt),
	}
	if o.Filter != nil {
		out.Filter = FilterJSON(*o.Filter)
	}
	for _, p := range o.Parts {
		out.Parts = append(out.Parts, operationPartJSON{
			Integration: p.Integration,
			Phase:       p.Phase,
			Wave:        waveJSONOf(p.Wave),
			Selected:    p.Selected,
			Waiting:     p.Waiting,
			Released:    p.Released,
			Failing:     p.Failing,
			Succeeded:   p.Succeeded,
			Failed:      p.Failed,
			Skipped:     p.Skipped,
			Rate:        p.Rate,
			Held:        web.English(p.Held),
		})
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
