// Package rooms runs what delivers, side by side: it starts all, ends all together, and keeps those of single integrations by name.
package rooms

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Room is what runs until ctx ends, and may finish what is under way until grace ends.
type Room interface {
	Run(ctx, grace context.Context) error
}

// Serve runs rooms and a web server until ctx ends or one of them fails: no new work then, and at most grace for what is under way.
// It returns why it ended, nil when ctx did.
func Serve(
	ctx context.Context,
	listener net.Listener,
	handler http.Handler,
	rooms []Room,
	grace time.Duration,
	log *slog.Logger,
) error {
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hard, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	errs := make([]error, len(rooms))
	var running sync.WaitGroup
	for i, r := range rooms {
		running.Go(func() {
			errs[i] = r.Run(stopping, hard)
			stop(errs[i])
		})
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	}()
	log.Info("listening", "url", BaseURL(listener))
	<-stopping.Done()
	log.Info("stopping", "grace", grace)
	timer := time.AfterFunc(grace, giveUp)
	defer timer.Stop()
	running.Wait() // first the rooms: their receivers may be served by this very server
	err := errors.Join(errs...)
	shutdown, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if shutdownErr := server.Shutdown(shutdown); shutdownErr != nil {
		_ = server.Close()
	}
	if cause := context.Cause(stopping); err == nil && ctx.Err() == nil {
		err = cause
	}
	log.Info("stopped")
	return err
}

// BaseURL is how this machine reaches the listener.
func BaseURL(listener net.Listener) string {
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if _, encrypted := listener.(*TLS); encrypted {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}
