package source

import (
	"context"
	"strconv"
	"strings"

	"redrive/delivery"
)

// Unseen returns which of these transactions a query does not see yet. A commit stands in the log, and comes by the stream, a
// moment before it is seen, or much later where the source waits for a standby.
func (s *Source) Unseen(ctx context.Context, xids []uint32) (unseen []uint32, err error) {
	var xmax, running string
	err = s.pool.QueryRow(ctx, `SELECT split_part(p, ':', 2), split_part(p, ':', 3) FROM (SELECT pg_current_snapshot()::text) s(p)`).
		Scan(&xmax, &running)
	if err != nil {
		return nil, delivery.Fault("asking.transactions", "why", err)
	}
	end, err := strconv.ParseUint(xmax, 10, 64)
	if err != nil {
		return nil, delivery.Fault("asking.transactions", "why", err)
	}
	open := map[uint32]bool{}
	for _, text := range strings.Split(running, ",") {
		if xid, err := strconv.ParseUint(text, 10, 64); err == nil {
			open[uint32(xid)] = true // the stream's numbers have 32 bits
		}
	}
	for _, xid := range xids {
		if open[xid] || int32(xid-uint32(end)) >= 0 {
			unseen = append(unseen, xid)
		}
	}
	return unseen, nil
}
