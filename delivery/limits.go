package delivery

// Bounds of what people write, in bytes of UTF-8.
const (
	MaxReason   = 2000
	MaxEvidence = 2000
	MaxCategory = 64
	MaxPassword = 1024
)

// MinPassword is how many characters a new password has at least.
const MinPassword = 15

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
		return Mistake("too_long."+what, what, "max", most)
	}
	return nil
}

// PageSize is how many a list answers: limit, or DefaultPage for 0. The error is an *InputError.
func PageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, Mistake("bad_limit", "limit", "max", MaxPage)
	}
	return limit, nil
}

// CheckPayloadSize refuses a payload of more than MaxPayload bytes. The error is an *InputError.
func CheckPayloadSize(size int) error {
	if size > MaxPayload {
		return Mistake("payload_too_large", "payload", "count", size, "limit", PayloadLimit)
	}
	return nil
}
