package delivery

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestAPaceHasTheseBounds(t *testing.T) {
	for _, p := range []Pace{{}, {Rate: MaxRate}, {Canary: MaxCanary}, {StopAbove: math.Nextafter(1, 0)}, {Rate: 0.001, RampTo: MaxRate, RampOver: MaxRampOver},
		{Rate: 5, RampTo: 1, RampOver: 1}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for field, list := range map[string][]Pace{
		PaceRate:      {{Rate: -1}, {Rate: MaxRate + 1}, {Rate: math.NaN()}, {Rate: math.Inf(1)}, {RampTo: 1, RampOver: time.Second}},
		PaceRampTo:    {{Rate: 1, RampTo: MaxRate + 1, RampOver: 1}, {Rate: 1, RampTo: -1, RampOver: 1}, {Rate: 1, RampTo: math.NaN(), RampOver: 1}},
		PaceRampOver:  {{Rate: 1, RampTo: 2}, {Rate: 1, RampOver: 1}, {Rate: 1, RampTo: 2, RampOver: MaxRampOver + 1}, {Rate: 1, RampTo: 2, RampOver: -1}, {RampOver: -1}},
		PaceCanary:    {{Canary: -1}, {Canary: MaxCanary + 1}},
		PaceStopAbove: {{StopAbove: 1}, {StopAbove: -0.1}, {StopAbove: math.NaN()}},
	} {
		for _, p := range list {
			var wrong *InputError
			if err := p.Check(); !errors.As(err, &wrong) || wrong.Field != field || wrong.Code != "invalid_pace" {
				t.Errorf("%+v: %#v, want a mistake in %s", p, err, field)
			}
		}
	}
	if (Pace{}).CheckFor(ActionIgnore) != nil || (Pace{Canary: 1}).CheckFor(ActionIgnore) == nil || (Pace{Canary: 1}).CheckFor(ActionRetry) != nil {
		t.Error("only a retry has a pace")
	}
}
