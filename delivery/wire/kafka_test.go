package wire

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKafkaLogHidesThePassword(t *testing.T) {
	var out bytes.Buffer
	log := kafkaLog{log: slog.New(slog.NewTextHandler(&out, nil)), secrets: []string{"", "s3cret"}}
	log.Log(kgo.LogLevelError, "sign-in with s3cret", "err", errors.New("no s3cret"), "left over")
	if text := out.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "(hidden)") {
		t.Error(text)
	}
}
