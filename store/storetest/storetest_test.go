package storetest_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestNewIsMigratedAndPrivate(t *testing.T) {
	first, second := storetest.New(t), storetest.New(t)
	if first == second {
		t.Fatal("two tests share one database")
	}
	exec(t, first, "CREATE TABLE redrive.only_here ()")
	if has(t, second, "redrive.only_here") {
		t.Error("a table of one test is seen by another")
	}
	if !has(t, second, "redrive.messages") {
		t.Error("the schema is missing")
	}
}

func TestEmptyHasNoSchema(t *testing.T) {
	if has(t, storetest.Empty(t), "redrive.messages") {
		t.Error("the schema is there already")
	}
}

func TestDatabasesAreMadeInParallelAndDropped(t *testing.T) {
	var mu sync.Mutex
	var made []string
	t.Run("group", func(t *testing.T) {
		for range 6 {
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				dsn := storetest.New(t)
				exec(t, dsn, "SELECT 1")
				mu.Lock()
				defer mu.Unlock()
				made = append(made, dsn)
			})
		}
	})
	for _, dsn := range made {
		if conn, err := pgx.Connect(context.Background(), dsn); err == nil {
			_ = conn.Close(context.Background())
			t.Errorf("%s outlives its test", conn.Config().Database)
		}
	}
	if len(made) != 6 {
		t.Errorf("%d databases, want 6", len(made))
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, dsn, statement string) {
	t.Helper()
	if _, err := connect(t, dsn).Exec(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, dsn, table string) (found bool) {
	t.Helper()
	if err := connect(t, dsn).QueryRow(context.Background(), "SELECT to_regclass($1) IS NOT NULL", table).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}
