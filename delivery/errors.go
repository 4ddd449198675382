package delivery

// Errors of attempts that no sender made. They are text, as those of senders are: stored, searched, and what failures are grouped by.
const (
	ErrorLeaseLost        = "the worker vanished before it reported an outcome"
	ErrorNoRoute          = "its integration left the integrations file"
	ErrorRejected         = "the receiver rejected it" // with its words behind
	ErrorRejectedSilently = "the receiver rejected it and gave no reason"
	ErrorNotDated         = "this batch sends what came since its last run and cannot be run for a date: ask for a run without one"
	ErrorNoCorrection     = "its correction file could not be made: " // and why
)

// CorrectionError is the error of a row whose correction file ended with an error.
func CorrectionError(file, why string) string {
	return "its correction file " + file + " was not delivered: " + why
}
