package past

import (
	"time"

	"redrive/delivery"
)

// Operation is a bulk retry of failures of one integration, which sent them in waves.
type Operation struct {
	ID          string
	By          Person
	Reason      string
	Pace        delivery.Pace
	Group       string // the filter that it was asked with
	Items       []*Failure
	Versions    []int // of the items at the click
	Waves       []int // in which each was sent
	Begun       time.Time
	ChangedAt   time.Time
	FinishedAt  *time.Time
	Note        delivery.Phrase // why it stopped itself
	Sent        int             // items
	Wave, Size  int             // the present one, and how many it may be
	Good, Bad   int             // of the present wave
	Succeeded   int
	Failed      int
	Outcomes    []delivery.State // of the items that were sent
	Integration string
}

// Retry is an operation that somebody begins with failures of one group, in the order in which it numbers them.
func Retry(id string, by Person, at time.Time, reason string, pace delivery.Pace, items []*Failure) *Operation {
	o := &Operation{ID: id, By: by, Reason: reason, Pace: pace, Items: items, Begun: at, ChangedAt: at, Wave: 1, Size: pace.FirstWave(),
		Group: items[0].GroupID, Integration: items[0].Integration.Name}
	for _, f := range items {
		o.Versions = append(o.Versions, f.Version)
	}
	return o
}

// Run sends waves, one each interval, until all are sent or too many of one failed.
func (o *Operation) Run(now time.Time, interval time.Duration, send Sender) error {
	at := o.Begun.Add(time.Second)
	for o.Sent < len(o.Items) {
		if o.Sent > 0 {
			o.Wave, o.Size, o.Good, o.Bad = o.Wave+1, o.Size*delivery.WaveGrowth, 0, 0
		}
		for range min(o.Size, len(o.Items)-o.Sent) {
			if err := o.send(at, now, send); err != nil {
				return err
			}
		}
		if w := (delivery.Wave{Good: o.Good, Bad: o.Bad}); w.Ratio() > o.Pace.Limit() {
			o.Note = delivery.Say(delivery.NoteFailing, "integration", o.Integration, "failed", percent(w.Ratio()),
				"outcomes", o.Good+o.Bad, "most", percent(o.Pace.Limit()))
			return nil
		}
		at = at.Add(interval)
	}
	o.FinishedAt = &o.ChangedAt
	return nil
}

func (o *Operation) send(at, now time.Time, send Sender) error {
	f := o.Items[o.Sent]
	o.Sent++
	o.Waves, o.Outcomes = append(o.Waves, o.Wave), append(o.Outcomes, "")
	err := f.Decide(Decision{Action: delivery.ActionRetry, By: o.By, At: at, Reason: o.Reason, Operation: o})
	if err != nil {
		return err
	}
	f.Item = o.Sent
	f.Send(at.Add(200*time.Millisecond), now, send)
	return nil
}

// heard counts what became of an item.
func (o *Operation) heard(f *Failure, at time.Time) {
	if f.Item == 0 || o.Outcomes[f.Item-1] != "" {
		return
	}
	o.Outcomes[f.Item-1], o.ChangedAt = f.State, at
	if f.State == delivery.StateDelivered {
		o.Good, o.Succeeded = o.Good+1, o.Succeeded+1
	} else {
		o.Bad, o.Failed = o.Bad+1, o.Failed+1
	}
}

func percent(ratio float64) int { return int(100*ratio + 0.5) }
