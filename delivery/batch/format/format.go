// Package format writes the rows of a query as a file: csv, kv (key=value records) or json, compressed by gzip if wanted.
// docs/batch-formats.md is the description for those who read the files. Memory is bounded by the longest row, and the same
// rows give the same bytes.
package format

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"redrive/delivery"
)

const (
	bufferSize = 64 << 10 // bytes gathered before they are written on
	bufferKeep = 1 << 20  // a buffer that one long row has made larger than this is let go
)

// Column is one column of the query's result.
type Column struct {
	Name string
	Kind Kind
	Type string // of the values, see delivery.ValueColumn; for files whose values are text
}

// field is one column of the file.
type field struct {
	name  string
	kind  Kind
	of    string // type
	index int    // in a row
}

// layout is a format without buffer, compression and counting. What it appends to dst on an error is of no use.
type layout interface {
	begin(dst []byte) ([]byte, error) // what stands before the rows
	row(dst []byte, row [][]byte, number int64) ([]byte, error)
	end(dst []byte, rows int64) []byte
}

// Writer writes one file. It is for one goroutine.
type Writer struct {
	out     io.Writer
	gzip    *gzip.Writer // nil: plain
	layout  layout
	columns []Column
	fields  []field
	buffer  []byte
	total   *total // nil: not asked for
	rows    int64
	err     error // the error that ended the file
}

var errClosed = errors.New("the file has been closed")

// CellError is a value that the format cannot write.
type CellError struct {
	Row    int64           // from 1; 0: the header
	Column string          // name in the file, or in the query's result for a control total
	Reason delivery.Phrase // does not show the value
}

// Phrase says which value, and why.
func (e *CellError) Phrase() delivery.Phrase {
	if e.Row == 0 {
		return delivery.Say("file.header", "column", e.Column, "why", e.Reason)
	}
	return delivery.Say("file.cell", "row", e.Row, "column", e.Column, "why", e.Reason)
}

func (e *CellError) Error() string { return e.Phrase().English() }

// New begins a file on w. columns are those of the query's result, in the order in which Write gets them. A setting that does
// not fit, a column of spec that the query does not answer, or a name that would stand twice is an error that names it.
func New(w io.Writer, spec delivery.FileFormat, columns []Column) (*Writer, error) {
	fields, err := fieldsOf(&spec, columns)
	if err != nil {
		return nil, err
	}
	if setting, problem := spec.Check(); problem != "" {
		return nil, fmt.Errorf("%s: %s", setting, problem)
	}
	f := &Writer{
		out:     w,
		layout:  layoutOf(spec, fields),
		columns: columns,
		fields:  fields,
		buffer:  make([]byte, 0, bufferSize+bufferSize/4),
	}
	if spec.Gzip {
		f.gzip = gzip.NewWriter(w) // its header holds neither time nor name
		f.out = f.gzip
	}
	f.buffer, err = f.layout.begin(f.buffer)
	return f, err
}

// fieldsOf finds the columns of the file, which spec gets if it names none.
func fieldsOf(spec *delivery.FileFormat, columns []Column) ([]field, error) {
	if len(columns) == 0 {
		return nil, delivery.Fault(delivery.NoColumns)
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	if len(spec.Columns) == 0 {
		for _, name := range names {
			spec.Columns = append(spec.Columns, delivery.FileColumn{Name: name, From: name})
		}
	}
	fields := make([]field, len(spec.Columns))
	for i, c := range spec.Columns {
		at := slices.Index(names, c.From)
		switch {
		case at < 0:
			return nil, delivery.Fault("file.no_column", "column", c.From, "known", names)
		case slices.Contains(names[at+1:], c.From):
			return nil, delivery.Fault("file.column_twice", "column", c.From)
		}
		fields[i] = field{name: c.Name, kind: columns[at].Kind, of: columns[at].Type, index: at}
	}
	return fields, nil
}

func layoutOf(spec delivery.FileFormat, fields []field) layout {
	text := textEncoder{bom: spec.Encoding == delivery.EncodingUTF8BOM}
	if spec.Encoding == delivery.EncodingEUCKR {
		text.korean = eucKR()
	}
	switch spec.Kind {
	case delivery.FileKV:
		return &kv{fields: fields, text: text}
	case delivery.FileJSON:
		return newJSON(fields, spec)
	}
	return newCSV(fields, text, spec)
}

// Sum asks for the control total of a column of the query's result, which need not be in the file. Ask before the first row.
func (f *Writer) Sum(column string) error {
	at := slices.IndexFunc(f.columns, func(c Column) bool { return c.Name == column })
	switch {
	case at < 0:
		return delivery.Fault("file.total.no_column", "column", column)
	case f.columns[at].Kind != KindNumber:
		return delivery.Fault("file.total.no_numbers", "column", column)
	case f.rows > 0:
		return delivery.Fault("file.total.late")
	}
	f.total = &total{index: at}
	return nil
}

// Write appends a row: each column's value in Postgres's text form, nil for NULL; nothing of it is kept. A row that cannot be
// written is a CellError, or what the underlying writer answered, and ends the file: later calls answer the same.
func (f *Writer) Write(row [][]byte) error {
	if f.err == nil {
		f.err = f.write(row)
	}
	return f.err
}

func (f *Writer) write(row [][]byte) (err error) {
	if len(row) != len(f.columns) {
		return delivery.Fault("file.row", "row", f.rows+1, "values", len(row), "columns", len(f.columns))
	}
	if f.total != nil && !f.total.add(row[f.total.index]) {
		return &CellError{
			Row:    f.rows + 1,
			Column: f.columns[f.total.index].Name,
			Reason: delivery.Say("file.cell.total"),
		}
	}
	if f.buffer, err = f.layout.row(f.buffer, row, f.rows+1); err != nil {
		return err
	}
	f.rows++
	if len(f.buffer) < bufferSize {
		return nil
	}
	return f.flush()
}

func (f *Writer) flush() error {
	_, err := f.out.Write(f.buffer)
	f.buffer = f.buffer[:0]
	if cap(f.buffer) > bufferKeep {
		f.buffer = make([]byte, 0, bufferSize+bufferSize/4)
	}
	return err
}

// Flush hands on what has been written so far, as bytes of their own where the file is not compressed.
func (f *Writer) Flush() error {
	if f.err == nil {
		f.err = f.flush()
	}
	return f.err
}

// Close ends the file: the rest of it is written, the writer below stays open. A file that Write has failed on cannot be ended.
func (f *Writer) Close() error {
	if f.err != nil {
		return f.err
	}
	f.err = errClosed
	f.buffer = f.layout.end(f.buffer, f.rows)
	if err := f.flush(); err != nil {
		return err
	}
	if f.gzip != nil {
		return f.gzip.Close()
	}
	return nil
}

// Values says what stands in the columns of a file whose values are text.
func (f *Writer) Values() []delivery.ValueColumn {
	out := make([]delivery.ValueColumn, len(f.fields))
	for i, field := range f.fields {
		out[i] = delivery.ValueColumn{Name: field.name, Type: field.of}
	}
	return out
}

// Rows says how many rows have been written.
func (f *Writer) Rows() int64 { return f.rows }

// Total is the control total so far, as decimal text with as many decimals as the longest value had; NULL counts for nothing.
// Empty without Sum, "0" without rows.
func (f *Writer) Total() string {
	if f.total == nil {
		return ""
	}
	return f.total.String()
}
