package cli

import (
	"time"

	"redrive/delivery"
	"redrive/internal/cli/client"
)

// Tokens are the settings of API tokens.
type Tokens struct {
	TokenLifetime    time.Duration `default:"2160h" env:"REDRIVE_TOKEN_LIFETIME"     help:"How long the secret of a new API token is valid where whoever makes it says nothing else."`
	TokenMaxLifetime time.Duration `default:"8784h" env:"REDRIVE_TOKEN_MAX_LIFETIME" help:"How long the secret of a new API token can be valid at most; those that are there keep their end."`
}

// Lifetimes are how long secrets of tokens are valid.
func (t *Tokens) Lifetimes() delivery.TokenLifetimes {
	return delivery.TokenLifetimes{Standard: t.TokenLifetime, Most: t.TokenMaxLifetime}
}

func (t *Tokens) check() error {
	switch {
	case t.TokenMaxLifetime < time.Hour || t.TokenMaxLifetime > maxTokenLifetime:
		return Misused(client.Said("REDRIVE_TOKEN_MAX_LIFETIME: a duration such as 8784h, from 1h to %s", maxTokenLifetime))
	case t.TokenLifetime < shortest || t.TokenLifetime > t.TokenMaxLifetime:
		return Misused(client.Said("REDRIVE_TOKEN_LIFETIME: a duration such as 2160h, from %s to REDRIVE_TOKEN_MAX_LIFETIME (%s)", shortest, t.TokenMaxLifetime))
	}
	return nil
}

// maxTokenLifetime bounds the setting: what is to last for ever is not renewed by anybody.
const maxTokenLifetime = 10 * 366 * 24 * time.Hour
