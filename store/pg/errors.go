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
	"RD005": "bad_header", "RD006": "field_invalid", "22021": "invalid_text", "22P05": "invalid_text",
}

// inputFields name the field that is wrong, where the code alone does.
var inputFields = map[string]string{"RD001": "integration", "RD002": "type", "RD003": "payload", "RD004": "payload"}

// DomainError turns what the database says into words of the domain, once, at the edge.
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
		return fmt.Errorf("%w: %w", &delivery.UnavailableError{Code: "busy", RetryAfter: time.Second,
			Message: "others were changing the same at the same moment, again and again, and nothing was done: try again"}, err)
	}
	code, known := inputCodes[pg.Code]
	if !known {
		return err
	}
	message := pg.Message
	if strings.HasPrefix(pg.Code, "22") {
		message = "text must be valid UTF-8 without NUL characters"
	}
	if pg.Hint != "" {
		message += ": " + pg.Hint
	}
	return &delivery.InputError{Code: code, Field: inputFields[pg.Code], Message: message}
}

// Optional is nil for an empty string, so that the column is null.
func Optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
