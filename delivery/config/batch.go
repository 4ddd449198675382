package config

import (
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/batch/schedule"
	"redrive/delivery/form"
	filesend "redrive/delivery/send/file"
)

const (
	defaultAcknowledgements = time.Minute
	maxFileName             = 240 // bytes, with room for what is put beside a file
)

type rawBatch struct {
	Schedule        string              `yaml:"schedule"`
	TimeZone        string              `yaml:"time_zone"`
	Query           string              `yaml:"query"`
	URL             string              `yaml:"url"`
	Start           string              `yaml:"start"`
	Missed          string              `yaml:"missed"`
	BusinessDate    string              `yaml:"business_date"`
	Empty           string              `yaml:"empty"`
	Name            string              `yaml:"name"`
	ControlTotal    string              `yaml:"control_total"`
	Per             string              `yaml:"per"`
	Key             string              `yaml:"key"`
	Acknowledgement *rawAcknowledgement `yaml:"acknowledgement"`
}

type rawAcknowledgement struct {
	Dir   string              `yaml:"dir"`
	SFTP  *filesend.SFTPBlock `yaml:"sftp"`
	Every string              `yaml:"every"`
}

func (c *checker) batch(i int, in rawIntegration) *delivery.BatchSettings {
	if in.Method != string(delivery.MethodBatch) {
		return nil
	}
	r, path := in.Batch, at(i, "batch.")
	if r == nil {
		c.Fail(at(i, "method"), `batch: missing; write batch: {schedule: "30 2 * * *", query: SELECT …}`)
		return nil
	}
	b := &delivery.BatchSettings{
		Schedule:     r.Schedule,
		Location:     c.location(path+"time_zone", r.TimeZone),
		Query:        strings.TrimSpace(r.Query),
		URL:          c.Expand(path+"url", r.URL),
		ControlTotal: r.ControlTotal,
		Key:          r.Key,
		Name:         c.fileName(path, in.Name, r.Name),
		Start: delivery.OutboxStart(c.choice(path, "start", r.Start, string(delivery.StartNow),
			string(delivery.StartBeginning))),
		Missed: delivery.MissedRuns(c.choice(path, "missed", r.Missed, string(delivery.MissedCatchUp),
			string(delivery.MissedSkip))),
		SameDay:   c.choice(path, "business_date", r.BusinessDate, "previous-day", "same-day") == "same-day",
		SendEmpty: c.choice(path, "empty", r.Empty, "skip", "send") == "send",
		Per:       delivery.BatchPer(c.choice(path, "per", r.Per, string(delivery.PerFile), string(delivery.PerRow))),
	}
	if _, err := schedule.Parse(r.Schedule, b.Location); err != nil {
		c.Fail(path+"schedule", "batch.schedule: %s", err)
	}
	c.batchRows(i, in, b)
	b.Acknowledgement = c.acknowledgement(i, in, r.Acknowledgement)
	return b
}

// batchRows checks where the rows come from and go to.
func (c *checker) batchRows(i int, in rawIntegration, b *delivery.BatchSettings) {
	path, takes := at(i, "batch."), batchOf(in.Destination)
	switch {
	case b.Query == "" && len(in.Subscribe) == 0:
		c.Fail(at(i, "batch"), "batch: what is to be sent? write query: SELECT …, or subscribe: [event type] beside batch")
	case b.Query != "" && len(in.Subscribe) > 0:
		c.Fail(path+"query", "batch.query: the integration subscribes to events, which are its rows; remove one of the two")
	case b.Query == "" && b.URL != "":
		c.Fail(path+"url", "batch.url: events are read from the database that Redrive itself uses; remove url, or write a query")
	case b.Per == delivery.PerRow && !takes.Rows:
		names := batchDestinations(true, func(kind form.Destination) string { return kind.Name })
		c.Fail(path+"per", "batch.per: row by row a batch goes to an %s destination only", names)
	case b.Key != "" && b.Per != delivery.PerRow:
		c.Fail(path+"key", "batch.key: single rows have keys; set per: row, or remove it")
	case bool(in.Ordered):
		c.Fail(at(i, "ordered"), "ordered: files carry their sequence, and each has a key of its own; remove it")
	case takes.As == "":
		names := batchDestinations(false, func(kind form.Destination) string { return kind.Batch.As })
		c.Fail(at(i, "destination"), "destination: a batch goes to %s", names)
	}
	if b.URL != "" && !form.PostgresURL(b.URL) {
		c.Fail(path+"url", "batch.url: an address such as postgres://user:password@host:5432/database is needed")
	}
}

func (c *checker) location(path, name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		c.Fail(path, "batch.time_zone: %q is no time zone such as Asia/Seoul", name)
		return time.UTC
	}
	return location
}

// choice is one of words, the first where none is given.
func (c *checker) choice(path, setting, given string, words ...string) string {
	for _, word := range words {
		if given == word {
			return word
		}
	}
	if given != "" {
		c.Fail(path+setting, "batch.%s: %q is neither %s", setting, given, strings.Join(words, " nor "))
	}
	return words[0]
}

// fileName is the template of names. The sequence makes them unique.
func (c *checker) fileName(path, integration, text string) string {
	if text == "" {
		return delivery.DefaultBatchName
	}
	file := delivery.BatchFile{Integration: integration, BusinessDate: time.DateOnly, Sequence: 1 << 40}
	sample := delivery.BatchSettings{Name: text}.FileName(file, "jsonl.gz")
	switch {
	case !strings.Contains(text, "{sequence}"):
		c.Fail(path+"name", "batch.name: {sequence} is missing: without it two files could have one name")
	case strings.ContainsAny(sample, "{}"):
		c.Fail(path+"name", "batch.name: %q names something else than {integration}, {business_date}, {sequence} and {ext}", text)
	case strings.ContainsAny(sample, "/\\\x00\r\n\t") || strings.HasPrefix(sample, ".") || len(sample) > maxFileName:
		c.Fail(path+"name", "batch.name: %q makes no file name: it has a slash or a control character, begins with a "+
			"dot, or is too long", text)
	}
	return text
}

func (c *checker) acknowledgement(i int, in rawIntegration, r *rawAcknowledgement) *delivery.AcknowledgementSettings {
	if r == nil {
		return nil
	}
	path := at(i, "batch.acknowledgement.")
	a := &delivery.AcknowledgementSettings{Dir: c.Expand(path+"dir", r.Dir), Every: defaultAcknowledgements}
	if r.Every != "" {
		a.Every = c.Duration(path+"every", "batch.acknowledgement.every", r.Every, time.Second, 24*time.Hour)
	}
	if r.SFTP != nil {
		a.SFTP = r.SFTP.Read(&c.Reader, path+"sftp.")
	}
	switch f := filesOf(in.Destination); {
	case a.Dir != "" && a.SFTP != nil:
		c.Fail(path+"dir", "batch.acknowledgement: dir or sftp, not both")
	case f == nil:
		c.Fail(at(i, "batch.acknowledgement"), "batch.acknowledgement: it answers files; use a file destination, or remove it")
	case a.Dir == "" && a.SFTP == nil && f.To.Dir == nil && f.To.SFTP == nil:
		c.Fail(at(i, "batch.acknowledgement"), "batch.acknowledgement: say where the answers lie, by dir or sftp")
	}
	return a
}

// filesOf is the block of files, where one is given.
func filesOf(d rawDestination) *filesend.Block {
	for _, g := range d.given {
		if f, ok := g.block.(*filesend.Block); ok {
			return f
		}
	}
	return nil
}
