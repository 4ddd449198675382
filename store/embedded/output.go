package embedded

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
)

// output reads what a server says: each line goes to the log, the last fatal one explains its end.
type output struct {
	reader, writer *os.File
	log            *slog.Logger
	fatal          chan string
}

// captureOutput gives cmd a pipe of its own: cmd.Wait would wait for every process that holds the other kind.
func captureOutput(cmd *exec.Cmd, log *slog.Logger) (*output, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	return &output{reader: reader, writer: writer, log: log, fatal: make(chan string, 1)}, nil
}

// started closes the parent's end and begins to read.
func (o *output) started() {
	_ = o.writer.Close()
	go func() {
		defer o.reader.Close()
		defer close(o.fatal)
		lines := bufio.NewReader(io.LimitReader(o.reader, 1<<40))
		for {
			line, err := lines.ReadString('\n')
			o.handle(strings.TrimSpace(line))
			if err != nil {
				return
			}
		}
	}()
}

func (o *output) handle(line string) {
	switch {
	case line == "":
	case strings.Contains(line, "starting up"), strings.Contains(line, "shutting down"), strings.Contains(line, "recovery mode"),
		strings.Contains(line, "not yet accepting"), strings.Contains(line, "due to administrator command"):
		o.log.Debug("postgres", "says", line) // what every start and stop answers to early and late callers
	default:
		o.log.Warn("postgres", "says", line)
		if strings.Contains(line, "FATAL:") || strings.Contains(line, "PANIC:") {
			select { // only the last one matters
			case <-o.fatal:
			default:
			}
			o.fatal <- line // this goroutine is the only sender: there is room now
		}
	}
}

// explain adds the server's own words to the error of its end.
func (o *output) explain(err error) error {
	select {
	case line := <-o.fatal:
		if strings.Contains(line, "pre-existing shared memory block") {
			return fmt.Errorf("%w: %s", errSharedMemory, line)
		}
		if line != "" {
			return fmt.Errorf("%w: %s", err, line)
		}
	case <-time.After(300 * time.Millisecond): // left-over processes hold the pipe open
	}
	return err
}
