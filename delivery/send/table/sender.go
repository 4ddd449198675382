// Package tablesend puts the rows of batches into tables of other databases. The statements are the store's.
package tablesend

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	"redrive/delivery"
	"redrive/delivery/form"
)

// Files is where the bytes of files are kept until they are sent.
type Files = form.Files

// Apply puts a file's rows into a table, once, and says what happened.
type Apply func(ctx context.Context, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) delivery.Result

// Sender sends to one table.
type Sender struct {
	to    delivery.TableDestination
	files Files
	apply Apply
}

var _ delivery.Sender = (*Sender)(nil)

// New makes the sender of a destination; nothing is dialled yet.
func New(to delivery.TableDestination, files Files, apply Apply) *Sender {
	return &Sender{to: to, files: files, apply: apply}
}

// Send makes one attempt. Its outcome is never unknown: a file that was applied is noted beside the table.
func (s *Sender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	var f delivery.BatchFile
	if err := json.Unmarshal(r.Message.Payload, &f); err != nil || f.ID == "" {
		return delivery.Result{
			Outcome:    delivery.OutcomePermanent,
			ErrorClass: delivery.ClassBadRequest,
			Error:      "the message describes no file",
		}
	}
	rows, err := s.files.Open(ctx, f.ID)
	if err != nil {
		return delivery.Result{
			Outcome:    delivery.OutcomeTransient,
			ErrorClass: delivery.ClassConnect,
			Error:      "the stored file cannot be read",
		}
	}
	defer rows.Close()
	result := s.apply(ctx, s.to, f, rows)
	if r.Tells(result) {
		result.Exchange = &delivery.Exchange{Facts: []delivery.HeaderLine{
			{delivery.FactTable, delivery.TableName(s.to.Schema, s.to.Table)}, {delivery.FactRows, strconv.FormatInt(f.Rows, 10)}}}
	}
	return result
}

// Close implements delivery.Sender: every attempt has its own connection.
func (s *Sender) Close() error { return nil }
