package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rabbitmq/amqp091-go"

	"redrive/store/storetest"
	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

func TestDatabaseLivesAsLongAsTheCommand(t *testing.T) {
	t.Setenv(storetest.DatabaseVariable, "") // a server of its own, also inside a run
	t.Setenv(chromiumVariable, os.Getenv(chromiumVariable))
	report := filepath.Join(t.TempDir(), "report")
	code, err := run([]string{"sh", "-c", `printf '%s\n%s' "$` + storetest.DatabaseVariable + `" "$` + chromiumVariable + `" > "$0"; exit 7`, report}, nil)
	if code != 7 || err != nil {
		t.Errorf("code %d, error %v, want 7", code, err)
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	dsn, browser, _ := strings.Cut(string(raw), "\n")
	if !strings.HasPrefix(dsn, "postgres://") || browser == "" {
		t.Errorf("the command was told %q and %q", dsn, browser)
	}
	if conn, err := pgx.Connect(context.Background(), dsn); err == nil {
		_ = conn.Close(context.Background())
		t.Error("the server outlives the run")
	}
}

func TestNamedServerIsUsed(t *testing.T) {
	t.Setenv(storetest.DatabaseVariable, "postgres://elsewhere/x")
	t.Setenv(services.RedisVariable, "elsewhere:6379")
	t.Setenv(services.RabbitMQVariable, "amqp://elsewhere/")
	t.Setenv(services.KafkaVariable, "elsewhere:9092")
	t.Setenv(services.SSHDVariable, "/elsewhere/sshd")
	t.Setenv(services.PgBouncerVariable, "/elsewhere/pgbouncer")
	if got := wanted([]string{servicesPackage}); len(got) != 0 {
		t.Errorf("%d services are started beside the caller's", len(got))
	}
}

func TestBrokersRunWhereTestsAskForThem(t *testing.T) {
	for _, variable := range []string{storetest.DatabaseVariable, services.RedisVariable, services.RabbitMQVariable, services.KafkaVariable, services.SSHDVariable, services.PgBouncerVariable} {
		t.Setenv(variable, "")
	}
	for command, want := range map[string]int{"go test " + servicesPackage: 6, "go test -count=1 redrive/delivery/send/... -run X": 6,
		"go test redrive/views": 1, "go vet ./...": 1, "sh -c true": 1} {
		if got := len(wanted(needs(strings.Fields(command)))); got != want {
			t.Errorf("%s: %d services, want %d", command, got, want)
		}
	}
}

func TestBrokersLiveAsLongAsTheCommand(t *testing.T) {
	t.Setenv(services.RedisVariable, "")
	t.Setenv(services.RabbitMQVariable, "")
	t.Setenv(services.KafkaVariable, "")
	t.Setenv(services.KafkaDescription, "")
	t.Setenv(services.SSHDVariable, "")
	t.Setenv(services.PgBouncerVariable, "")
	stop, err := startAll(t.Context(), brokers)
	if err != nil {
		t.Fatal(err)
	}
	url := os.Getenv(services.RabbitMQVariable)
	conn, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if conn, err := amqp091.Dial(url); err == nil {
		_ = conn.Close()
		t.Error("RabbitMQ outlives the run")
	}
	for _, variable := range []string{services.RedisVariable, services.KafkaVariable} {
		if conn, err := net.Dial("tcp", os.Getenv(variable)); err == nil {
			_ = conn.Close()
			t.Errorf("what %s names outlives the run", variable)
		}
	}
}

func TestWhatCannotStartTakesTheOthersDown(t *testing.T) {
	stopped := false
	good := service{variable: "REDRIVE_TEST_GOOD", start: func(context.Context) (string, func() error, error) {
		return "x", func() error { stopped = true; return nil }, nil
	}}
	bad := service{variable: "REDRIVE_TEST_BAD", start: func(context.Context) (string, func() error, error) {
		return "", nil, errors.New("no room")
	}}
	if _, err := startAll(t.Context(), []service{good, bad}); err == nil || !strings.Contains(err.Error(), "no room") || !stopped {
		t.Errorf("error %v, the other one stopped: %v", err, stopped)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	go func() {
		_, _ = os.ReadFile(ready) // returns when the command has set its trap
		signals <- syscall.SIGTERM
	}()
	began := time.Now()
	code, err := execute([]string{"sh", "-c", `trap 'exit 5' TERM; echo > "$0"; n=0; while [ $n -lt 6000 ]; do sleep 0.1; n=$((n+1)); done`, ready}, signals)
	if code != 5 || err != nil || time.Since(began) > patience.Limit {
		t.Errorf("code %d, error %v after %v, want 5", code, err, time.Since(began))
	}
}

func TestUnknownCommand(t *testing.T) {
	if code, err := execute([]string{filepath.Join(t.TempDir(), "nothing")}, nil); code != 1 || err == nil {
		t.Errorf("code %d, error %v", code, err)
	}
}

func TestMissingPackagesAreToldToPlainUsers(t *testing.T) {
	err := advice([]string{"chromium", "gcc"}, 1000, true)
	if err == nil || !strings.Contains(err.Error(), "sudo apt-get install -y --no-install-recommends chromium gcc") {
		t.Errorf("error %v", err)
	}
	if err := advice([]string{"chromium"}, 0, true); err != nil {
		t.Errorf("root installs: %v", err)
	}
	if err := advice([]string{"chromium"}, 0, false); err == nil {
		t.Error("a system without apt-get is not told")
	}
}

func TestLanguagesAreThereWhereTestsAskForThem(t *testing.T) {
	if got := needs(strings.Fields("go test redrive/store/storetest/tools")); !slices.Contains(got, toolsPackage) {
		t.Errorf("a package of tests that needs a language needs %v", got)
	}
	t.Setenv("PATH", t.TempDir())
	if got := strings.Join(languages([]string{toolsPackage}), " "); got != "python3-venv nodejs npm default-jdk-headless maven" {
		t.Errorf("missing %q", got)
	}
	if got := languages([]string{servicesPackage}); got != nil {
		t.Errorf("languages for tests that need none: %q", got)
	}
}

func TestRaceDetectorNeedsACompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(chromiumVariable, "")
	nowhere := service{packages: []string{"redis-server"}, found: func() bool { return false }}
	if got := strings.Join(missing([]string{"go", "test"}, nil), " "); strings.Contains(got, "gcc") || !strings.Contains(got, "chromium") {
		t.Errorf("missing %q", got)
	}
	if got := strings.Join(missing([]string{"go", "test", "-race"}, []service{nowhere}), " "); !strings.Contains(got, "gcc libc6-dev") || !strings.Contains(got, "redis-server") {
		t.Errorf("missing %q", got)
	}
}
