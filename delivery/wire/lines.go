package wire

import (
	"io"
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// AdoptLines makes log the place of what libraries write to the standard logger: net/http has no other for some of its lines. What
// they quote comes from outside and may be a payload or a secret: it is left out.
func AdoptLines(to *slog.Logger) {
	slog.SetDefault(to)
	log.SetFlags(0)
	log.SetOutput(lines{to})
}

// lines makes one event of each write, which is one line of the standard logger.
type lines struct{ to *slog.Logger }

var _ io.Writer = lines{}

var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Write implements io.Writer.
func (l lines) Write(line []byte) (int, error) {
	l.to.Warn("a library reports", "text", quotation.ReplaceAllString(strings.TrimSpace(string(line)), `"…"`))
	return len(line), nil
}
