package batch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"redrive/delivery"
)

// shape is how rows stand in a file: what comes before them, between them and after them. A row's own bytes are those in between.
type shape struct {
	head, between, tail []byte
}

var bom = []byte("\xef\xbb\xbf")

// split reads the rows of a stored file in their own bytes, which are valid during the call of row only, and returns the shape
// that another file of rows like them has.
func split(r io.Reader, spec delivery.FileFormat, row func(number int64, raw []byte) error) (s shape, err error) {
	if spec.Gzip {
		unpacked, err := gzip.NewReader(r)
		if err != nil {
			return s, fmt.Errorf("unpacking the file: %w", err)
		}
		r = unpacked
	}
	records := recordReader{in: bufio.NewReaderSize(r, 64<<10), quotes: spec.Kind == delivery.FileCSV}
	s = shapeOf(spec)
	header := spec.Kind == delivery.FileCSV && spec.Header
	for number := int64(0); ; {
		raw, err := records.next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("reading the file: %w", err)
		}
		if number == 0 && len(s.head) == 0 && bytes.HasPrefix(raw, bom) {
			s.head, raw = append(s.head, bom...), raw[len(bom):]
		}
		switch {
		case header:
			header, s.head = false, append(append(s.head, raw...), s.between...)
			continue
		case spec.Kind == delivery.FileJSON && spec.Array:
			if raw = bytes.TrimSuffix(raw, []byte(",")); string(raw) == "[" || string(raw) == "]" || string(raw) == "[]" {
				continue
			}
		}
		number++
		if err := row(number, raw); err != nil {
			return s, err
		}
	}
}

func shapeOf(spec delivery.FileFormat) shape {
	switch {
	case spec.Kind == delivery.FileCSV:
		return shape{between: []byte("\r\n"), tail: []byte("\r\n")}
	case spec.Kind == delivery.FileJSON && spec.Array:
		return shape{head: []byte("[\n"), between: []byte(",\n"), tail: []byte("\n]\n")}
	}
	return shape{between: []byte("\n"), tail: []byte("\n")}
}

// join writes a file of rows.
func (s shape) join(w io.Writer, spec delivery.FileFormat, rows []delivery.CorrectionRow) (err error) {
	if spec.Gzip {
		packed := gzip.NewWriter(w)
		defer func() {
			if closeErr := packed.Close(); err == nil {
				err = closeErr
			}
		}()
		w = packed
	}
	if _, err := w.Write(s.head); err != nil {
		return err
	}
	for i, r := range rows {
		if i > 0 {
			if _, err := w.Write(s.between); err != nil {
				return err
			}
		}
		if _, err := w.Write(r.Payload); err != nil {
			return err
		}
	}
	_, err = w.Write(s.tail)
	return err
}

// recordReader returns lines without their end. In csv, quotes keep line ends inside of a record.
type recordReader struct {
	in     *bufio.Reader
	quotes bool
	record []byte
}

func (r *recordReader) next() ([]byte, error) {
	r.record = r.record[:0]
	open := false
	for {
		piece, err := r.in.ReadSlice('\n')
		r.record = append(r.record, piece...)
		if r.quotes && bytes.Count(piece, []byte{'"'})%2 == 1 {
			open = !open
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull) || err == nil && open:
			continue
		case errors.Is(err, io.EOF) && len(r.record) > 0:
			return r.record, nil
		case err != nil:
			return nil, err
		}
		end := []byte("\n")
		if r.quotes {
			end = []byte("\r\n")
		}
		return bytes.TrimSuffix(r.record, end), nil
	}
}
