package bench

import (
	"fmt"
	"text/tabwriter"
	"time"
)

func (r *runner) print(report Report) error {
	table := tabwriter.NewWriter(r.Out, 0, 0, 2, ' ', 0)
	t := report.Throughput
	fmt.Fprintf(table, "throughput\t%.0f deliveries/s\t%d messages of %d bytes in %s, %d at a time, %d duplicates\n",
		t.PerSecond(), t.Messages, max(r.PayloadBytes, numberDigits), t.Took.Round(time.Millisecond), r.Concurrency,
		t.Duplicates)
	for _, row := range []struct {
		name string
		Latency
	}{{"latency, engine woken", report.Woken}, {"latency, engine polling", report.Polling}} {
		fmt.Fprintf(table, "%s\tp50 %s  p99 %s\tmax %s, %d messages at %.0f/s, from commit to arrival\n",
			row.name, millis(row.P50), millis(row.P99), millis(row.Max), row.Messages, row.PerSecond)
	}
	return table.Flush()
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
