package cli

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"redrive/delivery/ledger"
	"redrive/delivery/wire"
	"redrive/internal/cli/client"
	"redrive/store"
)

// Audit are the settings of where the audit goes and how long it stays.
type Audit struct {
	AuditOrigin    string        `env:"REDRIVE_AUDIT_ORIGIN"                          help:"Name of the audit's log in its checkpoints, such as example.com/redrive; empty: a random one. Another name begins with another key."              name:"audit-origin"`
	AuditEvery     time.Duration `env:"REDRIVE_AUDIT_CHECKPOINT_EVERY" default:"5m"    help:"How often a checkpoint of the audit is signed and taken outside, while it grows; each is a line of the log as well."                                 name:"audit-checkpoint-every"`
	AuditFile      string        `env:"REDRIVE_AUDIT_CHECKPOINT_FILE"                 help:"File that checkpoints are added to: on another machine's disk, or one that only grows."                                                                name:"audit-checkpoint-file"`
	AuditURL       string        `env:"REDRIVE_AUDIT_CHECKPOINT_URL"                  help:"Address that checkpoints are posted to, as text."                                                                                                     name:"audit-checkpoint-url"`
	AuditWitnesses []string      `env:"REDRIVE_AUDIT_WITNESSES"                       help:"Witnesses (C2SP tlog-witness) that cosign checkpoints, with commas between: the address and, behind a blank, the public key of each."                   name:"audit-witnesses"`
	AuditShip      []string      `env:"REDRIVE_AUDIT_SHIP"                            help:"Collectors that get each entry, with commas between: syslog+tls://host:port, syslog+tcp://host:port (RFC 5424) or https://… (lines of JSON)."          name:"audit-ship"`
	AuditRetention time.Duration `env:"REDRIVE_AUDIT_RETENTION"        default:"17568h" help:"How long entries of the audit stay, at least 8784h (a year); then they leave by 4,096, and their hashes stay. 0 keeps everything."                      name:"audit-retention"`
}

// shortestRetention is a year: the database keeps one too.
const shortestRetention = 366 * 24 * time.Hour

func (c *Audit) check() error {
	if c.AuditEvery < time.Second {
		return Misused(client.Said("REDRIVE_AUDIT_CHECKPOINT_EVERY: a duration such as 5m, at least 1s"))
	}
	if c.AuditRetention != 0 && c.AuditRetention < shortestRetention {
		return Misused(client.Said("REDRIVE_AUDIT_RETENTION: at least 8784h, a year; or 0 to keep everything"))
	}
	if err := ledger.CheckOrigin(c.AuditOrigin); c.AuditOrigin != "" && err != nil {
		return Misused(client.Said("REDRIVE_AUDIT_ORIGIN: a name such as example.com/redrive, without blanks and +"))
	}
	_, err := c.config(nil, ledger.Means{}, slog.New(slog.DiscardHandler))
	return err
}

// config is what the settings say of where the audit goes.
func (c *Audit) config(db ledger.Store, m ledger.Means, log *slog.Logger) (ledger.Config, error) {
	out := ledger.Config{Store: db, Every: c.AuditEvery, Keep: c.AuditRetention, Log: log, Outlets: []ledger.Outlet{ledger.LogLine{Log: log}}}
	if c.AuditFile != "" {
		out.Outlets = append(out.Outlets, ledger.File{Path: c.AuditFile})
	}
	if c.AuditURL != "" {
		if !isWeb(c.AuditURL) {
			return out, Misused(client.Said("REDRIVE_AUDIT_CHECKPOINT_URL: an address such as https://example.com/checkpoints"))
		}
		out.Outlets = append(out.Outlets, ledger.Webhook{URL: c.AuditURL, Client: m.Client})
	}
	for _, text := range c.AuditWitnesses {
		address, key, _ := strings.Cut(strings.TrimSpace(text), " ")
		keys, err := ledger.ParseKeys(key)
		if err != nil || !isWeb(address) {
			return out, Misused(client.Said("REDRIVE_AUDIT_WITNESSES: an address and a public key, such as https://witness.example.com/ witness.example.com+1a2b3c4d+B…"))
		}
		out.Outlets = append(out.Outlets, ledger.Witness{URL: address, Key: keys[0], Client: m.Client, Store: db})
	}
	for _, address := range c.AuditShip {
		s, err := ledger.ParseShipper(strings.TrimSpace(address), m)
		if err != nil {
			return out, Misused(client.Said("REDRIVE_AUDIT_SHIP: an address such as syslog+tls://logs.example.com:6514, syslog+tcp://10.0.0.7:601 or https://logs.example.com/audit"))
		}
		out.Shippers = append(out.Shippers, s)
	}
	return out, nil
}

func isWeb(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// outsideTimeout is how long one request to a place outside may take.
const outsideTimeout = 20 * time.Second

// Room makes the room that takes the audit outside, of what serve leads by lead.
func (c *Audit) Room(
	db *store.Store,
	dialer wire.Dialer,
	lead func(context.Context, func(context.Context, struct{}) error, func(error)) error,
	log *slog.Logger,
) (*ledger.Room, error) {
	means := ledger.Means{Dial: dialer.DialContext, Client: dialer.Client(nil, outsideTimeout)}
	cfg, err := c.config(db, means, log)
	cfg.Lead = lead
	return ledger.New(cfg), err
}
