package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// File is a file that each checkpoint is added to, with an empty line behind it.
type File struct{ Path string }

// Name says what the place is.
func (f File) Name() string { return "file" }

// Publish adds the checkpoint and waits until it lies on the disk.
func (f File) Publish(_ context.Context, signed string, _ int64) error {
	file, err := os.OpenFile(f.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(signed + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}

// LogLine is a line of the program's log.
type LogLine struct{ Log *slog.Logger }

// Name says what the place is.
func (LogLine) Name() string { return "log" }

// Publish writes the line.
func (l LogLine) Publish(_ context.Context, signed string, _ int64) error {
	c, err := Unsigned(signed)
	l.Log.Info("audit checkpoint", "size", c.Size, "root", c.Root.String(), "note", signed)
	return err
}

// Webhook is an address that checkpoints are posted to.
type Webhook struct {
	URL    string
	Client *http.Client
}

// Name says what the place is.
func (Webhook) Name() string { return "webhook" }

// Publish posts the checkpoint.
func (w Webhook) Publish(ctx context.Context, signed string, _ int64) error {
	_, _, err := post(ctx, w.Client, w.URL, "text/plain; charset=utf-8", []byte(signed))
	return err
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 16 << 10

// statusError is an answer that refuses.
type statusError int

func (s statusError) Error() string { return "it answers " + strconv.Itoa(int(s)) }

// post returns what an address answers; an answer that is no success is a statusError. Errors do not name the address, which may have secrets in it.
func post(ctx context.Context, client *http.Client, url, mediaType string, body []byte) (text string, header http.Header, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", nil, errors.New("its address is none")
	}
	request.Header.Set("Content-Type", mediaType)
	answer, err := client.Do(request)
	if err != nil {
		return "", nil, unwrapped(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && answer.StatusCode/100 != 2 {
		err = statusError(answer.StatusCode)
	}
	return string(raw), answer.Header, err
}

// unwrapped is the error within one that names an address.
func unwrapped(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// Witness is a witness that cosigns checkpoints which continue those that it saw: C2SP tlog-witness.
type Witness struct {
	URL    string // of the witness; add-checkpoint stands below it
	Key    note.Verifier
	Client *http.Client
	Store  Store
}

// Name says what the place is.
func (w Witness) Name() string { return "witness " + w.Key.Name() }

// Publish has the checkpoint cosigned and keeps the cosignature. A witness that saw another size says so, and is asked again from there.
func (w Witness) Publish(ctx context.Context, signed string, had int64) error {
	answer, header, err := w.ask(ctx, signed, had)
	if errors.Is(err, statusError(http.StatusConflict)) && header.Get("Content-Type") == "text/x.tlog.size" {
		size, wrong := strconv.ParseInt(strings.TrimSpace(answer), 10, 64)
		if wrong != nil || size < 0 {
			return errors.New("it answers with a size that is none")
		}
		answer, _, err = w.ask(ctx, signed, size)
	}
	if err != nil {
		return err
	}
	line, err := Cosignature(signed, answer, w.Key)
	if err != nil {
		return err
	}
	c, err := Unsigned(signed)
	if err != nil {
		return err
	}
	return w.Store.KeepCosignature(ctx, c.Size, w.Key.Name(), line)
}

func (w Witness) ask(ctx context.Context, signed string, old int64) (string, http.Header, error) {
	c, err := Unsigned(signed)
	if err != nil {
		return "", nil, err
	}
	if old > c.Size {
		return "", nil, fmt.Errorf("it has seen %d entries, the audit has %d: it was rolled back", old, c.Size)
	}
	proof, err := w.Store.Consistency(ctx, old, c.Size)
	if err != nil {
		return "", nil, err
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	for _, h := range proof {
		fmt.Fprintln(&body, h)
	}
	fmt.Fprintf(&body, "\n%s", signed)
	return post(ctx, w.Client, strings.TrimRight(w.URL, "/")+"/add-checkpoint", "text/plain; charset=utf-8", body.Bytes())
}
