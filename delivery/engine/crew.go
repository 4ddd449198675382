package engine

import "time"

const crewPatience = 50 * time.Millisecond // how long a goroutine of a crew waits for more

// crew runs functions in goroutines that it keeps for a while: a new one for each attempt had to grow its stack every time.
type crew chan func()

// run never waits: when nobody is free, one more joins the crew.
func (c crew) run(f func()) {
	select {
	case c <- f:
	default:
		go c.member(f)
	}
}

func (c crew) member(f func()) {
	idle := time.NewTimer(crewPatience)
	defer idle.Stop()
	for {
		f()
		idle.Reset(crewPatience)
		select {
		case f = <-c:
		case <-idle.C:
			return
		}
	}
}
