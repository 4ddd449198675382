package config

import (
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/batch/schedule"
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
	Dir   string   `yaml:"dir"`
	SFTP  *rawSFTP `yaml:"sftp"`
	Every string   `yaml:"every"`
}

type rawTable struct {
	URL     string          `yaml:"url"`
	Table   string          `yaml:"table"`
	Key     []string        `yaml:"key"`
	Columns []rawFileColumn `yaml:"columns"`
	Timeout string          `yaml:"timeout"`
	// into GENERATED ALWAYS AS IDENTITY
	OverridingSystemValue truth `yaml:"overriding_system_value"`
}

func (c *checker) batch(i int, in rawIntegration) *delivery.BatchSettings {
	if in.Method != string(delivery.MethodBatch) {
		return nil
	}
	r, path := in.Batch, at(i, "batch.")
	if r == nil {
		c.fail(at(i, "method"), `batch: missing; write batch: {schedule: "30 2 * * *", query: SELECT …}`)
		return nil
	}
	b := &delivery.BatchSettings{Schedule: r.Schedule, Location: c.location(path+"time_zone", r.TimeZone), Query: strings.TrimSpace(r.Query),
		URL: c.expand(path+"url", r.URL), ControlTotal: r.ControlTotal, Key: r.Key, Name: c.fileName(path, in.Name, r.Name),
		Start:     delivery.OutboxStart(c.choice(path, "start", r.Start, string(delivery.StartNow), string(delivery.StartBeginning))),
		Missed:    delivery.MissedRuns(c.choice(path, "missed", r.Missed, string(delivery.MissedCatchUp), string(delivery.MissedSkip))),
		SameDay:   c.choice(path, "business_date", r.BusinessDate, "previous-day", "same-day") == "same-day",
		SendEmpty: c.choice(path, "empty", r.Empty, "skip", "send") == "send",
		Per:       delivery.BatchPer(c.choice(path, "per", r.Per, string(delivery.PerFile), string(delivery.PerRow)))}
	if _, err := schedule.Parse(r.Schedule, b.Location); err != nil {
		c.fail(path+"schedule", "batch.schedule: %s", err)
	}
	c.batchRows(i, in, b)
	b.Acknowledgement = c.acknowledgement(i, in, r.Acknowledgement)
	return b
}

// batchRows checks where the rows come from and go to.
func (c *checker) batchRows(i int, in rawIntegration, b *delivery.BatchSettings) {
	path := at(i, "batch.")
	switch {
	case b.Query == "" && len(in.Subscribe) == 0:
		c.fail(at(i, "batch"), "batch: what is to be sent? write query: SELECT …, or subscribe: [event type] beside batch")
	case b.Query != "" && len(in.Subscribe) > 0:
		c.fail(path+"query", "batch.query: the integration subscribes to events, which are its rows; remove one of the two")
	case b.Query == "" && b.URL != "":
		c.fail(path+"url", "batch.url: events are read from the database that Redrive itself uses; remove url, or write a query")
	case b.Per == delivery.PerRow && in.Destination.HTTP == nil:
		c.fail(path+"per", "batch.per: row by row a batch goes to an http destination only")
	case b.Key != "" && b.Per != delivery.PerRow:
		c.fail(path+"key", "batch.key: single rows have keys; set per: row, or remove it")
	case bool(in.Ordered):
		c.fail(at(i, "ordered"), "ordered: files carry their sequence, and each has a key of its own; remove it")
	case in.Destination.HTTP == nil && in.Destination.File == nil && in.Destination.Table == nil:
		c.fail(at(i, "destination"), "destination: a batch goes to a file, a table or http")
	}
	if b.URL != "" && !postgresURL(b.URL) {
		c.fail(path+"url", "batch.url: an address such as postgres://user:password@host:5432/database is needed")
	}
}

func postgresURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

func (c *checker) location(path, name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		c.fail(path, "batch.time_zone: %q is no time zone such as Asia/Seoul", name)
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
		c.fail(path+setting, "batch.%s: %q is neither %s", setting, given, strings.Join(words, " nor "))
	}
	return words[0]
}

// fileName is the template of names. The sequence makes them unique.
func (c *checker) fileName(path, integration, text string) string {
	if text == "" {
		return delivery.DefaultBatchName
	}
	sample := delivery.BatchSettings{Name: text}.FileName(delivery.BatchFile{Integration: integration, BusinessDate: time.DateOnly,
		Sequence: 1 << 40}, "jsonl.gz")
	switch {
	case !strings.Contains(text, "{sequence}"):
		c.fail(path+"name", "batch.name: {sequence} is missing: without it two files could have one name")
	case strings.ContainsAny(sample, "{}"):
		c.fail(path+"name", "batch.name: %q names something else than {integration}, {business_date}, {sequence} and {ext}", text)
	case strings.ContainsAny(sample, "/\\\x00\r\n\t") || strings.HasPrefix(sample, ".") || len(sample) > maxFileName:
		c.fail(path+"name", "batch.name: %q makes no file name: it has a slash or a control character, begins with a dot, or is too long", text)
	}
	return text
}

func (c *checker) acknowledgement(i int, in rawIntegration, r *rawAcknowledgement) *delivery.AcknowledgementSettings {
	if r == nil {
		return nil
	}
	path := at(i, "batch.acknowledgement.")
	a := &delivery.AcknowledgementSettings{Dir: c.expand(path+"dir", r.Dir), Every: defaultAcknowledgements}
	if r.Every != "" {
		a.Every = c.duration(path+"every", "batch.acknowledgement.every", r.Every, time.Second, 24*time.Hour)
	}
	if r.SFTP != nil {
		a.SFTP = c.sftp(path+"sftp.", r.SFTP)
	}
	switch f := in.Destination.File; {
	case a.Dir != "" && a.SFTP != nil:
		c.fail(path+"dir", "batch.acknowledgement: dir or sftp, not both")
	case f == nil:
		c.fail(at(i, "batch.acknowledgement"), "batch.acknowledgement: it answers files; use a file destination, or remove it")
	case a.Dir == "" && a.SFTP == nil && f.To.Dir == nil && f.To.SFTP == nil:
		c.fail(at(i, "batch.acknowledgement"), "batch.acknowledgement: say where the answers lie, by dir or sftp")
	}
	return a
}

// table reads the destination of a batch whose rows go into a table of another database.
func (c *checker) table(i int, r *rawTable) *delivery.TableDestination {
	path := at(i, "destination.table.")
	d := &delivery.TableDestination{URL: c.required(path, "url", r.URL), Key: r.Key, Columns: c.fileColumns(path, r.Columns),
		Overrides: bool(r.OverridingSystemValue), Timeout: defaultTransfer}
	name, ok := c.required(path, "table", r.Table), false
	if d.Schema, d.Table, ok = delivery.ParseTableName(name); !ok && name != "" {
		c.fail(path+"table", "table: %q is no table such as public.orders; quote a name of other letters, as in public.\"Order\"", name)
	}
	if r.Timeout != "" {
		d.Timeout = c.duration(path+"timeout", "timeout", r.Timeout, time.Second, maxTransfer)
	}
	if !postgresURL(d.URL) {
		c.fail(path+"url", "url: an address such as postgres://user:password@host:5432/database is needed")
	}
	if len(r.Key) == 0 {
		c.fail(at(i, "destination.table"), "key: missing; write key: [column], the columns of a unique constraint by which rows are replaced")
	}
	return d
}
