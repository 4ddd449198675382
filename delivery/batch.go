package delivery

import (
	"strconv"
	"strings"
	"time"
)

// Message types of a batch.
const (
	TypeBatchFile = "batch.file" // the payload is a BatchFile as JSON
	TypeBatchRow  = "batch.row"  // the payload is one row, in the bytes of its file
	TypeBatchRun  = "batch.run"  // a run that failed; the payload tells which
)

// BatchSettings say when a batch runs, what it selects and what its files are called.
type BatchSettings struct {
	Schedule        string         // five cron fields
	Location        *time.Location // in which the schedule is read, dates are counted and the query runs
	Query           string         // SQL with named parameters, see docs/batch.md; empty: the integration's events are the rows
	URL             string         // Postgres that the query runs in; empty: the database that Redrive itself uses
	Start           OutboxStart    // where the first window begins: StartNow or StartBeginning
	Missed          MissedRuns
	SameDay         bool // the business date is the scheduled day itself, not the day before
	SendEmpty       bool // a run without rows makes a file all the same
	Name            string
	ControlTotal    string // column whose sum goes into the manifest; empty: none
	Key             string // per row: column whose value is the message's key; empty: file name and row
	Per             BatchPer
	Acknowledgement *AcknowledgementSettings // nil: the receiver writes none
}

// MissedRuns says what becomes of scheduled times at which nobody ran.
type MissedRuns string

// What becomes of missed runs.
const (
	MissedCatchUp MissedRuns = "catch-up" // each gets its run, oldest first; the default
	MissedSkip    MissedRuns = "skip"     // each is noted as skipped
)

// BatchPer says what one delivery of a batch over HTTP is.
type BatchPer string

// What one delivery carries.
const (
	PerFile BatchPer = "file" // all rows; the default
	PerRow  BatchPer = "row"
)

// AcknowledgementSettings say where the receiver's answers lie: NAME.ack, NAME.nak or NAME.rej.
type AcknowledgementSettings struct {
	Dir   string      // empty, and no SFTP: where the files go
	SFTP  *SFTPServer // the same over SFTP
	Every time.Duration
}

// DefaultBatchName is the template of file names where none is given.
const DefaultBatchName = "{integration}_{business_date}_{sequence}.{ext}"

// FileName fills in the template of a file's name.
func (b BatchSettings) FileName(f BatchFile, extension string) string {
	return strings.NewReplacer("{integration}", f.Integration, "{business_date}", f.BusinessDate,
		"{sequence}", strconv.FormatInt(f.Sequence, 10), "{ext}", extension).Replace(b.Name)
}

// BusinessDate is the date that a run of that time is for.
func (b BatchSettings) BusinessDate(at time.Time) string {
	local := at.In(b.Location)
	if !b.SameDay {
		local = local.AddDate(0, 0, -1)
	}
	return local.Format(time.DateOnly)
}

// BatchTrigger is why a run exists.
type BatchTrigger string

// Why a run exists.
const (
	TriggerSchedule   BatchTrigger = "schedule"
	TriggerManual     BatchTrigger = "manual"     // somebody asked for it
	TriggerCorrection BatchTrigger = "correction" // rejected rows are sent again
)

// RunState is where a run stands.
type RunState string

// States of a run. The leader of its integration moves it.
const (
	RunQueued  RunState = "queued"  // waits for its turn, or for another try
	RunRunning RunState = "running" // rows are read
	RunEmpty   RunState = "empty"   // there were no rows, and no file was made
	RunStored  RunState = "stored"  // the file is stored, and its delivery begins
	RunFailed  RunState = "failed"  // the last try failed
	RunSkipped RunState = "skipped" // it was missed, and the policy skips what was missed
)

// BatchRun is one run of a batch.
type BatchRun struct {
	ID           string
	Integration  string
	BusinessDate string // 2006-01-02; empty until it starts, where nobody asked for a date
	Dated        bool   // somebody asked for this very date: the window does not move
	ScheduledAt  time.Time
	Trigger      BatchTrigger
	RequestedBy  string // as they are called now
	RequestedID  string
	Reason       string // of who asked for it
	Because      Phrase // why the program began it by itself; zero for a schedule
	State        RunState
	Attempts     int
	Rows         int64  // so far, while it runs
	Error        Phrase // of its last try; skipped: why nobody ran
	CreatedAt    time.Time
	StartedAt    *time.Time
	FinishedAt   *time.Time
	DeliveryID   string      // its dead letter, once it has failed for good
	File         *StoredFile // stored only
}

// StoredFile is a file with what became of it.
type StoredFile struct {
	BatchFile
	Format          FileFormat
	DeliveryID      string
	State           State  // of the delivery; empty where each row is a delivery of its own
	Acknowledgement string // accepted, rejected or partly; empty: none was found
	AcknowledgedAt  *time.Time
}

// BatchSelection is what a run reads.
type BatchSelection struct {
	URL          string   // empty: the database that Redrive itself uses
	Query        string   // empty: the events of Types
	Types        []string // event types
	TimeZone     string
	BusinessDate string
	ScheduledAt  time.Time
	From         string // snapshot up to which rows were read before
	DatabaseID   string // of the database that From tells of
}

// BatchColumn is one column of a query's result.
type BatchColumn struct {
	Name string
	OID  uint32 // of its type in Postgres
	Type string // the same by name, see ValueColumn
}

