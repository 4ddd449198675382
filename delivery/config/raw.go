package config

import "redrive/delivery/form"

// The file as written. Pointers tell "not given" from "zero".
type rawFile struct {
	Network      rawNetwork       `yaml:"network"`
	TicketURL    string           `yaml:"ticket_url"`
	FourEyes     rawFourEyes      `yaml:"four_eyes"`
	Integrations []rawIntegration `yaml:"integrations"`
}

type rawNetwork struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

type rawIntegration struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description"`
	Method      string            `yaml:"method"`
	Subscribe   []string          `yaml:"subscribe"`
	Destination rawDestination    `yaml:"destination"`
	Idempotent  form.Truth        `yaml:"idempotent"`
	Ordered     form.Truth        `yaml:"ordered"`
	Retry       rawRetry          `yaml:"retry"`
	OnFailure   string            `yaml:"on_failure"`
	Concurrency *form.Whole       `yaml:"concurrency"`
	Mask        []string          `yaml:"mask"`
	Subject     string            `yaml:"subject"`
	Schema      string            `yaml:"schema"`
	Labels      map[string]string `yaml:"labels"`
	Runbook     string            `yaml:"runbook"`
	Pool        *rawPool          `yaml:"pool"`
	Broker      *rawBroker        `yaml:"broker"`
	Outbox      *rawOutbox        `yaml:"outbox"`
	OnDead      string            `yaml:"on_dead"`
	Batch       *rawBatch         `yaml:"batch"`
	CDC         *rawCDC           `yaml:"cdc"`
	FourEyes    rawFourEyes       `yaml:"four_eyes"`
}

// rawFourEyes stands at the top for all integrations, and in one for what is other there.
type rawFourEyes struct {
	BulkOver      *form.Whole `yaml:"bulk_over"`
	Edit          *form.Truth `yaml:"edit"`
	IgnoreForGood *form.Truth `yaml:"ignore_for_good"`
	Resend        *form.Truth `yaml:"resend"`
	Expires       string      `yaml:"expires"`
}

type rawRetry struct {
	Attempts *form.Whole `yaml:"attempts"`
	Backoff  []string    `yaml:"backoff"`
	Jitter   string      `yaml:"jitter"`
}

type rawPool struct {
	Workers  *form.Whole `yaml:"workers"`
	Queue    *form.Whole `yaml:"queue"`
	WhenFull string      `yaml:"when_full"`
}
