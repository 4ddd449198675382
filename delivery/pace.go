package delivery

import "time"

// Bounds of a pace.
const (
	MaxRate     = 1_000_000 // per second
	MaxCanary   = 1_000_000 // of each integration
	MaxRampOver = 30 * 24 * time.Hour
)

// Pace is how fast retries are released, for each integration by itself. The zero value is everything at once.
type Pace struct {
	Rate      float64       // per second, up to MaxRate; 0: as fast as it goes
	RampTo    float64       // rate that Rate grows (or shrinks) to; 0: it stays
	RampOver  time.Duration // within this time, up to MaxRampOver
	Canary    int           // so many go first, up to MaxCanary, the others wait for their confirmed outcomes; 0: none
	StopAbove float64       // 0 < ratio < 1: failed to confirmed outcomes above which the operation pauses itself; 0: never
}

// At is the rate of a ramp that began so long ago; 0: no limit.
func (p Pace) At(since time.Duration) float64 {
	if p.RampTo <= 0 || p.Rate <= 0 {
		return p.Rate
	}
	if since >= p.RampOver {
		return p.RampTo
	}
	return p.Rate + (p.RampTo-p.Rate)*max(since, 0).Seconds()/p.RampOver.Seconds()
}

// Names of the parts of a pace, as the public interface has them.
const (
	PaceRate      = "rate_per_second"
	PaceRampTo    = "ramp_to"
	PaceRampOver  = "ramp_seconds"
	PaceCanary    = "canary"
	PaceStopAbove = "stop_above_failure_ratio"
)

// Check refuses a pace that means nothing: the console, the API, the command line and the store take the same ones. The error is an
// *InputError whose field is one of the names above.
func (p Pace) Check() error {
	wrong := func(field, format string, args ...any) error {
		return wrongField("invalid_pace", field, format, args...)
	}
	switch {
	case !(p.Rate >= 0 && p.Rate <= MaxRate): // not a number fits neither
		return wrong(PaceRate, "rate_per_second must be a number up to %d; 0 is as fast as it goes.", MaxRate)
	case !(p.RampTo >= 0 && p.RampTo <= MaxRate):
		return wrong(PaceRampTo, "ramp_to must be a rate per second up to %d.", MaxRate)
	case p.RampTo > 0 && p.Rate == 0:
		return wrong(PaceRate, "A ramp begins at a rate: give rate_per_second.")
	case (p.RampTo > 0) != (p.RampOver > 0) || p.RampOver < 0 || p.RampOver > MaxRampOver:
		return wrong(PaceRampOver, "A ramp has ramp_to, a rate, and ramp_seconds, at most %d.", int(MaxRampOver.Seconds()))
	case p.Canary < 0 || p.Canary > MaxCanary:
		return wrong(PaceCanary, "canary must be how many of each integration go first, at most %d.", MaxCanary)
	case !(p.StopAbove >= 0 && p.StopAbove < 1):
		return wrong(PaceStopAbove, "stop_above_failure_ratio must be above 0 and below 1, such as 0.2.")
	}
	return nil
}

// CheckFor refuses what Check refuses, and any pace of an action that has none.
func (p Pace) CheckFor(a Action) error {
	if !a.Row().Queues && p != (Pace{}) {
		return wrongField("pace_not_allowed", PaceRate, "Only retries have a pace: leave rate, ramp, canary and failure ratio out.")
	}
	return p.Check()
}