// BatchContent is what was written into a file.
type BatchContent struct {
	Rows     int64
	Control  string
	Snapshot string        // up to which rows were read; empty: the window does not move
	Columns  []ValueColumn // of a file for a table
	TimeZone string        // likewise
}

// BatchFeed is where a batch integration stands.
type BatchFeed struct {
	Integration string
	Sequence    int64
	Snapshot    string // empty: its source was not seen yet
	DatabaseID  string
	NextRunAt   *time.Time
	ScheduledAt *time.Time // up to here scheduled times have their runs
}

// ScheduledRun is a scheduled time that gets a run.
type ScheduledRun struct {
	At   time.Time
	Skip Phrase // why nobody runs; zero: it is queued
}

// NewBatchFile says what becomes of what a run writes.
type NewBatchFile struct {
	Run          BatchRun
	Settings     BatchSettings
	Format       FileFormat
	CorrectionOf int64    // sequence of the file that is corrected; 0: none
	Corrects     []string // deliveries of the rows that are sent again, in the file's order
}

// Answer is what a receiver says of a file, in a file beside it: NAME.ack, NAME.nak or NAME.rej.
type Answer struct {
	Name       string // of the answer's own file
	ModifiedAt time.Time
	SHA256     string // hexadecimal
	Kind       AnswerKind
	Reason     string        // rejected
	Rows       []RejectedRow // partly
}

// AnswerKind is what an answer says.
type AnswerKind string

// What an answer says.
const (
	AnswerAccepted AnswerKind = "accepted" // .ack
	AnswerRejected AnswerKind = "rejected" // .nak, or an answer that cannot be read: a person looks
	AnswerPartly   AnswerKind = "partly"   // .rej: single rows were rejected
)

// RejectedRow is a row that a receiver rejects.
type RejectedRow struct {
	Row     int64 // in the file, from 1
	Reason  string
	Payload []byte // the row in its file's bytes
}

// CorrectionRow is a rejected row that is to be sent again.
type CorrectionRow struct {
	DeliveryID string
	Payload    []byte
}

// FileOrigin is the place of a row in a batch's file.
type FileOrigin struct {
	ID       string `json:"id"` // of the file
	Name     string `json:"name"`
	Sequence int64  `json:"sequence"`
	Row      int64  `json:"row"` // from 1
}

// BatchFormat is how the rows of a batch are written: as its destination says, see RowTarget; else lines of JSON for rows that are sent
// one by one, and an array of JSON.
func (i Integration) BatchFormat() FileFormat {
	if to, ok := i.Destination.To.(RowTarget); ok {
		return to.Rows()
	}
	return FileFormat{Kind: FileJSON, Array: i.Batch == nil || i.Batch.Per == PerFile}
}

// NoColumns is the phrase of a query that makes no rows.
const NoColumns = "query.no_columns"

// lateRun is how long after its time a run counts as missed.
const lateRun = time.Minute

// BatchCondition is how a batch's schedule stands, by its position, its latest runs (as BatchStatus of the store answers them) and
// what keeps this process from working at it.
func BatchCondition(integration string, feed BatchFeed, runs []BatchRun, trouble Phrase, now time.Time) Condition {
	c := Condition{Integration: integration, Part: PartSchedule, State: ConditionWorks}
	if len(runs) > 0 {
		c = c.ofRun(runs[0])
	}
	switch {
	case c.State == ConditionFails:
	case !trouble.IsZero():
		c.State, c.Reason = ConditionFails, trouble
	case feed.NextRunAt != nil && now.Sub(*feed.NextRunAt) > lateRun:
		c.State, c.Certain, c.Since = ConditionFails, true, *feed.NextRunAt
		c.Reason = Say("run.not_begun", "at", *feed.NextRunAt)
	}
	return c
}

func (c Condition) ofRun(r BatchRun) Condition {
	switch {
	case r.FinishedAt != nil && (r.State == RunStored || r.State == RunEmpty):
		c.LastSuccess = *r.FinishedAt
	case !r.Error.IsZero() && r.State != RunSkipped:
		c.State, c.Certain, c.Reason = ConditionFails, true, Say("run.failed", "at", r.ScheduledAt, "why", r.Error)
		if r.StartedAt != nil {
			c.Since = *r.StartedAt
		}
	case r.State == RunQueued || r.State == RunRunning:
		c.State = ConditionUnknown // until it has ended, the condition of the run before it counts
	}
	return c
}

// BatchFacts are a batch's position and its latest runs as figures for people, API and metrics.
func BatchFacts(feed BatchFeed, runs []BatchRun) []Fact {
	facts := []Fact{{Name: "sequence", Value: feed.Sequence}}
	if feed.NextRunAt != nil {
		facts = append(facts, Fact{Name: "next_run", Value: feed.NextRunAt.Unix(), Says: SayTime(*feed.NextRunAt)})
	}
	running := Fact{Name: "running"}
	for n, r := range runs {
		if r.State == RunRunning {
			running = Fact{Name: "running", Value: 1, Says: Say("run.running", "rows", r.Rows)}
		}
		if n == 0 {
			facts = append(facts, Fact{Name: "last_run", Value: r.ScheduledAt.Unix(), Says: Say("run.state." + string(r.State))})
		}
	}
	return append(facts, running)
}

// ErrNotDated is the answer to whoever asks a batch of windows for the run of a date.
var ErrNotDated = Mistake("not_dated", "business_date")
