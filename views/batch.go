package views

import (
	"net/url"

	"redrive/delivery"
)

// RunsPage lists the runs of a batch with their files, and asks for one.
type RunsPage struct {
	Layout
	Integration           delivery.Integration
	Facts                 []delivery.Fact
	Items                 []delivery.BatchRun
	Next                  string
	Date, Reason, Problem string // what was typed into a form that was refused
}

// Runs is the page of a batch's runs and files, and where the form for a run goes.
func Runs(name string) string { return Integrations + "/" + url.PathEscape(name) + "/runs" }

// FileContent is the stored bytes of a batch's file.
func FileContent(id string) string { return "/files/" + url.PathEscape(id) + "/content" }

// runState is a run's state as a word and a colour.
func (l Locale) runState(s delivery.RunState) (word, kind string) {
	switch s {
	case delivery.RunQueued:
		return l.T("queued"), ""
	case delivery.RunRunning:
		return l.T("running"), ""
	case delivery.RunEmpty:
		return l.T("no rows"), ""
	case delivery.RunStored:
		return l.T("stored"), "good"
	case delivery.RunFailed:
		return l.T("failed"), "bad"
	}
	return l.T("skipped"), ""
}

// why says how a run came to be.
func (l Locale) why(r delivery.BatchRun) string {
	switch r.Trigger {
	case delivery.TriggerManual:
		return l.T("asked for by %s", r.RequestedBy)
	case delivery.TriggerCorrection:
		return l.T("correction")
	}
	return l.T("by schedule")
}

// acknowledged says what the receiver answered.
func (l Locale) acknowledged(answer string) string {
	switch answer {
	case "accepted":
		return l.T("accepted by the receiver")
	case "rejected":
		return l.T("rejected by the receiver")
	case "partly":
		return l.T("rows rejected by the receiver")
	}
	return ""
}

// actionConsequence says what an action will do to this delivery.
func (p DeliveryPage) actionConsequence(a delivery.Action) string {
	if origin := p.D.Message.Origin; a == delivery.ActionRetry && origin != nil && origin.File != nil {
		return p.T("Retry puts this row, with others of its file that are retried within seconds, into a correction " +
			"file with a number of its own. It counts as done only when that file is delivered.")
	}
	return p.Consequence(a)
}
