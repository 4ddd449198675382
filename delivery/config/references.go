package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redrive/delivery"
	"redrive/delivery/programs"
)

// Bounds of what a reference names.
const (
	commandTime  = 10 * time.Second
	commandGrace = time.Second            // until what a command started lets its output go
	maxWritten   = delivery.MaxSecret + 2 // with a line break
)

// ErrStored is a file that names a stored secret, read without a database: it has to be read again with one.
var ErrStored = errors.New("it names stored secrets")

// References are what ${…} in the file stands for: ${NAME}, ${file:PATH}, ${command:PROGRAM ARGUMENT …} and ${secret:NAME}. Each is looked up
// once, also when the file is read again.
type References struct {
	Env    func(name string) (string, bool)               // of ${NAME}: os.LookupEnv
	Stored func(integration, name string) (string, error) // of ${secret:NAME}; nil: ErrStored. delivery.ErrNotFound: there is none
	Within time.Duration                                  // how long a command may take; 0: 10 s
	kept   map[string]string
}

// resolve returns what a reference of an integration ("" outside of one) stands for. beside is the integrations file. The error is a sentence
// without any value.
func (r *References) resolve(reference, integration, beside string) (value string, err error) {
	kind, what, found := strings.Cut(reference, ":")
	key := reference
	var get func() (string, error)
	switch {
	case found && kind == "file":
		get = func() (string, error) { return readReference(what, beside) }
	case found && kind == "command":
		get = func() (string, error) { return r.run(what) }
	case found && kind == "secret":
		key, get = integration+" "+reference, func() (string, error) { return r.stored(integration, what) }
	default:
		if value, found = r.Env(reference); !found {
			return "", fmt.Errorf("the environment variable %q is not set", reference)
		}
		return value, nil
	}
	if value, found = r.kept[key]; found {
		return value, nil
	}
	if value, err = get(); err != nil {
		return "", err
	}
	if r.kept == nil {
		r.kept = map[string]string{}
	}
	r.kept[key] = value
	return value, nil
}

// shown is a reference as errors and pages name it: of a command the program alone, its arguments may be secrets.
func shown(reference string) string {
	if command, found := strings.CutPrefix(reference, "command:"); found {
		program, _, _ := strings.Cut(strings.TrimSpace(command), " ")
		reference = "command:" + program
	}
	return "${" + reference + "}"
}

func (r *References) stored(integration, name string) (string, error) {
	if integration == "" {
		return "", errors.New("stored secrets belong to an integration, and here is none")
	}
	if r.Stored == nil {
		return "", ErrStored
	}
	value, err := r.Stored(integration, name)
	if errors.Is(err, delivery.ErrNotFound) {
		return "", fmt.Errorf("integration %s has no stored secret %q: redrive secret set %s %s", integration, name, integration, name)
	}
	return value, err
}

// readReference reads a file, as containers get their secrets.
func readReference(path, beside string) (string, error) {
	if path == "" {
		return "", errors.New("it names no file")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(beside), path)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return "", errors.New("it is no file")
	case err == nil && info.Size() > maxWritten:
		return "", tooLong()
	}
	raw, err := os.ReadFile(path)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("it cannot be read: %w", failed.Err)
	}
	if err != nil {
		return "", err
	}
	return CleanSecret(raw)
}

// CleanSecret cuts the line break that habit puts at the end, and refuses what is no secret. The error does not quote it.
func CleanSecret(raw []byte) (string, error) {
	raw, _ = bytes.CutSuffix(raw, []byte("\n"))
	raw, _ = bytes.CutSuffix(raw, []byte("\r"))
	switch {
	case len(raw) > delivery.MaxSecret:
		return "", tooLong()
	case len(raw) == 0:
		return "", errors.New("it is empty")
	case bytes.IndexByte(raw, 0) >= 0:
		return "", errors.New("it has a byte 0, so it is no text")
	}
	return string(raw), nil
}

func tooLong() error {
	return fmt.Errorf("it is longer than the %s bytes that a secret may have", strconv.Itoa(delivery.MaxSecret))
}

// run returns what a program writes. There is no shell: words are separated by blanks, and what needs more is a script.
func (r *References) run(command string) (string, error) {
	words := strings.Fields(command)
	switch {
	case len(words) == 0 || !filepath.IsAbs(words[0]):
		return "", errors.New("write the program with its whole path, and its arguments separated by blanks")
	case strings.ContainsAny(command, "'\"`|<>&;$*\\"):
		return "", errors.New("there is no shell, so quotes, pipes and the like mean nothing; put them into a script")
	}
	within := r.Within
	if within == 0 {
		within = commandTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := programs.Command(ctx, words[0], words[1:]...)
	out := &bounded{}
	cmd.Stdout, cmd.WaitDelay = out, commandGrace
	endTogether(cmd)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case out.full:
		return "", tooLong()
	case ctx.Err() != nil:
		return "", fmt.Errorf("it did not end within %s", within)
	case errors.As(err, &exit):
		return "", fmt.Errorf("it ended with %s; what it said is not shown, run it by hand", exit)
	case errors.Is(err, exec.ErrWaitDelay):
		return "", errors.New("it ended, but what it has started still holds its output")
	case err != nil:
		return "", fmt.Errorf("it cannot be started: %w", cause(err))
	}
	return CleanSecret(out.taken)
}

// endTogether lets what a program has started end with it when its time is over.
func endTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// cause is an error without the path, which is named already.
func cause(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// bounded takes what a secret may have, and then no more: the program cannot write on.
type bounded struct {
	taken []byte
	full  bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if len(b.taken)+len(p) > maxWritten {
		b.full = true
		return 0, errors.New("enough")
	}
	b.taken = append(b.taken, p...)
	return len(p), nil
}
