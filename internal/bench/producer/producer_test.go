package producer

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestThreeWays(t *testing.T) {
	dsn := storetest.New(t)
	var out bytes.Buffer
	report, err := Run(t.Context(), Options{DSN: dsn, Clients: 2, Rounds: 1, Round: 300 * time.Millisecond, Scale: 1, PayloadBytes: 10, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	if len(report) != 5 || !strings.Contains(out.String(), "publish") {
		t.Fatalf("%d lines", len(report))
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for n, kind := range []string{"", "command", "event"} {
		if report[n].PerSecond <= 0 || report[n].P99 < report[n].P50 {
			t.Errorf("%+v", report[n])
		}
		var written int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM redrive.messages WHERE kind = $1", kind).Scan(&written); err != nil || (written > 0) != (kind != "") {
			t.Errorf("%s wrote %d messages: %v", report[n].Way, written, err)
		}
	}
}
