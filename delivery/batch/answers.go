package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
)

const (
	maxAnswer   = 16 << 20 // bytes of an answer
	maxRejected = 100_000  // rows of one answer
)

// Inbox is where receivers put their answers. Answers are left where they lie: they belong to the receiver.
type Inbox interface {
	// Each calls found with every file whose name is wanted. open answers its bytes.
	Each(
		ctx context.Context,
		wanted func(name string) bool,
		found func(name string, modified time.Time, size int64, open func() (io.ReadCloser, error)) error,
	) error
}

// answers looks for what receivers say of files.
type answers struct {
	batch *Batch
	seen  map[string]seen // by the last look
	next  time.Time
}

// seen is how an answer looked. One that has changed since the last look may still be being written: it is left for the next.
type seen struct {
	modified time.Time
	size     int64
	done     bool
}

// look deals with the answers that are there, every so often.
func (a *answers) look(ctx context.Context, feed Feed, now time.Time) error {
	b := a.batch
	if b.cfg.Inbox == nil || now.Before(a.next) {
		return nil
	}
	a.next = now.Add(b.settings.Acknowledgement.Every)
	files, err := feed.Answerable(ctx)
	if err != nil {
		return err
	}
	byName := make(map[string]delivery.StoredFile, len(files))
	for _, f := range files {
		if f.State != delivery.StatePending && f.State != delivery.StateSending { // while it is sent, its own outcome comes first
			byName[f.Name] = f
		}
	}
	var broken error // of the leader's session
	found := make(map[string]seen, len(a.seen))
	wanted := func(name string) bool { _, ok := byName[fileOf(name)]; return ok && isAnswer(name) }
	err = b.cfg.Inbox.Each(ctx, wanted,
		func(name string, modified time.Time, size int64, open func() (io.ReadCloser, error)) error {
			looks, before := seen{modified: modified, size: size}, a.seen[name]
			if settled := before.modified.Equal(modified) && before.size == size; settled {
				looks.done = before.done
				if !before.done {
					raw, err := readAnswer(open)
					if err != nil {
						return fmt.Errorf("reading %s: %w", name, err)
					}
					broken = a.handle(ctx, feed, byName[fileOf(name)], name, modified, raw)
					looks.done = broken == nil
				}
			}
			found[name] = looks
			return broken
		})
	a.seen = found
	if broken != nil || ctx.Err() != nil {
		return errors.Join(broken, ctx.Err())
	}
	if err != nil {
		b.log.Warn("looking for acknowledgement files", "error", err)
	}
	return nil
}

// fileOf is the name of the file that an answer is about.
func fileOf(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

func isAnswer(name string) bool {
	switch path.Ext(name) {
	case ".ack", ".nak", ".rej":
		return true
	}
	return false
}

func (a *answers) handle(
	ctx context.Context,
	feed Feed,
	file delivery.StoredFile,
	name string,
	modified time.Time,
	raw []byte,
) (err error) {
	sum := sha256.Sum256(raw)
	answer := delivery.Answer{Name: name, ModifiedAt: modified, SHA256: hex.EncodeToString(sum[:])}
	switch path.Ext(name) {
	case ".ack":
		answer.Kind = delivery.AnswerAccepted
	case ".nak":
		line, _, _ := strings.Cut(string(raw), "\n")
		answer.Kind, answer.Reason = delivery.AnswerRejected, line
	default:
		answer.Kind = delivery.AnswerPartly
		reasons, unreadable := rejections(raw, file.Rows)
		if unreadable != nil {
			answer.Kind, answer.Reason = delivery.AnswerRejected, delivery.UnreadableAnswer(name, unreadable.Error())
		} else if answer.Rows, err = a.rejected(ctx, file, reasons); err != nil {
			return err
		}
	}
	news, err := feed.Answered(ctx, file, answer)
	if err == nil && news {
		a.batch.log.Info("the receiver answered", "name", name, "answer", answer.Kind, "rows", len(answer.Rows))
	}
	return err
}

func readAnswer(open func() (io.ReadCloser, error)) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxAnswer))
}

// rejected finds the bytes of rows in their file.
func (a *answers) rejected(
	ctx context.Context,
	file delivery.StoredFile,
	reasons map[int64]string,
) ([]delivery.RejectedRow, error) {
	stored, err := a.batch.cfg.Files.Open(ctx, file.ID)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	var rows []delivery.RejectedRow
	_, err = split(stored, file.Format, func(number int64, raw []byte) error {
		if why, ok := reasons[number]; ok {
			rows = append(rows, delivery.RejectedRow{Row: number, Reason: why, Payload: bytes.Clone(raw)})
		}
		return nil
	})
	if err == nil && len(rows) != len(reasons) {
		err = fmt.Errorf("%d of %d rows are not in the file", len(reasons)-len(rows), len(reasons))
	}
	return rows, err
}

// rejections reads csv with the header row,reason.
func rejections(raw []byte, rows int64) (map[int64]string, error) {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, bom)))
	in.FieldsPerRecord = 2
	header, err := in.Read()
	if err != nil || header[0] != "row" || header[1] != "reason" {
		return nil, errors.New("its first line must be row,reason")
	}
	found := map[int64]string{}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("a line is not two values of csv")
		}
		number, err := strconv.ParseInt(strings.TrimSpace(record[0]), 10, 64)
		if err != nil || number < 1 || number > rows {
			return nil, fmt.Errorf("a row is none of 1 to %d", rows)
		}
		found[number] = record[1]
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("it names no row")
	case len(found) > maxRejected:
		return nil, fmt.Errorf("it names more than %d rows: reject the file instead", maxRejected)
	}
	return found, nil
}
