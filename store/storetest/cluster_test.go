package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
	"redrive/store/storetest/patience"
)

func TestClusterOutlivesStopAndKill(t *testing.T) {
	c := storetest.Cluster(t, "max_slot_wal_keep_size=3MB")
	dsn := c.DSN("postgres")
	exec(t, dsn, "CREATE TABLE kept AS SELECT current_setting('wal_level') level, current_setting('max_slot_wal_keep_size') keep")
	c.Restart()
	if c.DSN("postgres") != dsn {
		t.Error("the address has changed")
	}
	began := started(t, dsn)
	exec(t, dsn, "INSERT INTO kept VALUES ('after', 'restart')")
	c.Kill()
	for deadline := time.Now().Add(patience.Limit); !started(t, dsn).After(began); {
		if time.Now().After(deadline) {
			t.Fatal("the killed server does not come back")
		}
	}
	conn := connect(t, dsn)
	var rows int
	var level, keep string
	if err := conn.QueryRow(t.Context(), "SELECT count(*), min(level), min(keep) FROM kept").Scan(&rows, &level, &keep); err != nil {
		t.Fatal(err)
	}
	if rows != 2 || level != "after" || keep != "3MB" {
		t.Errorf("%d rows, %s, %s", rows, level, keep)
	}
}

// started is when the server began, the zero time while it is away.
func started(t *testing.T, dsn string) (at time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return at
	}
	defer conn.Close(ctx)
	_ = conn.QueryRow(ctx, "SELECT pg_postmaster_start_time()").Scan(&at) // it may be killed meanwhile
	return at
}
