package delivery

import "time"

// End says when something that is ignored comes back: one of its four, or none of them yet, which stands for the usual one.
type End struct {
	Until   *time.Time // then
	Count   int        // when so many more have come into its group; of a rule: when it has swallowed so many
	Grows   float64    // when so many times as many as before come within 24 hours
	ForGood bool       // never by itself; takes PermitIgnoreForGood
}

// Bounds of ends.
const (
	MaxEndCount = 1_000_000
	MaxEndGrows = 1000

	UsualIgnoreDays = 30   // where nobody says when something comes back
	MaxIgnoreDays   = 3650 // that the usual end may be away
)

// IsZero reports whether no end is given.
func (e End) IsZero() bool { return e == End{} }

// Check refuses two ends at once and numbers that are none. Whether a time is over is for the clock of the database. The error is an *InputError.
func (e End) Check() error {
	given := 0
	for _, is := range []bool{e.Until != nil, e.Count != 0, e.Grows != 0, e.ForGood} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return Mistake("invalid_end", FieldUntil)
	case e.Count < 0 || e.Count > MaxEndCount:
		return Mistake("invalid_end.count", FieldCount, "max", MaxEndCount)
	case e.Grows != 0 && !(e.Grows > 1 && e.Grows <= MaxEndGrows):
		return Mistake("invalid_end.grows", FieldGrows, "max", MaxEndGrows)
	}
	return nil
}

// OrUsual is the end, or where none is given the one after so many days.
func (e End) OrUsual(now time.Time, days int) End {
	if e.IsZero() {
		until := now.AddDate(0, 0, days)
		e.Until = &until
	}
	return e
}

// OnCounters reports whether the end comes by what else fails, not by a clock.
func (e End) OnCounters() bool { return e.Count > 0 || e.Grows > 0 }

// Phrase says the end: until when, or until what.
func (e End) Phrase() Phrase {
	switch {
	case e.Until != nil:
		return Say("end.until", "until", *e.Until)
	case e.Count > 0:
		return Say("end.count", "count", e.Count)
	case e.Grows > 0:
		return Say("end.grows", "grows", e.Grows)
	}
	return Say("end.for_good")
}

// Over says that the end of a decision has come, OverOfRule that of a rule.
func (e End) Over() Phrase { return e.over("reopened.count", "reopened.grows") }

// OverOfRule is Over for an ignore rule, of which the numbers are those of what it swallows.
func (e End) OverOfRule() Phrase { return e.over("reopened.rule.count", "reopened.rule.grows") }

func (e End) over(count, grows string) Phrase {
	switch {
	case e.Count > 0:
		return Say(count, "count", e.Count)
	case e.Grows > 0:
		return Say(grows, "grows", e.Grows)
	}
	return Say("audit.ignored_until")
}
