package delivery

// Errors of attempts that no sender made. They are text, as those of senders are: stored, searched, and what failures are grouped by.
const (
	ErrorExpired          = "not sent: its expiry time had passed"
	ErrorAttemptPanicked  = "the attempt panicked; the log has the details"
	ErrorLeaseLost        = "the worker vanished before it reported an outcome"
	ErrorNoRoute          = "its integration left the integrations file"
	ErrorRejected         = "the receiver rejected it" // with its words behind
	ErrorRejectedSilently = "the receiver rejected it and gave no reason"
	ErrorNoDestination    = "the integration has no destination of its own: correct the rule and ask for a new snapshot, or resolve this by other means"
	ErrorNoIntegration    = "its integration is not in the integrations file"
	ErrorNoOutcome        = "no outcome within the deadline"
	ErrorPoison           = "not sent: three workers vanished while they held it"
	ErrorRedelivered      = "redelivered, and nobody knows whether the first attempt had its effect"
	ErrorSenderPanicked   = "the sender panicked; the log has the details"
	ErrorVanished         = "outcome unknown: the worker vanished, and the receiver does not drop duplicates"
	ErrorNoCorrection     = "its correction file could not be made: " // and why
)

// CorrectionError is the error of a row whose correction file ended with an error.
func CorrectionError(file, why string) string {
	return "its correction file " + file + " was not delivered: " + why
}

// UnreadableAnswer is the error of a file whose answer is none.
func UnreadableAnswer(name, why string) string {
	return "its answer " + name + " cannot be read: " + why
}
