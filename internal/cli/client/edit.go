package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"redrive/delivery"
	"redrive/delivery/programs"
)

// Edit changes the payload of a failure.
type Edit struct {
	Server
	Output
	ID     string `arg:"" help:"Id of the failure."`
	File   string `       help:"Take the new payload from this file, - for the standard input, instead of opening an editor."`
	Null   bool   `       help:"Send no payload at all (null), which is not the same as an empty one."`
	Reason string `       help:"Why; the audit keeps it. Without it you are asked."`
}

// Run edits, and retries with the result.
func (c *Edit) Run(ctx context.Context, t *Terminal) error {
	if c.Reason == "" && (!t.Asks || c.File == "-") {
		return misused("--reason: say why, the audit keeps it")
	}
	if c.Null && c.File != "" {
		return misused("--null and --file: give one of them")
	}
	d, _, err := c.detail(ctx, c.ID)
	if err != nil {
		return err
	}
	before, ok := d.sent().bytes()
	if !ok && c.File == "" && !c.Null {
		return said("this payload cannot be shown to you: give a whole new one by --file")
	}
	after, kept, ctx, done, err := c.edited(ctx, t, before)
	if err != nil {
		return err
	}
	defer done()
	if err := c.send(ctx, t, d, before, after); err != nil {
		if kept != "" && !errors.Is(err, errUnchanged) {
			return keptError{err, kept}
		}
		forget(kept)
		return err
	}
	forget(kept)
	return nil
}

var errUnchanged = said("the payload was not changed: nothing is sent; to try the same again, redrive failures retry")

// keptError says where the text is that was not sent.
type keptError struct {
	error
	path string
}

func (e keptError) Error() string { return e.error.Error() + " Your text is kept in " + e.path }
func (e keptError) Unwrap() error { return e.error }

func (c *Edit) send(ctx context.Context, t *Terminal, d detail, before, after []byte) error {
	typed := c.File == "" && !c.Null // into an editor, where no payload looks like an empty one
	switch {
	case bytes.Equal(before, after) && (typed || (before == nil) == (after == nil)):
		return errUnchanged
	case len(after) > delivery.MaxPayload:
		return misused("the payload has %d bytes; %s are allowed", len(after), delivery.PayloadLimit)
	}
	reason := c.Reason
	if reason == "" {
		var err error
		if reason, err = t.ask(ctx, "Why? "); err != nil {
			return err
		}
	}
	var f failure
	body := map[string]any{"payload_base64": base64.StdEncoding.EncodeToString(after), "reason": reason, "version": d.Version}
	if c.Null {
		delete(body, "payload_base64")
		body["payload_null"] = true
	}
	raw, err := c.post(ctx, "/failures/"+d.ID+"/edit", body, &f)
	if err == nil {
		c.Output.print(t, raw, f)
	}
	return err
}

// edited returns the new payload, the file that has it while it is not sent, and the context to go on with: an editor may be left by
// keys that interrupt programs.
func (c *Edit) edited(
	ctx context.Context,
	t *Terminal,
	before []byte,
) (after []byte, kept string, next context.Context, done func(), err error) {
	if c.Null {
		return nil, "", ctx, func() {}, nil
	}
	switch c.File {
	case "":
	case "-":
		after, err = io.ReadAll(io.LimitReader(t.In, delivery.MaxPayload+1))
		return after, "", ctx, func() {}, err
	default:
		if after, err = os.ReadFile(c.File); err != nil {
			err = misused("--file: %s", visible(err.Error()))
		}
		return after, "", ctx, func() {}, err
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	if kept, err = t.openEditor(before); err == nil {
		after, err = os.ReadFile(kept)
	}
	if err != nil {
		forget(kept)
		return nil, "", ctx, nil, said("editing: %s", err)
	}
	next, done = signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
	return withoutAddedNewline(before, after), kept, next, done, nil
}

// withoutAddedNewline takes away the line end that most editors add to a last line without one.
func withoutAddedNewline(before, after []byte) []byte {
	if bytes.HasSuffix(before, []byte("\n")) {
		return after
	}
	return bytes.TrimSuffix(after, []byte("\n"))
}

// openEditor lets the person edit a file that only they can read, and returns its path.
func (t *Terminal) openEditor(content []byte) (path string, err error) {
	command := []string{"vi"}
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if words := strings.Fields(os.Getenv(name)); len(words) > 0 {
			command = words
			break
		}
	}
	dir, err := os.MkdirTemp("", "redrive-edit-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "payload")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return path, err
	}
	editor := programs.Chosen(command[0], append(command[1:], path)...)
	editor.Stdin, editor.Stdout, editor.Stderr = t.In, t.Out, t.Err
	if err := editor.Run(); err != nil {
		return path, said("%s: %s; set EDITOR to the editor you want", command[0], err)
	}
	return path, nil
}

// forget removes what openEditor made.
func forget(path string) {
	if path != "" {
		_ = os.RemoveAll(filepath.Dir(path)) // what stays is readable by its owner only
	}
}

// Redirect retries by another integration.
type Redirect struct {
	Server
	Output
	ID     string `arg:"" help:"Id of the failure."`
	To     string `       help:"Integration to go to; it sends to the same kind of destination." required:""`
	Reason string `       help:"Why; the audit keeps it."                                        required:""`
}

// Run redirects.
func (c *Redirect) Run(ctx context.Context, t *Terminal) error {
	d, _, err := c.detail(ctx, c.ID)
	if err != nil {
		return err
	}
	var f failure
	raw, err := c.post(ctx, "/failures/"+d.ID+"/redirect",
		map[string]any{"integration": c.To, "reason": c.Reason, "version": d.Version}, &f)
	if err == nil {
		c.Output.print(t, raw, f)
	}
	return err
}
