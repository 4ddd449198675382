package delivery

import "time"

// Bounds of a pace.
const (
	MaxRate     = 1_000_000 // per second
	MaxCanary   = 1_000_000 // of each integration
	MaxRampOver = 30 * 24 * time.Hour
)

// What holds where a pace does not say it.
const (
	StandardCanary    = 10  // where failures are to stop an operation that nothing else slows down, or have stopped it
	StandardStopAbove = 0.5 // of an operation with a canary: the canary is there to be judged
	WaveGrowth        = 2   // each wave is so many times as large as the one before
)

// Pace is how fast retries are released, for each integration by itself. The zero value is everything at once.
type Pace struct {
	Rate      float64       // per second, up to MaxRate; 0: as fast as it goes
	RampTo    float64       // rate that Rate grows (or shrinks) to; 0: it stays
	RampOver  time.Duration // within this time, up to MaxRampOver
	Canary    int           // so many go first, up to MaxCanary, the others wait for their confirmed outcomes; 0: none
	StopAbove float64       // 0 < ratio < 1: failed to confirmed outcomes above which the operation pauses itself; 0: see Limit
}

// FirstWave is how many go first; the others follow in waves. 0: there are no waves.
func (p Pace) FirstWave() int {
	if p.Canary == 0 && p.StopAbove > 0 && p.Rate == 0 {
		return StandardCanary // else all would be sent before the first outcome comes
	}
	return p.Canary
}

// Limit is the ratio of failures above which the operation pauses itself; 0: never.
func (p Pace) Limit() float64 {
	if p.StopAbove == 0 && p.Canary > 0 {
		return StandardStopAbove
	}
	return p.StopAbove
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
	switch {
	case !(p.Rate >= 0 && p.Rate <= MaxRate): // not a number fits neither
		return Mistake("invalid_pace.rate", PaceRate, "max", MaxRate)
	case !(p.RampTo >= 0 && p.RampTo <= MaxRate):
		return Mistake("invalid_pace.ramp_to", PaceRampTo, "max", MaxRate)
	case p.RampTo > 0 && p.Rate == 0:
		return Mistake("invalid_pace.ramp_from", PaceRate)
	case (p.RampTo > 0) != (p.RampOver > 0) || p.RampOver < 0 || p.RampOver > MaxRampOver:
		return Mistake("invalid_pace.ramp", PaceRampOver, "max", int(MaxRampOver.Seconds()))
	case p.Canary < 0 || p.Canary > MaxCanary:
		return Mistake("invalid_pace.canary", PaceCanary, "max", MaxCanary)
	case !(p.StopAbove >= 0 && p.StopAbove < 1):
		return Mistake("invalid_pace.ratio", PaceStopAbove)
	}
	return nil
}

// CheckFor refuses what Check refuses, and any pace of an action that has none.
func (p Pace) CheckFor(a Action) error {
	if !a.Row().Queues && p != (Pace{}) {
		return Mistake("pace_not_allowed", PaceRate)
	}
	return p.Check()
}
