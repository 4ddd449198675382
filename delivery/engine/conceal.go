package engine

import (
	"slices"

	"redrive/delivery"
)

// maskedPaths are what must be hidden of a message that integration in gets: what any integration hides that gets it too.
func (e *Engine) maskedPaths(in delivery.Integration, m delivery.Message) []string {
	paths := slices.Clone(in.Mask)
	for _, l := range e.order {
		other := l.integration
		if len(other.Mask) > 0 && (m.Integration == other.Name || m.Kind == delivery.KindEvent && slices.Contains(other.Subscribe, m.Type)) {
			paths = append(paths, other.Mask...)
		}
	}
	return paths
}
