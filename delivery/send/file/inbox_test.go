package filesend

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

func TestAnInboxShowsWhatIsWanted(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		in, err := NewInbox(delivery.AcknowledgementSettings{}, d, wire.Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "a.csv.nak", []byte("no"))
		write(t, dir, "b.csv", []byte("rows"))
		changed := time.Now().Add(-time.Hour).Truncate(time.Second)
		if err := errors.Join(os.Chtimes(filepath.Join(dir, "a.csv.nak"), changed, changed), os.Mkdir(filepath.Join(dir, "c.nak"), 0o700)); err != nil {
			t.Fatal(err)
		}
		stop := errors.New("stop")
		found := 0
		err = in.Each(t.Context(), func(name string) bool { return strings.HasSuffix(name, ".nak") },
			func(name string, modified time.Time, size int64, open func() (io.ReadCloser, error)) error {
				found++
				r, err := open()
				if err != nil {
					return err
				}
				defer r.Close()
				raw, err := io.ReadAll(r)
				if err != nil || name != "a.csv.nak" || string(raw) != "no" || size != 2 || !modified.Equal(changed) {
					t.Errorf("%s of %s with %d bytes, %q: %v", name, modified, size, raw, err)
				}
				return stop
			})
		if found != 1 || !errors.Is(err, stop) {
			t.Errorf("%d found, %v", found, err)
		}
	})
}

func TestAnInboxElsewhere(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.ack", nil)
	in, err := NewInbox(delivery.AcknowledgementSettings{Dir: dir}, delivery.FileDestination{Dir: "/nowhere"}, wire.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	all := func(string) bool { return true }
	count := func(string, time.Time, int64, func() (io.ReadCloser, error)) error { found++; return nil }
	if err := in.Each(t.Context(), all, count); err != nil || found != 1 {
		t.Errorf("%d found: %v", found, err)
	}
	gone, err := NewInbox(delivery.AcknowledgementSettings{Dir: filepath.Join(dir, "none")}, delivery.FileDestination{}, wire.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Each(t.Context(), all, count); err == nil {
		t.Error("a directory that is not there was listed")
	}
	if _, err := NewInbox(delivery.AcknowledgementSettings{}, delivery.FileDestination{Upload: &delivery.HTTPDestination{}}, wire.Dialer{}); err == nil {
		t.Error("an upload has no directory")
	}
}
