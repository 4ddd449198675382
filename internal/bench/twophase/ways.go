package twophase

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// way writes one business row and announces it. The message is the same work in each: redrive.enqueue.
type way struct {
	name, risk string
	once       func(ctx context.Context, h *hands, n int64) error
	elsewhere  bool // the message goes to the second database
}

const (
	insertOrder = `INSERT INTO redrive_bench_2pc.orders (n, note) VALUES ($1, 'two books')`
	enqueue     = `SELECT redrive.enqueue('` + integration + `', 'bench.order', '{"order": "two books"}', $1::bigint::text)`
	enqueued    = `SELECT key::bigint FROM redrive.messages WHERE integration = '` + integration + `' AND type = 'bench.order'`
)

var ways = []way{
	{name: "outbox", once: outbox, risk: "nothing: row and message are one transaction"},
	{
		name:      "two-phase commit",
		once:      twoPhase,
		elsewhere: true,
		risk:      "nothing for good, but whoever dies in between leaves prepared transactions: locks stay, vacuum stands still, a person decides",
	},
	{name: "publish after commit", once: afterCommit, elsewhere: true,
		risk: "the message of a committed row, when the process dies in between"},
}

func outbox(ctx context.Context, h *hands, n int64) error {
	return pgx.BeginFunc(ctx, h.shop, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertOrder, n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, enqueue, n)
		return err
	})
}

func afterCommit(ctx context.Context, h *hands, n int64) error {
	if _, err := h.shop.Exec(ctx, insertOrder, n); err != nil { // commits
		return err
	}
	_, err := h.other.Exec(ctx, enqueue, n)
	return err
}

// twoPhase is the textbook: both prepare, then both commit.
func twoPhase(ctx context.Context, h *hands, n int64) error {
	sides := []struct {
		conn  *pgx.Conn
		write string
		gid   string
	}{{h.shop, insertOrder, transactionID(h.run, n, "shop")}, {h.other, enqueue, transactionID(h.run, n, "other")}}
	for _, side := range sides {
		if _, err := side.conn.Exec(ctx, "BEGIN"); err != nil {
			return err
		}
		if _, err := side.conn.Exec(ctx, side.write, n); err != nil {
			return err
		}
	}
	for _, phase := range []string{"PREPARE TRANSACTION", "COMMIT PREPARED"} {
		for _, side := range sides {
			if _, err := side.conn.Exec(ctx, phase+" '"+side.gid+"'"); err != nil { // takes no parameters
				return err
			}
		}
	}
	return nil
}

// transactionID holds letters, digits and dashes only.
func transactionID(run string, n int64, side string) string {
	return fmt.Sprintf("%s-%d-%s", run, n, side)
}
