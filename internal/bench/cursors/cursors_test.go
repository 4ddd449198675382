package cursors

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestThreeCursors(t *testing.T) {
	var out bytes.Buffer
	report, err := Run(t.Context(), Options{DSN: storetest.New(t), Rows: 1500, Rate: 500, Duration: 10 * time.Second, Long: time.Second, Producers: 4, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	if len(report) != 3 || strings.Count(out.String(), "\n") != 4 {
		t.Fatalf("%d lines", len(report))
	}
	lastID, oldest, ours := report[0], report[1], report[2]
	if lastID.Missed == 0 || ours.Events < 1500 {
		t.Errorf("with transactions that commit out of order the last id missed nothing: %+v", lastID)
	}
	if oldest.Missed+oldest.Doubled != 0 || ours.Missed+ours.Doubled != 0 {
		t.Errorf("oldest transaction %+v, the relay %+v", oldest, ours)
	}
	if ours.P99 >= oldest.P99 {
		t.Errorf("the relay stalls behind long transactions: p99 %s, the other %s", ours.P99, oldest.P99)
	}
}
