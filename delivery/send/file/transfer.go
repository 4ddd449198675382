package filesend

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// folder is one directory, here or on a server. Errors about names match fs.ErrExist, fs.ErrNotExist and fs.ErrPermission.
type folder interface {
	list() ([]string, error)
	stat(name string) (fs.FileInfo, error) // of the name itself, should it be a link
	read(name string) (io.ReadCloser, error)
	// create writes a new file and answers once its bytes are on the disk; size is what r is going to answer.
	create(name string, r io.Reader, size int64) error
	// publish gives a file its final name. It returns fs.ErrExist when that is taken. The old name may stay.
	publish(temporary, name string) error
	remove(name string) error
	sync() error // names are on the disk
	close()
}

// errDifferent says that another file has the name.
var errDifferent = errors.New("a different file of that name is there")

// transfer is one attempt of one delivery at one folder.
type transfer struct {
	to       folder
	delivery string
	attempt  int
	named    bool // a file may have got its name
}

// temporary is a name for this attempt alone: hidden, and it says whose it is.
func (t *transfer) temporary(name string) string {
	var unique [4]byte
	_, _ = rand.Read(unique[:]) // never fails
	end := fmt.Sprintf(".%s.%d-%x.part", t.delivery, t.attempt, unique)
	if room := maxName - 1 - len(end); len(name) > room {
		name = strings.ToValidUTF8(name[:room], "")
	}
	return "." + name + end
}

// tidy removes what crashed attempts of this delivery left behind, and nothing else.
func (t *transfer) tidy() error {
	names, err := t.to.list()
	if err != nil {
		return err
	}
	own := regexp.MustCompile(`^\..*\.` + regexp.QuoteMeta(t.delivery) + `\.[0-9]+-[0-9a-f]{8}\.part$`)
	for _, name := range names {
		if !own.MatchString(name) {
			continue
		}
		if err := t.to.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// put makes sure that the item has its name: written by this attempt, or found there.
func (t *transfer) put(ctx context.Context, f item) error {
	found, err := t.found(f)
	if err != nil {
		return err
	}
	if !found {
		if err := t.write(ctx, f); err != nil {
			return err
		}
	}
	return t.to.sync() // also of what an attempt that crashed had named
}

func (t *transfer) write(ctx context.Context, f item) error {
	source, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	temporary := t.temporary(f.name)
	err = t.to.create(temporary, source, f.bytes)
	if err == nil {
		t.named = true
		err = t.publish(temporary, f)
	}
	if gone := t.to.remove(temporary); err == nil && isLost(gone) { // it may still be there
		err = gone
	}
	return err // the first error; a file that could not be removed is a remnant for the next attempt
}

func (t *transfer) publish(temporary string, f item) error {
	err := t.to.publish(temporary, f.name)
	if errors.Is(err, fs.ErrExist) ||
		errors.Is(err, fs.ErrNotExist) { // another attempt was first, or took this one's file for a remnant
		found, lookErr := t.found(f)
		if found || lookErr != nil {
			return lookErr
		}
	}
	return err
}

// found reports whether the item is there already. Another file under its name is errDifferent.
func (t *transfer) found(f item) (bool, error) {
	info, err := t.to.stat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != f.bytes {
		return false, errDifferent
	}
	there, err := t.to.read(f.name)
	if err != nil {
		return false, err
	}
	defer there.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, there); err != nil {
		return false, err
	}
	if hex.EncodeToString(hash.Sum(nil)) != f.sha256 {
		return false, errDifferent
	}
	return true, nil
}
