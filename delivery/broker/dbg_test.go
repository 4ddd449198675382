package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"redrive/delivery"
)

type timed struct {
	Store
	in, inN, inT, se, seN, seT atomic.Int64
}

func (t *timed) Inbox(ctx context.Context, in string, keys []string) (map[string]delivery.InboxState, error) {
	b := time.Now()
	defer func() { t.in.Add(1); t.inN.Add(int64(len(keys))); t.inT.Add(int64(time.Since(b))) }()
	return t.Store.Inbox(ctx, in, keys)
}
func (t *timed) Settle(ctx context.Context, in string, d []string, f []delivery.Parked) error {
	b := time.Now()
	defer func() { t.se.Add(1); t.seN.Add(int64(len(d))); t.seT.Add(int64(time.Since(b))) }()
	return t.Store.Settle(ctx, in, d, f)
}
func (t *timed) print() {
	fmt.Printf("inbox %d calls, %d keys, %s each; settle %d calls %d keys %s each\n", t.in.Load(), t.inN.Load(), time.Duration(t.inT.Load()/max(t.in.Load(), 1)), t.se.Load(), t.seN.Load(), time.Duration(t.seT.Load()/max(t.se.Load(), 1)))
}
