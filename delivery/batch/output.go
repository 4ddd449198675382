package batch

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"

	"redrive/delivery"
	"redrive/delivery/batch/format"
	"redrive/delivery/progress"
)

// output turns the rows of a source into a file.
type output struct {
	batch     *Batch
	source    Source
	selection delivery.BatchSelection
	snapshot  string // where the window ends; empty: it does not move
	rows      atomic.Int64
}

func (o *output) fill(
	ctx context.Context,
	w io.Writer,
	rows func(string, []byte) error,
) (content delivery.BatchContent, err error) {
	settings := o.batch.settings
	step := progress.Begin(ctx, "rows of batch "+o.batch.in.Name, 0)
	defer step.End()
	var file *format.Writer
	var each eachRow
	columns := func(list []delivery.BatchColumn) error {
		target := w
		if settings.Per == delivery.PerRow {
			if err := checkKey(list, settings.Key); err != nil {
				return err
			}
			each = eachRow{file: w, queue: rows, key: indexOf(list, settings.Key)}
			target = &each.line
		}
		file, err = newWriter(target, o.batch.cfg.Format, list, settings.ControlTotal)
		return err
	}
	row := func(values [][]byte) error {
		if err := file.Write(values); err != nil {
			return err
		}
		o.rows.Add(1)
		step.Add(1)
		if each.file == nil {
			return nil
		}
		if err := file.Flush(); err != nil {
			return err
		}
		return each.row(values)
	}
	if o.selection.Query == "" {
		events := newEvents(o.batch.cfg.Format, settings.ControlTotal, columns, row)
		columns, row = events.begin, events.row
	}
	if err := o.source.Read(ctx, o.selection, columns, row); err != nil {
		return content, err
	}
	if err := file.Close(); err != nil {
		return content, err
	}
	content = delivery.BatchContent{Rows: file.Rows(), Control: file.Total(), Snapshot: o.snapshot}
	if o.batch.cfg.Format.Text {
		content.Columns, content.TimeZone = file.Values(), settings.Location.String()
	}
	return content, nil
}

func newWriter(w io.Writer, spec delivery.FileFormat, list []delivery.BatchColumn, control string) (*format.Writer, error) {
	columns := make([]format.Column, len(list))
	for i, c := range list {
		columns[i] = format.Column{Name: c.Name, Kind: format.KindOf(c.OID), Type: c.Type}
	}
	file, err := format.New(w, spec, columns)
	if err == nil && control != "" {
		err = file.Sum(control)
	}
	return file, err
}

// eachRow makes every line of a file a delivery of its own.
type eachRow struct {
	file  io.Writer
	queue func(key string, payload []byte) error
	key   int // column; -1: none
	line  bytes.Buffer
}

func (e *eachRow) row(values [][]byte) error {
	line := e.line.Bytes()
	if _, err := e.file.Write(line); err != nil {
		return err
	}
	key := ""
	if e.key >= 0 {
		key = string(values[e.key])
	}
	err := e.queue(key, bytes.TrimSuffix(line, []byte("\n")))
	e.line.Reset()
	return err
}

func indexOf(columns []delivery.BatchColumn, name string) int {
	for i, c := range columns {
		if c.Name == name && name != "" {
			return i
		}
	}
	return -1
}

// checkKey refuses a key that no column gives.
func checkKey(columns []delivery.BatchColumn, name string) error {
	if name != "" && indexOf(columns, name) < 0 {
		return delivery.Fault("run.no_key", "column", name)
	}
	return nil
}
