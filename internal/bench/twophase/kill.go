package twophase

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const gonePoll = 2 * time.Millisecond

// kill ends processes of one way at random moments and counts what they leave.
func (a *arena) kill(ctx context.Context, w way) (Damage, error) {
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	first := a.number.Load()
	damage := Damage{}
	for range a.Kills {
		died, err := a.killOnce(ctx, w)
		if err != nil {
			return damage, err
		}
		if died {
			damage.Kills++
		}
		if err := a.countOrphans(ctx, &damage); err != nil {
			return damage, err
		}
	}
	return damage, a.compare(ctx, w, first, &damage)
}

// killOnce lets a process die within its third transaction, at a moment of chance; the second one says how long one takes.
func (a *arena) killOnce(ctx context.Context, w way) (died bool, err error) {
	h, err := a.hands(ctx, a.run)
	if err != nil {
		return false, err
	}
	defer h.close(ctx)
	var began time.Time
	for range 2 {
		began = time.Now()
		if err := w.once(ctx, h, a.number.Add(1)); err != nil {
			return false, err
		}
	}
	timer := time.AfterFunc(rand.N(time.Since(began)), h.die)
	died = w.once(ctx, h, a.number.Add(1)) != nil
	timer.Stop()
	h.close(ctx)
	if ctx.Err() != nil {
		return died, ctx.Err()
	}
	return died, a.awaitEnd(ctx)
}

// awaitEnd waits until the server has noticed: a statement that had arrived is still carried out.
func (a *arena) awaitEnd(ctx context.Context) error {
	conn, err := a.connect(ctx, a.config.Database, "redrive bench 2pc")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var left int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, a.run).
			Scan(&left); err != nil ||
			left == 0 {
			return err
		}
		time.Sleep(gonePoll)
	}
}

// countOrphans counts what is prepared and makes room: the server's slots are few. A committed half keeps its message, which
// is what a person would decide; what is lost until then is counted as orphan, not as lost.
func (a *arena) countOrphans(ctx context.Context, d *Damage) error {
	orphans, err := a.orphans(ctx)
	d.Orphans += len(orphans)
	if err != nil || len(orphans) == 0 {
		return err
	}
	return a.settle(ctx)
}

type orphan struct {
	gid, database string
	n             int64
}

func (a *arena) orphans(ctx context.Context) ([]orphan, error) {
	conn, err := a.connect(ctx, a.config.Database, "redrive bench 2pc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx,
		`SELECT gid, database, split_part(gid, '-', 4)::bigint FROM pg_prepared_xacts WHERE starts_with(gid, $1 || '-')`,
		a.run)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (o orphan, err error) {
		return o, row.Scan(&o.gid, &o.database, &o.n)
	})
}

// settle ends prepared transactions: what has a committed half is committed, the rest rolled back.
func (a *arena) settle(ctx context.Context) error {
	left, err := a.orphans(ctx)
	if err != nil {
		return err
	}
	for _, o := range left {
		committed, err := a.numbers(ctx, a.config.Database,
			fmt.Sprintf(`SELECT n FROM redrive_bench_2pc.orders WHERE n = %d`, o.n))
		if err != nil {
			return err
		}
		verb := "ROLLBACK PREPARED"
		if len(committed) > 0 {
			verb = "COMMIT PREPARED"
		}
		if err := a.exec(ctx, o.database, verb+" '"+o.gid+"'"); err != nil {
			return err
		}
	}
	return nil
}

// compare holds the business rows since the first kill against the messages.
func (a *arena) compare(ctx context.Context, w way, first int64, d *Damage) error {
	orders, err := a.numbers(ctx, a.config.Database, fmt.Sprintf(`SELECT n FROM redrive_bench_2pc.orders WHERE n > %d`, first))
	if err != nil {
		return err
	}
	database := a.config.Database
	if w.elsewhere {
		database = a.other()
	}
	messages, err := a.numbers(ctx, database, enqueued)
	if err != nil {
		return err
	}
	for n := range orders {
		if !messages[n] {
			d.Lost++
		}
	}
	for n := range messages {
		if n > first && !orders[n] {
			d.Ghosts++
		}
	}
	return nil
}

func (a *arena) numbers(ctx context.Context, database, query string) (map[int64]bool, error) {
	conn, err := a.connect(ctx, database, "redrive bench 2pc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	set := make(map[int64]bool, len(found))
	for _, n := range found {
		set[n] = true
	}
	return set, err
}
