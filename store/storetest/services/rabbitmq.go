package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rabbitmq/amqp091-go"

	"redrive/store/storetest/patience"
)

const (
	rabbitPatience = patience.Limit
	rabbitUser     = "tester"
	// RabbitMQPassword is the password of every RabbitMQ that is started here: a test can look for it where it must not be.
	RabbitMQPassword = "s3cr3t+of/the:broker"
)

// RabbitMQ is a private RabbitMQ with an Erlang port mapper of its own.
type RabbitMQ struct {
	URL string // the same after a restart

	bin  string // the programs of its library directory: the wrappers beside them change the user
	dir  string
	env  []string
	epmd *process
	run  *process
}

// FindRabbitMQ returns the directory of its programs.
func FindRabbitMQ() (string, error) {
	var found []string
	for _, pattern := range []string{"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"} {
		dirs, _ := filepath.Glob(pattern) // the patterns are valid
		found = append(found, dirs...)
	}
	if len(found) == 0 {
		return "", errors.New("rabbitmq-server is not installed")
	}
	if _, err := find("epmd", "/usr/local/bin/epmd"); err != nil {
		return "", err
	}
	return slices.Max(found), nil
}

// LaunchRabbitMQ starts a broker, which takes 5 to 20 s.
func LaunchRabbitMQ(ctx context.Context) (*RabbitMQ, error) {
	bin, err := FindRabbitMQ()
	if err != nil {
		return nil, err
	}
	r := &RabbitMQ{bin: bin}
	if err = again(func() error { return r.firstStart(ctx) }); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *RabbitMQ) firstStart(ctx context.Context) (err error) {
	if r.dir, err = tempDir(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	if err = os.WriteFile(filepath.Join(r.dir, "plugins"), []byte("[]."), 0o600); err != nil {
		return err
	}
	r.URL = (&url.URL{Scheme: "amqp", User: url.UserPassword(rabbitUser, RabbitMQPassword), Host: "127.0.0.1:" + strconv.Itoa(ports[0]), Path: "/"}).String()
	r.env = r.environment(ports)
	epmd, err := find("epmd", "/usr/local/bin/epmd")
	if err != nil {
		return err
	}
	mapper := exec.Command(epmd, "-port", strconv.Itoa(ports[2]), "-address", "127.0.0.1")
	mapper.Dir, mapper.Env = r.dir, r.env
	if r.epmd, err = launch(mapper, filepath.Join(r.dir, "epmd.log")); err != nil {
		return err
	}
	return r.Start(ctx)
}

// environment keeps everything in the directory and on loopback, and the machine's own configuration out.
func (r *RabbitMQ) environment(ports []int) []string {
	at := func(name string) string { return filepath.Join(r.dir, name) }
	node := fmt.Sprintf("redrive%d@localhost", ports[0])
	// ours runs already
	return append(clean("RABBITMQ_", "ERL_", "HOME="), "HOME="+r.dir, "RUNNING_UNDER_SYSTEMD=true", "LC_ALL=C.UTF-8",
		"RABBITMQ_CONF_ENV_FILE=", "RABBITMQ_CONFIG_FILE=", "RABBITMQ_NODENAME="+node, "RABBITMQ_MNESIA_BASE="+at("data"),
		"RABBITMQ_LOG_BASE="+at("logs"), "RABBITMQ_ENABLED_PLUGINS_FILE="+at("plugins"), "RABBITMQ_GENERATED_CONFIG_DIR="+
			at("config"), "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+strconv.Itoa(ports[0]),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(ports[1]), "RABBITMQ_DEFAULT_USER="+rabbitUser, "RABBITMQ_DEFAULT_PASS="+
			RabbitMQPassword, "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"ERL_EPMD_PORT="+strconv.Itoa(ports[2]), "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_AFLAGS=-start_epmd false")
}

// Start starts a broker that was stopped or killed, at its old address, with what it had stored.
func (r *RabbitMQ) Start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, rabbitPatience)
	defer cancel()
	cmd := exec.Command(filepath.Join(r.bin, "rabbitmq-server"))
	cmd.Dir, cmd.Env = r.dir, r.env
	if r.run, err = launch(cmd, filepath.Join(r.dir, "log")); err != nil {
		return err
	}
	return r.run.ready(ctx, func(context.Context) error {
		conn, err := amqp091.Dial(r.URL)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Control runs one command of rabbitmqctl.
func (r *RabbitMQ) Control(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "rabbitmqctl"), args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// MemoryAlarm raises or ends the alarm that makes the broker hold back publishers.
func (r *RabbitMQ) MemoryAlarm(ctx context.Context, raised bool) error {
	share := "0.4"
	if raised {
		share = "0.0"
	}
	return r.Control(ctx, "set_vm_memory_high_watermark", share)
}

// Persist waits until everything declared so far survives a kill. A declaration is answered when it is on disk, but the
// database's decision to commit it is logged beside that, up to two seconds later; what is on disk without a decision is
// dropped at the next start.
func (r *RabbitMQ) Persist(ctx context.Context) error {
	// decisions are handed over, then written
	return r.Control(ctx, "eval", "ok = mnesia_recover:sync(), ok = mnesia:sync_log().")
}

// Stop ends the broker in good order.
func (r *RabbitMQ) Stop() { r.run.stop() }

// Kill ends the broker at once. What was declared after the last Persist may be gone at the next start.
func (r *RabbitMQ) Kill() { r.run.kill() }

// Close ends the broker for good and removes its directory.
func (r *RabbitMQ) Close() error {
	r.run.kill()
	r.epmd.kill()
	return os.RemoveAll(r.dir)
}
