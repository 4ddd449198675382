package filesend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// inboxLimit bounds one look.
const inboxLimit = 5 * time.Minute

// Inbox is a directory into which receivers write. Nothing in it is changed.
type Inbox struct {
	open func(context.Context) (folder, error)
}

// NewInbox is where the settings say, else where the destination's files go. A *delivery.SettingError names the setting in the
// integration's part of the file.
func NewInbox(a delivery.AcknowledgementSettings, d delivery.FileDestination, dialer wire.Dialer) (*Inbox, error) {
	dir, server, part := a.Dir, a.SFTP, "batch.acknowledgement.sftp"
	if dir == "" && server == nil {
		dir, server, part = d.Dir, d.SFTP, "destination.file.to.sftp"
	}
	switch {
	case server != nil:
		remote, err := newServer(*server, dialer)
		if err != nil {
			return nil, delivery.SettingOf(part, err)
		}
		return &Inbox{open: remote.open}, nil
	case dir != "":
		return &Inbox{open: openDirectory(dir)}, nil
	}
	return nil, delivery.SettingOf("batch.acknowledgement", errors.New("acknowledgements need a dir or sftp"))
}

// Each calls found with every file whose name is wanted. open answers its bytes.
func (in *Inbox) Each(ctx context.Context, wanted func(name string) bool,
	found func(name string, modified time.Time, size int64, open func() (io.ReadCloser, error)) error) error {
	ctx, cancel := context.WithTimeout(ctx, inboxLimit)
	defer cancel()
	from, err := in.open(ctx)
	if err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	defer from.close()
	names, err := from.list()
	if err != nil {
		return fmt.Errorf("listing the directory: %w", err)
	}
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		info, err := from.stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at %s: %w", name, err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if err := found(name, info.ModTime(), info.Size(), func() (io.ReadCloser, error) { return from.read(name) }); err != nil {
			return err
		}
	}
	return nil
}
