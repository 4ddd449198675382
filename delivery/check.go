package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a producer hands over, in bytes of UTF-8.
const (
	MaxType           = 255
	MaxKey            = 1024
	MaxIdempotencyKey = 255
	MaxHeaders        = 64
	MaxHeaderName     = 255
	MaxHeaderValue    = 8000
)

// Addressed is m with the kind that its addressee says, where none was given.
func (m Message) Addressed() Message {
	switch {
	case m.Kind != "":
	case m.Integration != "":
		m.Kind = KindCommand
	default:
		m.Kind = KindEvent
	}
	return m
}

// checkKind refuses an addressee that no integration can be, and a contradiction of kind and addressee.
func (m Message) checkKind() error {
	switch m = m.Addressed(); {
	case m.Integration != "" && !IsName(m.Integration):
		return Mistake("unknown_integration.name", "integration", "integration", m.Integration)
	case m.Kind == KindCommand && m.Integration == "":
		return Mistake("integration_required.command", "integration")
	case m.Kind == KindEvent && m.Integration != "":
		return Mistake("integration_not_allowed", "integration")
	case m.Kind != KindCommand && m.Kind != KindEvent:
		return Mistake("invalid_kind", "kind")
	}
	return nil
}

// Check refuses what has no addressee, or what some wire would change on its way to a receiver, or could not carry: a field that
// arrives is what was handed over. Type and key are encoded where they travel as headers; the idempotency key and header values travel as they are, and HTTP takes
// blanks away at both ends. The SQL functions for producers have the same rule (redrive.check_message). The error is an *InputError.
// What came from somebody's queue is not refused, but kept: see the broker sources.
func (m Message) Check() error {
	if err := m.checkKind(); err != nil {
		return err
	}
	switch {
	case strings.Trim(m.Type, " ") == "":
		return Mistake("type_required", "type")
	case len(m.Payload) > MaxPayload:
		return CheckPayloadSize(len(m.Payload))
	case len(m.IdempotencyKey) > MaxIdempotencyKey:
		return Mistake("too_long.idempotency_key", "idempotency_key", "max", MaxIdempotencyKey)
	}
	for _, err := range []error{checkLine("type", m.Type, MaxType), checkLine("key", m.Key, MaxKey)} {
		if err != nil {
			return err
		}
	}
	switch {
	case m.IdempotencyKey != "" && !CanBeIdempotencyKey(m.IdempotencyKey):
		return Mistake("invalid_idempotency_key", "idempotency_key")
	case isBeyondTime(m.DeliverAfter) || isBeyondTime(m.ExpiresAt):
		return Mistake("invalid_time.years", "")
	case m.DeliverAfter != nil && m.ExpiresAt != nil && !m.ExpiresAt.After(*m.DeliverAfter):
		return Mistake("invalid_expiry", "expires_at")
	}
	return CheckHeaders(m.Headers, nil)
}

// CanBeIdempotencyKey reports whether a text arrives as it is where it travels as a header: 1 to MaxIdempotencyKey characters of printable
// ASCII, with no blank at either end.
func CanBeIdempotencyKey(key string) bool {
	return key != "" && len(key) <= MaxIdempotencyKey && strings.Trim(key, " ") == key &&
		!strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
}

// IdempotencyKeyOf makes a key of a text that was chosen without thought of headers: the text itself where it can be one, else its hash,
// so that two texts stay two.
func IdempotencyKeyOf(text string) string {
	if CanBeIdempotencyKey(text) {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// CheckHeaders refuses headers that HTTP would not carry, or not as they are. One that stands in known with the same value was taken
// before and is left alone. The error is an *InputError.
func CheckHeaders(headers, known map[string]string) error {
	if len(headers) > max(MaxHeaders, len(known)) {
		return Mistake("too_many_headers", "headers", "max", MaxHeaders, "count", len(headers))
	}
	seen := map[string]bool{}
	for name, value := range headers {
		if before, had := known[name]; !had || before != value {
			if err := checkHeader(name, value); err != nil {
				return err
			}
		}
		low := strings.ToLower(name)
		if seen[low] {
			return Mistake("invalid_header.twice", "headers."+name, "header", low)
		}
		seen[low] = true
	}
	return nil
}

func checkHeader(name, value string) error {
	at := "headers." + name
	switch {
	case !IsHeaderName(name) || len(name) > MaxHeaderName:
		return Mistake("invalid_header.name", "headers", "header", name)
	case strings.Trim(value, " \t") != value:
		return Mistake("invalid_header.blank", at, "header", name)
	case !CanBeHeader(value):
		return Mistake("invalid_header.control", at, "header", name)
	case len(value) > MaxHeaderValue:
		return Mistake("too_long.header", at, "max", MaxHeaderValue)
	}
	return nil
}

// CanBeHeader reports whether a text arrives as it is where it is the value of a header.
func CanBeHeader(value string) bool {
	return utf8.ValidString(value) &&
		!strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) &&
		strings.Trim(value, " \t") == value
}

func isASCIILetterOrDigit(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// checkLine is for text that is encoded where a wire needs it; CloudEvents has no control characters in any.
func checkLine(field, text string, most int) error {
	switch {
	case len(text) > most:
		return Mistake("too_long.field", field, "field", field, "max", most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return Mistake("invalid_text.line", field, "field", field)
	}
	return nil
}

// isBeyondTime tells times that RFC 3339 cannot write.
func isBeyondTime(at *time.Time) bool {
	return at != nil && (at.UTC().Year() < 1 || at.UTC().Year() > 9999)
}
