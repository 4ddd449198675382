package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"redrive/store/storetest/patience"
)

const redisPatience = patience.Limit

// Redis is a private Redis without persistence.
type Redis struct {
	Addr string // host:port, the same after a restart

	path string
	dir  string
	args []string
	run  *process
}

// FindRedis returns the server's path.
func FindRedis() (string, error) {
	return find("redis-server", "/usr/sbin/redis-server", "/usr/local/sbin/redis-server")
}

// LaunchRedis starts a server; args are more of its options, like "--requirepass", "secret".
func LaunchRedis(ctx context.Context, args ...string) (*Redis, error) {
	path, err := FindRedis()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	r := &Redis{path: path, dir: dir, args: args}
	if err = again(func() error { return r.firstStart(ctx) }); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Redis) firstStart(ctx context.Context) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	return r.Start(ctx)
}

// Start starts a server that was stopped or killed, at its old address.
func (r *Redis) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	host, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	cmd := exec.Command(r.path,
		append([]string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", r.dir,
			"--daemonize", "no"}, r.args...)...)
	cmd.Dir = r.dir
	if r.run, err = launch(cmd, filepath.Join(r.dir, "log")); err != nil {
		return err
	}
	return r.run.ready(ctx, r.answers)
}

// answers says that the server speaks; one that asks for a password does.
func (r *Redis) answers(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // a failure shows in the next call
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") && !strings.HasPrefix(line, "-NOAUTH") {
		return fmt.Errorf("it answers %q", strings.TrimSpace(line))
	}
	return nil
}

// Stop ends the server in good order.
func (r *Redis) Stop() { r.run.stop() }

// Kill ends the server at once.
func (r *Redis) Kill() { r.run.kill() }

// Close ends the server for good and removes its directory.
func (r *Redis) Close() error {
	r.run.kill()
	return os.RemoveAll(r.dir)
}

// again tries a start up to three times: somebody may have taken the port that was free.
func again(start func() error) (err error) {
	for range 3 {
		if err = start(); err == nil {
			return nil
		}
	}
	return err
}
