// Package schedule says when a batch runs: cron fields, read as local times.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// gap is more than any change of the clocks, and mapped is far enough from it to know the offsets before and after.
const (
	gap    = 3 * time.Hour
	mapped = 24 * time.Hour
)

// Schedule returns when a batch runs. It counts local times, not instants: a local time that comes twice when the clocks go back
// runs when it first comes, and one that they jump over runs as much later as they jump.
type Schedule struct {
	spec     cron.Schedule // read as UTC: its times are local times without a zone
	location *time.Location
}

// Parse reads five cron fields as a crontab has them, or a word such as @daily.
func Parse(text string, location *time.Location) (*Schedule, error) {
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	crontab, err := weekdays(text)
	var spec cron.Schedule
	if err == nil {
		spec, err = parser.Parse(crontab)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no schedule of five fields such as 30 2 * * *: %w", text, err)
	}
	fields, ok := spec.(*cron.SpecSchedule)
	if !ok || strings.Contains(text, "TZ=") {
		// @every knows no time of day; the zone has a setting of its own
		return nil, fmt.Errorf("%q is no schedule of five fields such as 30 2 * * *", text)
	}
	fields.Location = time.UTC
	if fields.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q never comes", text)
	}
	return &Schedule{spec: fields, location: location}, nil
}

// Next returns the first time after t.
func (s *Schedule) Next(t time.Time) time.Time {
	wall := wallOf(t.In(s.location)).Add(-gap)
	var found []time.Time
	var until time.Time // around a change of the clocks the order of local times is not the order of instants
	for {
		wall = s.spec.Next(wall)
		if len(found) > 0 && wall.After(until) {
			return slices.MinFunc(found, time.Time.Compare)
		}
		if at := s.instant(wall); at.After(t) {
			if len(found) == 0 {
				until = wall.Add(gap)
			}
			found = append(found, at)
		}
	}
}

// Between returns the times after from, up to and including to.
func (s *Schedule) Between(from, to time.Time) (times []time.Time) {
	for at := s.Next(from); !at.After(to); at = s.Next(at) {
		times = append(times, at)
	}
	return times
}

// wallOf is what the clock on the wall shows, as if it were UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is the first moment at which the clock shows wall, or, where it never does, the moment as long after the jump.
func (s *Schedule) instant(wall time.Time) time.Time {
	before := s.shifted(wall, wall.Add(-mapped))
	if after := s.shifted(wall, wall.Add(mapped)); !wallOf(before).Equal(wall) && wallOf(after).Equal(wall) {
		return after
	}
	return before
}

// shifted reads wall with the offset that holds around another time.
func (s *Schedule) shifted(wall, around time.Time) time.Time {
	_, offset := around.In(s.location).Zone()
	return wall.Add(-time.Duration(offset) * time.Second).In(s.location)
}
