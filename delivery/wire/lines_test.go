package wire

import (
	"bytes"
	"encoding/json"
	"log"
	"log/slog"
	"testing"
)

func TestLinesOfLibrariesAreEvents(t *testing.T) {
	before, flags, writer := slog.Default(), log.Flags(), log.Writer()
	t.Cleanup(func() { slog.SetDefault(before); log.SetFlags(flags); log.SetOutput(writer) })
	var out bytes.Buffer
	AdoptLines(slog.New(slog.NewJSONHandler(&out, nil)))
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "s3cr3t \"\n", "<nil>")
	var event map[string]any
	if err := json.Unmarshal(out.Bytes(), &event); err != nil || event["level"] != "WARN" ||
		event["text"] != `Unsolicited response received on idle HTTP channel starting with "…"; err=<nil>` {
		t.Errorf("%s: %v", out.Bytes(), err)
	}
	out.Reset()
	slog.Info("a library of today")
	if err := json.Unmarshal(out.Bytes(), &event); err != nil || event["msg"] != "a library of today" {
		t.Errorf("%s: %v", out.Bytes(), err)
	}
}
