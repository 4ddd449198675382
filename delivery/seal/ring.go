package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Files of a data directory that keep the generated key, and while a rotation goes on the one before it.
const (
	keyFile = "secret.key"
	oldFile = "secret.key.old"
)

// UnknownKeyError is a key that something was sealed with and nobody has.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return "stored secrets were sealed with key " + e.ID + ", which is not there: set REDRIVE_SECRET_KEY to it, " +
		"or REDRIVE_SECRET_KEY_OLD while keys are rotated"
}

// Ring is the key-encryption key with those before it. The zero Ring has none and makes none.
type Ring struct {
	mu      sync.Mutex
	current *Key
	set     *Key   // the one before, by the settings
	kept    *Key   // the one before, by the data directory
	dir     string // where a generated key is kept; empty: the settings name one
}

// NewRing makes a ring of the settings: the key, the one before it, and the data directory that keeps a generated one when no key is set.
func NewRing(current, old, dataDir string) (*Ring, error) {
	r := &Ring{dir: dataDir}
	var err error
	if r.current, err = ofSetting("REDRIVE_SECRET_KEY", current); err != nil {
		return nil, err
	}
	if r.set, err = ofSetting("REDRIVE_SECRET_KEY_OLD", old); err != nil {
		return nil, err
	}
	if r.current != nil {
		r.dir = ""
	}
	return r, r.read()
}

func ofSetting(name, text string) (*Key, error) {
	if text == "" {
		return nil, nil
	}
	k, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &k, nil
}

// Of is a ring of one key.
func Of(k Key) *Ring { return &Ring{current: &k} }

// read takes the keys of the data directory, as they are now: other processes rotate them.
func (r *Ring) read() (err error) {
	if r.dir == "" {
		return nil
	}
	if r.current, err = readKey(filepath.Join(r.dir, keyFile)); err != nil {
		return err
	}
	r.kept, err = readKey(filepath.Join(r.dir, oldFile))
	return err
}

// readKey returns nil where there is no file. One that others may read is refused.
func readKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // what needs the directory says what is wrong with it
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the key of stored secrets: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others: chmod 600 it, and rotate the key with redrive secret rotate", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the key of stored secrets: %w", err)
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &k, nil
}

// Current returns the key to seal with. Where there is none, one is generated into the data directory if generate is set: else it is nil.
func (r *Ring) Current(generate bool) (*Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(); err != nil {
		return nil, err
	}
	if r.current == nil && generate && r.dir != "" {
		if err := createKey(filepath.Join(r.dir, keyFile), New()); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := r.read(); err != nil { // another process may have been faster
			return nil, err
		}
	}
	return r.current, nil
}

// Find returns the key of an ID, else an *UnknownKeyError.
func (r *Ring) Find(id string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(); err != nil {
		return Key{}, err
	}
	for _, k := range []*Key{r.current, r.set, r.kept} {
		if k != nil && k.ID() == id {
			return *k, nil
		}
	}
	return Key{}, &UnknownKeyError{ID: id}
}

// Turn puts a new key in the place of a generated one, which stays beside it until Turned; where that had begun before, it goes on with the
// new key of then. Keys of the settings are turned by whoever sets them.
func (r *Ring) Turn() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(); err != nil || r.dir == "" || r.current == nil {
		return err
	}
	if r.kept != nil && *r.kept != *r.current {
		return nil
	}
	if err := writeKey(filepath.Join(r.dir, oldFile), *r.current); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(r.dir, keyFile), New()); err != nil {
		return err
	}
	return r.read()
}

// Turned forgets the key before the generated one.
func (r *Ring) Turned() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(r.dir, oldFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the key before this one: %w", err)
	}
	return r.read()
}

// createKey never writes over another key: it appears whole or not at all.
func createKey(path string, k Key) error {
	temporary, err := temporaryKey(path, k)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	return os.Link(temporary, path) // refuses what is there
}

func writeKey(path string, k Key) error {
	temporary, err := temporaryKey(path, k)
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func temporaryKey(path string, k Key) (temporary string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("keeping the key of stored secrets: %w", err)
	}
	_, err = strings.NewReader(k.Text() + "\n").WriteTo(file)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(file.Name())
		return "", fmt.Errorf("keeping the key of stored secrets: %w", err)
	}
	return file.Name(), nil
}
