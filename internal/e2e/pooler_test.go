package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

// A pool that lends a session for a transaction only is recognised at the start, also where it swallows what it does not know.
func TestAPoolerInTransactionModeIsRefused(t *testing.T) {
	t.Parallel()
	database := storetest.New(t)
	for name, settings := range map[string][]string{"transaction": {"pool_mode = transaction"}, "statement": {"pool_mode = statement"},
		"transaction, in turn":  {"pool_mode = transaction", "server_round_robin = 1", "ignore_startup_parameters = search_path, jit, options, extra_float_digits"},
		"transaction, one only": {"pool_mode = transaction", "default_pool_size = 1"}, "session, one only": {"pool_mode = session", "default_pool_size = 1", "query_wait_timeout = 2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := services.StartPgBouncer(t, database, settings...)
			for _, args := range []string{"serve", "migrate", "doctor"} {
				code, output := runProgram(t, dsn, args)
				if code == 0 || !strings.Contains(output, "connection pooler") || !strings.Contains(output, "give the address of Postgres itself") || strings.Contains(output, "panic") {
					t.Errorf("%s: code %d: %s", args, code, output)
				}
				if strings.Count(strings.TrimSpace(output), "\n") > 3 {
					t.Errorf("%s says more than a sentence: %s", args, output)
				}
			}
		})
	}
}

// What is sent in the URL and a pooler does not know is said in the same words.
func TestAPoolerThatTakesNoSettings(t *testing.T) {
	dsn := services.StartPgBouncer(t, storetest.New(t), "pool_mode = session")
	code, output := runProgram(t, dsn+"&geqo=off", "migrate")
	if code == 0 || !strings.Contains(output, "connection pooler") || !strings.Contains(output, "geqo") {
		t.Errorf("code %d: %s", code, output)
	}
}

// A pool in session mode is like the server itself.
func TestAPoolerInSessionModeWorks(t *testing.T) {
	receiver := newLedger(t)
	database := storetest.New(t)
	dsn := services.StartPgBouncer(t, database, "pool_mode = session", "default_pool_size = 60")
	serve(t, "DATABASE_URL="+dsn, configFile(t, strings.Replace(block(t, "yaml", "integrations:"), "http://127.0.0.1:9000", receiver.URL, 1)))
	conn := connect(t, database)
	if _, err := conn.Exec(context.Background(), block(t, "sql", "redrive.enqueue")); err != nil {
		t.Fatal(err)
	}
	await(t, "an event by the relay, which needs a lock of its session, and a command", func() bool { _, keys := receiver.requests(); return keys == 2 })
}

// runProgram runs a command to its end.
func runProgram(t *testing.T, dsn string, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // what is not refused goes on serving
	defer cancel()
	cmd := command(ctx, t, args, "DATABASE_URL="+dsn)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
