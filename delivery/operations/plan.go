package operations

import (
	"fmt"
	"time"

	"redrive/delivery"
)

const (
	chunk = 2000 // acted on in one transaction: a list page that waits for it does not wait long
	// judgedFrom is how many outcomes a wave must have before its failure ratio stops the operation, unless it is judged as a whole.
	judgedFrom = 5
	burst      = time.Second // at a rate, no more than this time's allowance is saved up
	probes     = 1           // under way while a breaker has rested and is not closed yet
)

// Plan sets what a step does: of an operation of retries wave by wave, at the pace, nothing past an obstacle.
func Plan(s *delivery.OperationStep) {
	retries := s.Action.Row().Queues
	for i := range s.Parts {
		if why := stop(s.Pace, &s.Parts[i]); retries && !why.IsZero() {
			s.Stop = why
			return
		}
	}
	for i := range s.Parts {
		p := &s.Parts[i]
		p.Release = p.Left()
		if retries {
			planRetries(s, p)
		}
	}
	share(s.Parts)
	for i := range s.Parts {
		if p := &s.Parts[i]; s.Pace.Rate > 0 && p.Phase == delivery.PhaseRamp {
			p.Allowance -= float64(p.Release)
		}
	}
}

// share divides a chunk among the parts: each gets the same, what is left goes to those that want more.
func share(parts []delivery.PartStep) {
	wanting, left := 0, chunk
	for _, p := range parts {
		if p.Release > 0 {
			wanting++
		}
	}
	wants := make([]int, len(parts))
	for i := range parts {
		p := &parts[i]
		wants[i], p.Release = p.Release, min(p.Release, chunk/max(wanting, 1))
		left -= p.Release
	}
	for i := range parts {
		more := min(wants[i]-parts[i].Release, left)
		parts[i].Release += more
		left -= more
	}
}

func planRetries(s *delivery.OperationStep, p *delivery.PartStep) {
	p.Release = 0
	if p.Left() == 0 {
		p.Held = delivery.Phrase{}
		return
	}
	nextWave(s, p)
	if !p.Obstacle.IsZero() {
		p.Held = p.Obstacle
		return
	}
	if !p.Held.IsZero() {
		resume(s.Now, p)
	}
	if p.Release = p.Left(); p.Phase != delivery.PhaseCanary {
		pace(s, p)
	}
	if p.WaveSize > 0 {
		p.Release = max(min(p.Release, p.WaveSize-p.WaveSent), 0)
	}
	probe(p)
}

// nextWave begins another wave when the present one was judged: nothing stopped it. The ramp begins after the canary, or without one.
func nextWave(s *delivery.OperationStep, p *delivery.PartStep) {
	canary := p.Phase == delivery.PhaseCanary
	if canary {
		p.WaveSize = s.Pace.FirstWave()
	}
	if p.Judged() {
		p.Wave, p.WaveSize = p.Wave+1, min(p.WaveSize*delivery.WaveGrowth, p.Left())
		p.WaveSent, p.WaveGood, p.WaveBad = 0, 0, 0
	} else if p.WaveSize > 0 {
		return
	}
	if canary {
		now := s.Now
		p.Phase, p.RampAt, p.TickAt = delivery.PhaseRamp, &now, &now
	}
}

// stop says why a part stops its operation: too many outcomes of its wave are failures. All of a wave is enough to tell, however few.
func stop(pace delivery.Pace, p *delivery.PartStep) (why delivery.Phrase) {
	limit, outcomes := pace.Limit(), p.WaveGood+p.WaveBad
	if limit <= 0 || p.Left() == 0 || outcomes < max(judgedFrom, pace.FirstWave()) && !p.Judged() || p.Ratio() <= limit {
		return why
	}
	return delivery.Say(delivery.NoteFailing, "integration", p.Integration, "failed", percent(p.Ratio()), "outcomes", outcomes,
		"most", percent(limit))
}

func percent(ratio float64) string { return fmt.Sprintf("%.0f", 100*ratio) }

// resume goes on after an obstacle: neither ramp nor allowance has grown meanwhile.
func resume(now time.Time, p *delivery.PartStep) {
	p.Held = delivery.Phrase{}
	if p.RampAt == nil || p.TickAt == nil {
		return
	}
	began := p.RampAt.Add(now.Sub(*p.TickAt))
	p.RampAt, p.TickAt = &began, &now
}

// pace takes from what is to be released what the rate does not allow since the last tick.
func pace(s *delivery.OperationStep, p *delivery.PartStep) {
	if s.Pace.Rate <= 0 {
		return
	}
	now := s.Now
	from, to := s.Pace.At(p.TickAt.Sub(*p.RampAt)), s.Pace.At(now.Sub(*p.RampAt))
	p.Allowance = min(p.Allowance+(from+to)/2*max(now.Sub(*p.TickAt), 0).Seconds(), max(1, to*burst.Seconds()))
	p.TickAt = &now
	p.Release = min(p.Release, int(p.Allowance))
}

// probe lets only few find out whether a receiver is back.
func probe(p *delivery.PartStep) {
	if allowed := max(probes-p.Outstanding(), 0); p.Probing && p.Release > allowed {
		p.Release, p.Held = allowed, delivery.Say(delivery.HeldProbing)
	}
}
