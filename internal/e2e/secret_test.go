package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/internal/cli"
	"redrive/store/storetest"
)

// runHere is a command in this process, with what stands on its standard input.
func runHere(t *testing.T, p cli.Program, in string, args ...string) (code int, said string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	was := os.Stdin
	os.Stdin = file
	defer func() { os.Stdin = was }()
	var out bytes.Buffer
	code = p.Run(t.Context(), args, &out, &out)
	return code, out.String()
}

// A secret that was stored by the command is what the file means, under the keys of the settings and of no others; nothing says its value.
func TestStoredSecretsOfTheFile(t *testing.T) {
	const value = "hide-me-9e1f"
	first, second := seal.New().Text(), seal.New().Text()
	t.Setenv("DATABASE_URL", storetest.New(t))
	t.Setenv("REDRIVE_SECRET_KEY", first)
	dir := t.TempDir()
	config := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(config, []byte("integrations:\n  - name: push\n    method: outbox\n    destination:\n      http: {url: http://h/, secret: '${secret:token}'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	served := ""
	p := cli.Program{Serve: func(_ context.Context, s cli.Serving) error {
		served = s.File.Integrations[0].Destination.To.(*delivery.HTTPDestination).Secret
		return nil
	}}
	serve := []string{"serve", "--addr=127.0.0.1:0", "--config=" + config, "--data-dir=" + dir}
	expect := func(want int, says, in string, args ...string) {
		t.Helper()
		if code, said := runHere(t, p, in, args...); code != want || !strings.Contains(said, says) || strings.Contains(said, value) {
			t.Errorf("%v: exit code %d, said %q", args, code, said)
		}
	}
	expect(cli.ExitUsage, `f.yaml line 5: ${secret:token}: integration push has no stored secret "token": redrive secret set push token`, "", serve...)
	expect(cli.ExitUsage, "the value on standard input: it is empty", "", "secret", "set", "push", "token")
	expect(cli.ExitUsage, "A secret's name has", value, "secret", "set", "push", "to ken")
	expect(cli.ExitUsage, "cannot name an integration", value, "secret", "set", "Push!", "token")
	expect(cli.ExitUsage, "unexpected argument", "", "secret", "set", "push", "token", "another")
	expect(cli.ExitDone, "no integration is named push yet", value+"\n", "secret", "set", "push", "token")
	expect(cli.ExitDone, "push  token", "", "secret", "list")
	expect(cli.ExitDone, "", "", serve...)
	if served != value {
		t.Errorf("the file means %q", served)
	}

	t.Setenv("REDRIVE_SECRET_KEY", second)
	served = ""
	for _, args := range [][]string{serve, {"secret", "set", "push", "token"}, {"secret", "rotate"}} {
		expect(cli.ExitUsage, "REDRIVE_SECRET_KEY: stored secrets were sealed with key ", value, args...)
	}
	if served != "" {
		t.Error("the wrong key served")
	}
	t.Setenv("REDRIVE_SECRET_KEY_OLD", first)
	expect(cli.ExitDone, "", "", serve...)
	expect(cli.ExitDone, "sealed with the present key: 1", "", "secret", "rotate")
	t.Setenv("REDRIVE_SECRET_KEY_OLD", "")
	expect(cli.ExitDone, "", "", serve...)
	if served != value {
		t.Errorf("after the rotation the file means %q", served)
	}
	expect(cli.ExitDone, "removed: token of push", "", "secret", "remove", "push", "token")
	expect(cli.ExitUsage, `no stored secret "token"`, "", "secret", "remove", "push", "token")
	t.Setenv("REDRIVE_SECRET_KEY", "hide-me-9e1f")
	expect(cli.ExitUsage, "REDRIVE_SECRET_KEY: a key is 32 random bytes in Base64", "", serve...)
}

// Settings that hold secrets can be files, read without the line break at the end.
func TestSettingsFromFiles(t *testing.T) {
	dsn := storetest.New(t)
	dir := t.TempDir()
	put := func(name, value string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var got cli.Settings
	p := cli.Program{Serve: func(_ context.Context, s cli.Serving) error { got = s.Settings; return nil }}
	key := seal.New().Text()
	for name, value := range map[string]string{"DATABASE_URL": dsn, "REDRIVE_ADMIN_PASSWORD": "correct horse battery", "REDRIVE_API_TOKEN": "k7Qw-2fRz9LmX4vTn8YbC1dHs6JgPe3UaWoEiNq5",
		"REDRIVE_SECRET_KEY": key, "REDRIVE_SECRET_KEY_OLD": key} {
		t.Setenv(name, "")
		t.Setenv(name+"_FILE", put(name, value+"\n"))
	}
	serve := []string{"serve", "--addr=127.0.0.1:0", "--data-dir=" + dir}
	if code, said := runHere(t, p, "", serve...); code != cli.ExitDone || got.DatabaseURL != dsn || got.AdminPassword != "correct horse battery" ||
		got.APIToken != "k7Qw-2fRz9LmX4vTn8YbC1dHs6JgPe3UaWoEiNq5" || got.SecretKey != key || got.SecretKeyOld != key {
		t.Errorf("exit code %d, said %q", code, said)
	}
	for path, says := range map[string]string{filepath.Join(dir, "none"): "REDRIVE_API_TOKEN_FILE: " + filepath.Join(dir, "none") + ": it cannot be read: no such file or directory",
		dir: "it is no file", put("empty", "\n"): "it is empty"} {
		t.Setenv("REDRIVE_API_TOKEN_FILE", path)
		if code, said := runHere(t, p, "", serve...); code != cli.ExitUsage || !strings.Contains(said, says) {
			t.Errorf("exit code %d, said %q", code, said)
		}
	}
	t.Setenv("REDRIVE_API_TOKEN_FILE", put("token", "rt_hidden"))
	t.Setenv("REDRIVE_API_TOKEN", "other")
	if code, said := runHere(t, p, "", serve...); code != cli.ExitUsage || !strings.Contains(said, "are both set") || strings.Contains(said, "rt_hidden") {
		t.Errorf("exit code %d, said %q", code, said)
	}
}
