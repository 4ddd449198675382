package bench

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"redrive/store"
	"redrive/store/storetest"
)

func TestRunCDCMeasuresAndLeavesNothing(t *testing.T) {
	dsn := storetest.Cluster(t).DSN("redrive")
	db, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Migrate(t.Context())
	if db.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	report, err := RunCDC(t.Context(), CDCOptions{DSN: dsn, Changes: 500, Rate: 200, Concurrency: 8, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if report.Raw <= 0 || report.Captured <= 0 || report.Delivered < report.Captured || report.Latency.Messages != 500 || report.Latency.P50 <= 0 {
		t.Errorf("%+v", report)
	}
	if strings.Count(out.String(), "\n") != 4 {
		t.Error(out.String())
	}
	var slots, tables, dead int
	err = connect(t, dsn).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_tables WHERE tablename = $1),
		(SELECT count(*) FROM redrive.deliveries WHERE state = 'dead')`, cdcTable).Scan(&slots, &tables, &dead)
	if err != nil || slots != 0 || tables != 0 || dead != 0 {
		t.Errorf("%d slots, %d tables, %d dead: %v", slots, tables, dead, err)
	}
}
