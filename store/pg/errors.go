package pg

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"redrive/delivery"
)

// inputCodes are the SQLSTATEs that speak of a mistake of the caller: ours (RD…) and those of Postgres for bad text.
var inputCodes = map[string]string{
	"RD001": "unknown_integration", "RD002": "type_missing", "RD003": "payload_missing", "RD004": "payload_too_large",
	"RD005": "bad_header", "RD006": "field_invalid", "RD007": "idempotency_key_reused",
	"22021": "invalid_text", "22P05": "invalid_text",
}

// inputFields name the field that is wrong, where the code alone does.
var inputFields = map[string]string{"RD001": "integration", "RD002": "type", "RD003": "payload", "RD004": "payload",
	"RD007": "idempotency_key"}

// DomainError turns what the database says into words of the domain, once, at the edge. What the functions for producers say is in their
// own words: they speak to programs that know nothing of a catalogue.
func DomainError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return delivery.ErrNotFound
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	if inTheWay(err) {
		return fmt.Errorf("%w: %w", &delivery.UnavailableError{Code: "busy", RetryAfter: time.Second}, err)
	}
	code, known := inputCodes[pg.Code]
	if !known {
		return err
	}
	mistake := &delivery.InputError{Code: code, Field: inputFields[pg.Code]}
	switch {
	case strings.HasPrefix(pg.Code, "22"):
	case pg.Hint == "":
		mistake.Says = delivery.Verbatim(pg.Message)
	default:
		mistake.Says = delivery.Verbatim(pg.Message + ": " + pg.Hint)
	}
	return mistake
}

// Optional is nil for an empty string, so that the column is null.
func Optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
