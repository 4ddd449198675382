package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"redrive/delivery/scratch"
)

// socketLine of postmaster.pid names the directory of the socket, counted from 0.
const socketLine = 4

// Open is for commands that work on a database that is there: it joins the server of a running redrive, else it starts one. Stop
// ends what was started and leaves what was joined. Without a database it refuses: an empty one would answer every question.
func Open(ctx context.Context, opts Options) (*Server, error) {
	if _, err := os.Stat(filepath.Join(opts.DataDir, "postgres", "PG_VERSION")); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: there is no database in %s: redrive serve makes one; if yours is elsewhere, set "+
			"REDRIVE_DATA_DIR to its directory or DATABASE_URL to its address", ErrDataDir, opts.DataDir)
	}
	dir, err := prepareDataDir(opts.DataDir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		server, err := Start(ctx, opts)
		if errors.Is(err, fs.ErrPermission) {
			return nil, joinError(dir, err)
		}
		if !errors.Is(err, errInUse) {
			return server, err
		}
		server, err = join(ctx, dir, opts.Log)
		if err == nil || ctx.Err() != nil || errors.Is(err, fs.ErrPermission) {
			return server, err
		}
		time.Sleep(50 * time.Millisecond) // it is just being started, or stopped
	}
}

// join returns the server that another process of ours runs in a data directory.
func join(ctx context.Context, dir string, log *slog.Logger) (*Server, error) {
	s := &Server{log: log, data: filepath.Join(dir, "postgres"), joined: true}
	raw, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err == nil {
		err = s.readPassword()
	}
	if err != nil {
		return nil, joinError(dir, err)
	}
	lines := strings.Split(string(raw), "\n")
	if len(lines) <= socketLine || lines[socketLine] == "" {
		return nil, joinError(dir, errors.New("its Postgres is just starting"))
	}
	s.socket = &scratch.Folder{Path: lines[socketLine]}
	if !s.ping(ctx) {
		return nil, joinError(dir, errors.New("its Postgres does not answer"))
	}
	return s, s.divide(ctx) // an earlier version may run it
}

func joinError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the data directory %s belongs to another user: run this command as that user or as root, "+
			"or set DATABASE_URL: %w", dir, err)
	}
	return fmt.Errorf("the redrive that uses data directory %s cannot be joined: %w", dir, err)
}
