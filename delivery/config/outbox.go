package config

import "redrive/delivery"

type rawOutbox struct {
	Start string `yaml:"start"` // now, beginning or a time
}

func (c *checker) outbox(i int, r rawIntegration) *delivery.OutboxSettings {
	if r.Method != string(delivery.MethodOutbox) {
		return nil
	}
	if r.Outbox == nil || r.Outbox.Start == "" {
		return &delivery.OutboxSettings{Start: delivery.StartNow}
	}
	settings, ok := delivery.ParseOutboxStart(r.Outbox.Start)
	if !ok || settings.Start == delivery.StartContinue { // which only redrive outbox adopt knows
		c.Fail(at(i, "outbox.start"),
			"outbox.start: %q is neither now, beginning nor a time such as 2026-01-31T00:00:00Z", r.Outbox.Start)
	}
	return &settings
}

func (c *checker) onDead(i int, r rawIntegration) delivery.OnDead {
	policy := delivery.OnDead(r.OnDead)
	switch policy {
	case "":
		return delivery.OnDeadBlock
	case delivery.OnDeadBlock, delivery.OnDeadSkip:
		if !r.Ordered {
			c.Fail(at(i, "on_dead"), "on_dead: it says what a dead letter does to the order; set ordered: true, or remove it")
		}
		return policy
	}
	c.Fail(at(i, "on_dead"), "on_dead: %q is neither block nor skip", r.OnDead)
	return delivery.OnDeadBlock
}
