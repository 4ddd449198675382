package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

// referring is a file with one reference, in line 5.
func referring(t *testing.T, reference string) string {
	t.Helper()
	return beside(t, map[string]string{"f.yaml": "integrations:\n  - name: push\n    method: outbox\n    destination:\n      http: {url: http://h/, secret: '" +
		reference + "'}\n", "plain": "from a file\n", "windows": "from a file\r\n", "two": "one\n\n", "empty": "\n", "nothing": "", "binary": "a\x00b",
		"long": strings.Repeat("s", delivery.MaxSecret) + "\n", "too-long": strings.Repeat("s", delivery.MaxSecret+1)})
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func secretOf(f *File) string {
	return f.Integrations[0].Destination.To.(*delivery.HTTPDestination).Secret
}

func TestWhatReferencesStandFor(t *testing.T) {
	t.Setenv("REDRIVE_SECRET_KEY", "of the program")
	for reference, want := range map[string]string{
		"${NAME}": "from the environment", "a${NAME}b": "afrom the environmentb",
		"${file:plain}": "from a file", "${file:windows}": "from a file", "${file:two}": "one\n", "${file:long}": strings.Repeat("s", delivery.MaxSecret),
		"${secret:token}":                                           "stored of push",
		"${secret:nested}":                                          "${NAME}", // what comes of a reference is none
		"${command:/bin/echo one  two}":                             "one two",
		"${NAME} and ${command:/bin/echo x}":                        "from the environment and x",
		"${command:" + script(t, "echo $REDRIVE_SECRET_KEY-") + "}": "-", // it learns nothing of ours
	} {
		refs := &References{Env: func(name string) (string, bool) { return "from the environment", name == "NAME" },
			Stored: func(integration, name string) (string, error) {
				return map[string]string{"token": "stored of " + integration, "nested": "${NAME}"}[name], nil
			}}
		f, err := Load(referring(t, reference), refs)
		if err != nil || secretOf(f) != want {
			t.Errorf("%s: %v", reference, err)
		}
	}
}

// Each mistake is told with file and line, and without what there is to hide.
func TestReferencesThatCannotBe(t *testing.T) {
	const hidden = "hide-me-9e1f"
	for reference, says := range map[string]string{
		"${NOBODY}":                          `the environment variable "NOBODY" is not set`,
		"${file:missing}":                    "${file:missing}: it cannot be read: no such file or directory",
		"${file:}":                           "it names no file",
		"${file:.}":                          "it is no file",
		"${file:/dev/zero}":                  "it is no file",
		"${file:empty}":                      "it is empty",
		"${file:nothing}":                    "it is empty",
		"${file:binary}":                     "it has a byte 0",
		"${file:too-long}":                   "longer than the 65536 bytes",
		"${secret:nobody}":                   `integration push has no stored secret "nobody": redrive secret set push nobody`,
		"${secret:broken}":                   "was not sealed",
		"${command:}":                        "whole path",
		"${command:echo x}":                  "whole path",
		"${command:/bin/echo \"a b\"}":       "there is no shell",
		"${command:/bin/echo a | cat}":       "there is no shell",
		"${command:/no/such " + hidden + "}": "${command:/no/such}: it cannot be started: no such file or directory",
		"${command:" + script(t, "echo "+hidden+"; echo "+hidden+" >&2; exit 3") + "}": "it ended with exit status 3",
		"${command:" + script(t, "exit 0") + "}":                                       "it is empty",
		"${command:/usr/bin/head -c 70000 /dev/zero}":                                  "longer than the 65536 bytes",
		"${command:/usr/bin/yes " + hidden + "}":                                       "longer than the 65536 bytes",
	} {
		refs := &References{Env: lookup, Within: time.Minute, Stored: func(_, name string) (string, error) {
			if name == "broken" {
				return "", errors.New("it was not sealed with this key")
			}
			return "", delivery.ErrNotFound
		}}
		_, err := Load(referring(t, reference), refs)
		var mistake *Error
		if !errors.As(err, &mistake) || mistake.Line != 5 || !strings.Contains(mistake.Text, says) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v", reference, err)
		}
	}
}

// A command that does not end is ended, with what it has started.
func TestACommandEndsInTime(t *testing.T) {
	started := filepath.Join(t.TempDir(), "pid")
	path := script(t, "sleep 1000 & echo $! > "+started+"\nwait")
	_, err := Load(referring(t, "${command:"+path+"}"), &References{Within: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "it did not end within 100ms") {
		t.Errorf("%v", err)
	}
}

// Without a database a file with stored secrets is read later; what was asked before is not asked again.
func TestStoredSecretsComeLater(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	path := referring(t, "${command:"+script(t, "echo x >> "+count+"; echo y")+"}${secret:token}")
	refs := &References{}
	if _, err := Load(path, refs); !errors.Is(err, ErrStored) {
		t.Fatalf("%v", err)
	}
	refs.Stored = func(integration, name string) (string, error) { return integration + name, nil }
	f, err := Load(path, refs)
	if err != nil || secretOf(f) != "ypushtoken" {
		t.Errorf("%v", err)
	}
	if raw, err := os.ReadFile(count); err != nil || string(raw) != "x\n" {
		t.Errorf("the command ran as often as %q, %v", raw, err)
	}
}

// What references stood for is in no mistake that is found, then or later: whatever setting it stands in, whatever quotes it.
func TestValuesAreInNoMistake(t *testing.T) {
	for _, value := range []string{"hide-me-9e1f", `hide "me" 9e1f`, "hide/me?9e1f", "hide-\n-9e1f"} {
		for _, block := range []string{
			`{http: {url: "${V}"}}`, `{http: {url: "http://h:${V}/"}}`, `{http: {url: "http://h/", headers: {A: "${V}\n"}}}`, `{http: {url: "http://h/", secret: "whsec_${V}"}}`,
			`{redis: {addr: "${V}", channel: c}}`, `{rabbitmq: {url: "${V}", queue: q}}`, `{rabbitmq: {url: "amqp://${V}@@h:x/", queue: q}}`, `{kafka: {brokers: ["${V}"], topic: t}}`,
			`{file: {format: csv, to: {sftp: {addr: "${V}", path: /in, user: u, key: "${V}", known_hosts: "${V}"}}}}`,
			`{table: {url: "${V}", table: t, key: [id], columns: [id]}}`, `{http: {url: "http://h/", timeout: "${V}"}}`,
		} {
			text := fmt.Sprintf("integrations:\n  - {name: push, method: outbox, destination: %s}\n", block)
			f, err := Parse("f.yaml", []byte(text), func(string) (string, bool) { return value, true })
			if err == nil {
				err = f.Locate("push", &delivery.SettingError{Setting: "destination", Err: fmt.Errorf("reading %q: no", value)})
			}
			if err == nil || strings.Contains(err.Error(), value) || strings.Contains(err.Error(), "9e1f") {
				t.Errorf("%s: %v", block, err)
			}
		}
	}
}
