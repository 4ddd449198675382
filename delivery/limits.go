package delivery

import "fmt"

// Bounds of what people write, in bytes of UTF-8.
const (
	MaxReason   = 2000
	MaxEvidence = 2000
	MaxCategory = 64
	MaxPassword = 1024
)

// Sizes of one page of a list.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// How much of an answer is kept, in bytes: of any attempt, and by the senders. One that is as long as the latter was cut.
const (
	MaxExcerpt = 16 << 10
	MaxAnswer  = 4 << 10
)

// CheckReason refuses a reason that is too long. The error is an *InputError.
func CheckReason(text string) error { return checkWritten("reason", text, MaxReason) }

// CheckEvidence refuses evidence that is too long. The error is an *InputError.
func CheckEvidence(text string) error { return checkWritten("evidence", text, MaxEvidence) }

func checkWritten(what, text string, most int) error {
	if len(text) > most {
		return wrongField("too_long", what, "The %s may have %d bytes.", what, most)
	}
	return nil
}

// PageSize is how many a list answers: limit, or DefaultPage for 0. The error is an *InputError.
func PageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, &InputError{Code: "bad_limit", Field: "limit", Message: fmt.Sprintf("limit must be 1 to %d", MaxPage)}
	}
	return limit, nil
}

// CheckPayloadSize refuses a payload of more than MaxPayload bytes. The error is an *InputError.
func CheckPayloadSize(size int) error {
	if size > MaxPayload {
		return wrongField("payload_too_large", "payload", "The payload has %d bytes; %s are allowed. Keep larger content elsewhere and send a link.", size, PayloadLimit)
	}
	return nil
}
