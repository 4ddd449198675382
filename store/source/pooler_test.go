package source_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

// A pool may let everything through but replication: that is said in a sentence, before anything is set up. Where the replication
// that was asked for is passed over without a word, the server takes its commands for SQL.
func TestReplicationThroughAPooler(t *testing.T) {
	for name, settings := range map[string][]string{
		"session":                  {"pool_mode = session"},
		"session, passing it over": {"pool_mode = session", "ignore_startup_parameters = replication, extra_float_digits"},
		"transaction":              {"pool_mode = transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			b := lay(t, storetest.Empty(t), contentTable, "content")
			b.setUp()
			through := b.settings
			through.URL = services.StartPgBouncer(t, b.dsn, settings...)
			src := b.open(through)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // nothing hangs
			defer cancel()
			_, err := src.Stream(ctx, 0)
			said := map[string]error{"stream": err}
			_, said["set-up"] = src.SetUp(ctx)
			findings, err := src.Check(ctx)
			if n := slices.IndexFunc(findings, func(f delivery.CaptureFinding) bool { return f.What.English() == "replication connection" }); n >= 0 {
				said["check"] = errors.New(findings[n].Err.English())
			} else {
				said["check"] = err
			}
			for what, err := range said {
				if err == nil || !strings.Contains(err.Error(), "connection pooler") || !strings.Contains(err.Error(), "give the address of Postgres itself") ||
					name != "transaction" && (strings.Contains(err.Error(), "a pool in session mode") || !strings.Contains(err.Error(), "passes no replication on")) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}
