package source

import "time"

// Hasten makes the streams to come less patient.
func (s *Source) Hasten(status, silence, stall time.Duration) {
	s.pace = pace{status: status, silence: silence, stall: stall}
}
