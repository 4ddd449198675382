package delivery

// Errors of attempts that no sender made. They are text, as those of senders are: stored, searched, and what failures are grouped by.
const (
	ErrorLeaseLost    = "the worker vanished before it reported an outcome"
	ErrorNoRoute      = "its integration left the integrations file"
	ErrorNoCorrection = "its correction file could not be made: " // and why
)

// RejectedError is the error of a row that the receiver's answer rejects; reason may be empty.
func RejectedError(reason string) string {
	if reason == "" {
		return "the receiver rejected it and gave no reason"
	}
	return Storable("the receiver rejected it: " + reason)
}

// CorrectionError is the error of a row whose correction file ended with an error.
func CorrectionError(file, why string) string {
	return "its correction file " + file + " was not delivered: " + why
}
