package operations

import (
	"math"
	"slices"
	"testing"
	"time"

	"redrive/delivery"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// imagined is an operation of retries that is advanced without a database: a step's releases move the cursors.
type imagined struct {
	delivery.OperationStep
}

func imagine(pace delivery.Pace, sizes ...int) *imagined {
	o := &imagined{delivery.OperationStep{Action: delivery.ActionRetry, Pace: pace, Now: noon}}
	first := 1
	for i, n := range sizes {
		o.Parts = append(o.Parts, delivery.PartStep{Integration: string(rune('a' + i)), First: first, Last: first + n - 1, Cursor: first - 1,
			Phase: delivery.PhaseCanary, Wave: 1, Allowance: 1})
		first += n
	}
	return o
}

// after advances by the clock and returns how many were released of each part.
func (o *imagined) after(d time.Duration) []int {
	o.Now = o.Now.Add(d)
	o.Stop = delivery.Phrase{}
	Plan(&o.OperationStep)
	released := make([]int, len(o.Parts))
	for i := range o.Parts {
		p := &o.Parts[i]
		released[i] = p.Release
		again := min(p.Again, p.Release)
		p.Again, p.Cursor, p.WaveSent, p.Release = p.Again-again, p.Cursor+p.Release-again, p.WaveSent+p.Release, 0
	}
	return released
}

func (o *imagined) total() (n int) {
	for _, p := range o.Parts {
		n += p.Cursor - p.First + 1
	}
	return n
}

func TestWithoutPaceAStepIsAChunkThatPartsShare(t *testing.T) {
	o := imagine(delivery.Pace{}, 5000, 10, 5000)
	if got := o.after(0); got[1] != 10 || got[0]+got[1]+got[2] != chunk || got[0] < 600 || got[2] < 600 {
		t.Errorf("first step %v", got)
	}
	for range 20 {
		o.after(0)
	}
	if o.total() != 10010 {
		t.Errorf("released %d", o.total())
	}
}

func TestCanariesWaitForTheirOutcomes(t *testing.T) {
	o := imagine(delivery.Pace{Canary: 3}, 100, 2)
	a := &o.Parts[0]
	if got := o.after(0); got[0] != 3 || got[1] != 2 {
		t.Fatalf("canaries %v", got)
	}
	a.WaveGood, a.WaveBad = 1, 1
	if got := o.after(time.Hour); got[0] != 0 {
		t.Fatalf("released %v after two outcomes of three", got)
	}
	a.WaveSent-- // it was skipped, which tells nothing: another one goes
	if got := o.after(0); got[0] != 1 {
		t.Fatalf("instead of a skipped canary: %v", got)
	}
	a.WaveGood = 2
	if got := o.after(0); got[0] != 6 || a.Phase != delivery.PhaseRamp {
		t.Errorf("after all outcomes %v, phase %s", got, a.Phase)
	}
}

func TestEachWaveIsJudgedBeforeTheNext(t *testing.T) {
	o := imagine(delivery.Pace{Canary: 10}, 185)
	p := &o.Parts[0]
	var waves []int
	for o.total() < 185 {
		waves = append(waves, o.after(0)[0])
		p.WaveGood = p.WaveSent - 1
		if got := o.after(time.Hour); got[0] != 0 || p.Wave != len(waves) {
			t.Fatalf("%v released while one of wave %d has no outcome", got, p.Wave)
		}
		p.WaveBad = 1
	}
	if !slices.Equal(waves, []int{10, 20, 40, 80, 35}) {
		t.Errorf("waves %v", waves)
	}
}

func TestALaterWaveStopsItToo(t *testing.T) {
	o := imagine(delivery.Pace{Canary: 4, StopAbove: 0.2}, 100)
	p := &o.Parts[0]
	o.after(0)
	p.WaveGood = 4
	if got := o.after(0); got[0] != 8 {
		t.Fatalf("wave of %v", got)
	}
	p.WaveGood, p.WaveBad = 3, 2
	if got := o.after(0); o.Stop.String() != "note.failing failed=40 integration=a most=20 outcomes=5" || got[0] != 0 {
		t.Errorf("stop %s, released %v", o.Stop, got)
	}
}

// Whatever is asked of the pace, there is something that can be stopped.
func TestWhatIsJudgedWithoutBeingAskedFor(t *testing.T) {
	for _, c := range []struct {
		pace  delivery.Pace
		first int
		limit float64
	}{{delivery.Pace{}, 0, 0}, {delivery.Pace{Rate: 5}, 0, 0}, {delivery.Pace{Canary: 3}, 3, .5}, {delivery.Pace{StopAbove: .1}, 10, .1},
		{delivery.Pace{StopAbove: .1, Rate: 5}, 0, .1}, {delivery.Pace{StopAbove: .1, Rate: 5, Canary: 2}, 2, .1}} {
		if c.pace.FirstWave() != c.first || c.pace.Limit() != c.limit {
			t.Errorf("%+v: first %d, limit %v", c.pace, c.pace.FirstWave(), c.pace.Limit())
		}
	}
}

// What failed goes first, also where nothing new is left.
func TestWhatIsSentAgainIsPartOfTheWaves(t *testing.T) {
	o := imagine(delivery.Pace{Canary: 2}, 5)
	p := &o.Parts[0]
	p.Cursor, p.Failed, p.Again, p.Wave = 4, 4, 4, 2
	var waves []int
	for p.Left() > 0 {
		waves = append(waves, o.after(0)[0])
		p.WaveGood = p.WaveSent
	}
	if !slices.Equal(waves, []int{2, 3}) || p.Cursor != 5 || p.Wave != 3 {
		t.Errorf("waves %v, %+v", waves, p)
	}
}

func TestARateIsKeptAndItsBurstIsBounded(t *testing.T) {
	o := imagine(delivery.Pace{Rate: 10}, 10_000)
	o.after(0)
	for range 100 {
		o.after(100 * time.Millisecond)
	}
	if n := o.total(); n < 100 || n > 102 {
		t.Errorf("%d in 10 s at 10 per second", n)
	}
	if got := o.after(time.Hour); got[0] != 10 {
		t.Errorf("%v after a process was away for an hour", got)
	}
}

func TestARampGrowsLinearly(t *testing.T) {
	o := imagine(delivery.Pace{Rate: 10, RampTo: 110, RampOver: 10 * time.Second}, 10_000)
	o.after(0)
	for range 50 {
		o.after(100 * time.Millisecond)
	}
	half := o.total() // the integral of 10 + 10t up to 5: 175
	for range 100 {
		o.after(100 * time.Millisecond)
	}
	if all := o.total(); math.Abs(float64(half-175)) > 3 || math.Abs(float64(all-(600+550))) > 5 {
		t.Errorf("%d after 5 s, %d after 15 s; want 175 and 1150", half, all)
	}
}

func TestAnObstacleHoldsItsPartOnly(t *testing.T) {
	o := imagine(delivery.Pace{Rate: 10, RampTo: 100, RampOver: 9 * time.Second}, 10_000, 10_000)
	o.after(0)
	o.after(time.Second)
	a := &o.Parts[0]
	bob := delivery.Say(delivery.HeldPaused, "by", "bob")
	a.Obstacle = bob
	before := a.Cursor
	for range 600 {
		o.after(100 * time.Millisecond)
	}
	if a.Cursor != before || !a.Held.Equal(bob) || o.Parts[1].Cursor-o.Parts[1].First < 5000 {
		t.Errorf("while it was held: %+v and %+v", a, o.Parts[1])
	}
	a.Obstacle = delivery.Phrase{}
	o.after(0)
	for range 10 {
		o.after(100 * time.Millisecond)
	}
	if n := a.Cursor - before; n < 20 || n > 30 || !a.Held.IsZero() { // the ramp goes on at 20 per second
		t.Errorf("%d in the second after it was held, %s", n, a.Held)
	}
}

func TestABreakerThatRestedIsProbed(t *testing.T) {
	o := imagine(delivery.Pace{}, 100)
	p := &o.Parts[0]
	p.Probing = true
	if got := o.after(0); got[0] != 1 || p.Held.IsZero() {
		t.Fatalf("first %v, %s", got, p.Held)
	}
	if got := o.after(time.Minute); got[0] != 0 {
		t.Fatalf("while one is under way %v", got)
	}
	p.Succeeded, p.Probing = 1, false
	if got := o.after(0); got[0] != 99 || !p.Held.IsZero() {
		t.Errorf("when it is closed %v, %s", got, p.Held)
	}
}

func TestTooManyFailuresStopIt(t *testing.T) {
	o := imagine(delivery.Pace{Rate: 100, StopAbove: 0.5}, 1000, 1000)
	o.after(0)
	o.after(time.Second)
	p := &o.Parts[1]
	p.WaveGood, p.WaveBad = 1, 3
	if got := o.after(time.Second); !o.Stop.IsZero() || got[0] == 0 {
		t.Fatalf("stopped after 4 outcomes: %s", o.Stop)
	}
	p.WaveBad = 4
	if got := o.after(time.Second); o.Stop.String() != "note.failing failed=80 integration=b most=50 outcomes=5" || got[0]+got[1] != 0 {
		t.Fatalf("stop %s, released %v", o.Stop, got)
	}
	p.WaveGood, p.WaveBad = 3, 2 // two that were failing recovered
	if o.after(time.Second); !o.Stop.IsZero() {
		t.Fatalf("stopped by recoveries: %s", o.Stop)
	}
	p.WaveBad = 13
	if o.after(time.Second); o.Stop.IsZero() {
		t.Error("not stopped by new failures")
	}
}

func TestFewCanariesAreEnoughToStopIt(t *testing.T) {
	o := imagine(delivery.Pace{Canary: 2, StopAbove: 0.4}, 100)
	o.after(0)
	p := &o.Parts[0]
	p.WaveGood, p.WaveBad = 1, 1
	if o.after(0); o.Stop.IsZero() {
		t.Fatal("half of the canaries failed")
	}
}

func TestOtherActionsNeedNoPace(t *testing.T) {
	o := imagine(delivery.Pace{}, 3000)
	o.Action = delivery.ActionIgnore
	o.Parts[0].Obstacle = delivery.Say(delivery.HeldPaused, "by", "bob")
	if got := o.after(0); got[0] != chunk {
		t.Errorf("released %v", got)
	}
}
