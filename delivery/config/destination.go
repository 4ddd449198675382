package config

import (
	"strings"

	"redrive/delivery"
	"redrive/delivery/form"
	"redrive/delivery/kinds"
)

// destination reads the one block that is given. None need be given where what somebody else's dead-letter queue holds goes back
// to where it came from, or where changes go to other integrations only.
func (c *checker) destination(
	i int,
	in rawIntegration,
	source *delivery.BrokerSource,
	capture *delivery.CDCSource,
) delivery.Destination {
	all, list := kinds.Destinations(), in.Destination.given
	for _, g := range list {
		if kind := all[g.kind]; kind.Batch.Only != "" && in.Method != string(delivery.MethodBatch) {
			c.Fail(at(i, "destination."+kind.Name), "destination.%s: %s; use method batch, or another destination",
				kind.Name, kind.Batch.Only)
		}
	}
	switch {
	case len(list) == 0 && source != nil && source.DeadLetters:
		return delivery.Destination{To: source.From.WayBack()}
	case len(list) == 0 && !ownDestination(in.Name, capture):
	case len(list) == 0:
		c.Fail(at(i, "destination"), "destination: missing; write destination: {http: {url: …}}")
	case len(list) > 1:
		c.Fail(at(i, "destination"), "destination: exactly one is needed, %d are given", len(list))
	default:
		kind := all[list[0].kind]
		return delivery.Destination{To: kind.Block.Read(&c.Reader, at(i, "destination."+kind.Name+"."), list[0].block)}
	}
	return delivery.Destination{}
}

// batchOf is what the destinations that are given take of a batch; nothing where none takes any.
func batchOf(d rawDestination) (b form.Batch) {
	for _, g := range d.given {
		if takes := kinds.Destinations()[g.kind].Batch; b.As == "" {
			b = takes
		}
	}
	return b
}

// batchDestinations names what batches go to, first what takes nothing else; rows: only what takes single rows.
func batchDestinations(rows bool, name func(form.Destination) string) string {
	var only, others []string
	for _, kind := range kinds.Destinations() {
		switch {
		case kind.Batch.As == "" || rows && !kind.Batch.Rows:
		case kind.Batch.Only != "":
			only = append(only, name(kind))
		default:
			others = append(others, name(kind))
		}
	}
	return enumerated(append(only, others...), " or ")
}

// enumerated is a list of words, with one before the last: a, b or c.
func enumerated(words []string, before string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + before + words[last]
}
