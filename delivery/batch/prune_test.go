package batch_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/batch"
)

func TestOldBytesGoWithTheirMessages(t *testing.T) {
	b := newDesk(t, delivery.FileFormat{Kind: delivery.FileCSV, Header: true})
	old, rejected, waiting := b.now(), b.now(), b.now()
	for _, f := range []delivery.StoredFile{old, rejected, waiting} {
		b.sent(f)
	}
	b.answer(rejected.Name+".rej", "row,reason\n1,no\n")
	b.rejected(1)
	b.sql("UPDATE redrive.batch_files SET created_at = created_at - interval '2 days'")
	b.sql("DELETE FROM redrive.messages WHERE id IN ($1, $2)", old.ID, rejected.ID) // as retention does, in a longer way
	other := openBed(t, b.dsn, func(in *delivery.Integration) { *in = b.in })
	b.stop() // who begins to lead prunes
	other.start(func(c *batch.Config) { c.Keep = 24 * time.Hour })
	b.wait("old bytes gone", func() bool {
		_, err := b.Files().Open(context.Background(), old.ID)
		return errors.Is(err, fs.ErrNotExist)
	})
	b.content(rejected)
	b.content(waiting)
}
