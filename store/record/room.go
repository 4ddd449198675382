// Package record reads deliveries as lists and pages show them. It writes nothing.
package record

// A group remembers so many types of its messages; one that is full may have had others.
const (
	GroupTypes = "32"
	TypesFull  = "cardinality(g.types) >= " + GroupTypes
)
