package config

import (
	"cmp"
	"slices"

	"redrive/delivery"
	"redrive/delivery/kinds"
)

const (
	defaultPrefetch = 256
	maxPrefetch     = 10_000
	maxPoolWorkers  = 10_000
	maxPoolQueue    = 1_000_000
)

var whenFull = []delivery.WhenFull{delivery.WhenFullBlock, delivery.WhenFullCallerRuns, delivery.WhenFullJournal}

func (c *checker) pool(i int, in rawIntegration) *delivery.PoolSettings {
	if in.Method != string(delivery.MethodPool) {
		return nil
	}
	r, path := in.Pool, at(i, "pool.")
	if r == nil {
		r = &rawPool{}
	}
	p := &delivery.PoolSettings{WhenFull: delivery.WhenFull(r.WhenFull),
		Workers: c.number(path+"workers", "pool.workers", r.Workers, delivery.DefaultPoolWorkers, 1, maxPoolWorkers),
		Queue:   c.number(path+"queue", "pool.queue", r.Queue, delivery.DefaultPoolQueue, 1, maxPoolQueue)}
	if r.WhenFull == "" {
		p.WhenFull = delivery.WhenFullBlock
	}
	if !slices.Contains(whenFull, p.WhenFull) {
		c.Fail(path+"when_full", "pool.when_full: %q is none of block, caller-runs, journal", r.WhenFull)
	}
	return p
}

func (c *checker) broker(i int, in rawIntegration) *delivery.BrokerSource {
	if in.Method != string(delivery.MethodBroker) {
		return nil
	}
	r, path := in.Broker, at(i, "broker.")
	if r == nil {
		c.Fail(at(i, "method"), "broker: missing; write broker: {rabbitmq: {url: …, queue: …}}, or kafka, or redis")
		return nil
	}
	prefetch := defaultPrefetch
	if len(r.given) == 1 {
		prefetch = cmp.Or(kinds.Sources()[r.given[0].kind].Prefetch, prefetch)
	}
	b := &delivery.BrokerSource{DeadLetters: r.DeadLetters != noDeadLetters,
		Prefetch: c.number(path+"prefetch", "broker.prefetch", r.Prefetch, prefetch, 1, maxPrefetch)}
	if len(r.given) != 1 {
		c.Fail(at(i, "broker"), "broker: exactly one of %s is needed, %d are given", sourceNames(" and ", false), len(r.given))
		return b
	}
	kind := kinds.Sources()[r.given[0].kind]
	if b.DeadLetters && kind.NoDeadLetters != "" {
		c.Fail(path+"dead_letters", "broker.dead_letters: %s; use %s", kind.NoDeadLetters, sourceNames(" or ", true))
	}
	read := kind.Block.Read(&c.Reader, path+kind.Name+".", r.given[0].block)
	b.From, b.Format = read.From, read.Format
	b.Original, b.OnGap = r.DeadLetters.original(), c.onGap(path+"on_gap", r.OnGap)
	for setting, given := range map[string]bool{"dead_letters": b.Original != delivery.OriginalLost, "on_gap": r.OnGap != ""} {
		if given && !kind.Positions {
			c.Fail(path+setting, "broker.%s: messages of %s have no positions at which they could be read again", setting, kind.Name)
		}
	}
	if kafka, ok := b.From.(*delivery.KafkaSource); ok && kafka.ShareGroup != "" {
		if in.Ordered {
			c.Fail(at(i, "ordered"), "ordered: a share group has no order per key; use group, or remove ordered")
		}
		if b.OnGap == delivery.OnGapStop {
			c.Fail(path+"on_gap", "broker.on_gap: a share group keeps its positions itself, and no gap is seen; use group, or remove on_gap")
		}
	}
	return b
}

func (c *checker) onGap(path, given string) delivery.OnGap {
	switch given {
	case "", "go-on":
		return delivery.OnGapGoOn
	case "stop":
		return delivery.OnGapStop
	}
	c.Fail(path, "broker.on_gap: %q is neither go-on nor stop", given)
	return delivery.OnGapGoOn
}

// sourceNames lists the kinds of sources, with a word before the last; dead: those that have dead letters.
func sourceNames(last string, dead bool) string {
	var names []string
	for _, kind := range kinds.Sources() {
		if !dead || kind.NoDeadLetters == "" {
			names = append(names, kind.Name)
		}
	}
	return enumerated(names, last)
}
