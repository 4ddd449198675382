package services

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"redrive/store/storetest/fetch"
	"redrive/store/storetest/patience"
)

// What every broker begins with is made once, by one that is started for it: a directory of formatted data, and an archive of Kafka's
// classes, with which Java is up in half the time.
const (
	data    = "data"
	classes = "classes.jsa"
)

// prepare lets the broker begin with them. Another Java or Kafka has others; a Java that makes no archive does without.
func (k *Kafka) prepare(ctx context.Context) error {
	dir, err := fetch.Once(ctx, "kafka", []string{k.java, "-version"}, append([]string{k.jars}, kafkaArtifacts...),
		func(ctx context.Context, dir string) error {
			return (&Kafka{java: k.java, jars: k.jars}).example(ctx, dir)
		})
	if err != nil {
		return err
	}
	k.formatted = filepath.Join(dir, data)
	if archive := filepath.Join(dir, classes); isThere(archive) {
		k.options = []string{"-XX:SharedArchiveFile=" + archive}
	}
	return nil
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// example formats data and runs a broker on them until it is ready for groups; at its end it writes down which classes it had.
func (k *Kafka) example(ctx context.Context, dir string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience.Limit)
	defer cancel()
	defer func() { err = errors.Join(err, k.Close()) }()
	if err = k.arrange(ctx, 1, nil); err != nil {
		return err
	}
	if err = os.CopyFS(filepath.Join(dir, data), os.DirFS(k.at(data))); err != nil {
		return err
	}
	unfinished := filepath.Join(dir, "unfinished")
	k.options = []string{"-XX:+IgnoreUnrecognizedVMOptions", "-XX:ArchiveClassesAtExit=" + unfinished}
	if err = k.Start(ctx); err != nil {
		return err
	}
	k.run.Signal(syscall.SIGTERM)
	select {
	case <-k.run.Ended():
	case <-ctx.Done():
		return fmt.Errorf("a Kafka that writes down its classes does not end: %w", ctx.Err())
	}
	if err = os.Rename(unfinished, filepath.Join(dir, classes)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
