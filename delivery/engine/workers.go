package engine

import "time"

const workerPatience = 50 * time.Millisecond // how long a goroutine of the pool waits for more

// workerPool runs functions in goroutines that it keeps for a while: a new one for each attempt had to grow its stack every time.
type workerPool chan func()

// run never waits: when nobody is free, one more joins the pool.
func (c workerPool) run(f func()) {
	select {
	case c <- f:
	default:
		go c.member(f)
	}
}

func (c workerPool) member(f func()) {
	idle := time.NewTimer(workerPatience)
	defer idle.Stop()
	for {
		f()
		idle.Reset(workerPatience)
		select {
		case f = <-c:
		case <-idle.C:
			return
		}
	}
}
