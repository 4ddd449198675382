package operations

import (
	"fmt"
	"time"

	"redrive/delivery"
)

const (
	chunk = 2000 // acted on in one transaction: a list page that waits for it does not wait long
	// judgedFrom is how many outcomes a part must have before its failure ratio stops the operation.
	judgedFrom = 5
	burst      = time.Second // at a rate, no more than this time's allowance is saved up
	probes     = 1           // under way while a breaker has rested and is not closed yet
)

// Plan sets what a step does: of an operation of retries, canaries first, then at the pace, nothing past an obstacle.
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
		p.Release = p.Waiting()
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
	if p.Waiting() == 0 {
		p.Held = delivery.Phrase{}
		return
	}
	if p.Phase == delivery.PhaseCanary && canaryOver(s.Pace.Canary, p) {
		now := s.Now
		p.Phase, p.RampAt, p.TickAt = delivery.PhaseRamp, &now, &now
	}
	if !p.Obstacle.IsZero() {
		p.Held = p.Obstacle
		return
	}
	if !p.Held.IsZero() {
		resume(s.Now, p)
	}
	if p.Phase == delivery.PhaseCanary {
		p.Release = max(min(p.Waiting(), s.Pace.Canary-tried(p)), 0)
	} else {
		pace(s, p)
	}
	probe(p)
}

// stop says why a part stops its operation: too many of the outcomes that came since the latest resume are failures. All canaries
// are enough to tell, however few.
func stop(pace delivery.Pace, p *delivery.PartStep) (why delivery.Phrase) {
	outcomes, bad := judge(p)
	canaries := pace.Canary > 0 && p.Phase == delivery.PhaseCanary && canaryOver(pace.Canary, p)
	if pace.StopAbove <= 0 || outcomes == 0 || p.Waiting() == 0 || outcomes < max(judgedFrom, pace.Canary) && !canaries {
		return why
	}
	ratio := float64(bad) / float64(outcomes)
	if ratio <= pace.StopAbove {
		return why
	}
	return delivery.Say(delivery.NoteFailing, "integration", p.Integration, "failed", percent(ratio), "outcomes", outcomes,
		"most", percent(pace.StopAbove))
}

func percent(ratio float64) string { return fmt.Sprintf("%.0f", 100*ratio) }

// judge counts what came since the latest resume. What failed before it and succeeds after all is good news, not less than none bad.
func judge(p *delivery.PartStep) (outcomes, bad int) {
	bad = max(p.Failed+p.Failing-p.BadBefore, 0)
	return bad + max(p.Succeeded-p.GoodBefore, 0), bad
}

// tried is how many were sent again: one that somebody else was faster with tells nothing.
func tried(p *delivery.PartStep) int { return p.Cursor - p.First + 1 - p.Skipped }

// canaryOver reports whether each canary has had an outcome.
func canaryOver(canary int, p *delivery.PartStep) bool {
	return tried(p) >= canary && p.Succeeded+p.Failed+p.Failing >= canary
}

// resume goes on after an obstacle: neither ramp nor allowance has grown meanwhile.
func resume(now time.Time, p *delivery.PartStep) {
	p.Held = delivery.Phrase{}
	if p.RampAt == nil || p.TickAt == nil {
		return
	}
	began := p.RampAt.Add(now.Sub(*p.TickAt))
	p.RampAt, p.TickAt = &began, &now
}

// pace releases what the rate allows since the last tick.
func pace(s *delivery.OperationStep, p *delivery.PartStep) {
	if s.Pace.Rate <= 0 {
		p.Release = p.Waiting()
		return
	}
	now := s.Now
	from, to := s.Pace.At(p.TickAt.Sub(*p.RampAt)), s.Pace.At(now.Sub(*p.RampAt))
	p.Allowance = min(p.Allowance+(from+to)/2*max(now.Sub(*p.TickAt), 0).Seconds(), max(1, to*burst.Seconds()))
	p.TickAt = &now
	p.Release = min(p.Waiting(), int(p.Allowance))
}

// probe lets only few find out whether a receiver is back.
func probe(p *delivery.PartStep) {
	if allowed := max(probes-p.Outstanding(), 0); p.Probing && p.Release > allowed {
		p.Release, p.Held = allowed, delivery.Say(delivery.HeldProbing)
	}
}
