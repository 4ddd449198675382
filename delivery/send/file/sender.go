// Package filesend transfers the files of batches: to a directory, over SFTP or by HTTP upload. A file appears under its name
// when it is complete or not at all, and a file that is there is never replaced.
package filesend

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/delivery/form"
	"redrive/delivery/wire"
)

// Files is where the bytes of files are kept until they are sent.
type Files = form.Files

const (
	manifestSuffix = ".manifest.json"
	maxName        = 255 // bytes of a name in a directory, on the file systems in use
)

// New makes the sender of a destination; nothing is dialled or written yet. Its errors name files, never what is in them.
func New(d delivery.FileDestination, files Files, dialer wire.Dialer) (delivery.Sender, error) {
	if d.Timeout <= 0 {
		d.Timeout = delivery.DefaultTimeout
	}
	switch {
	case d.Upload != nil:
		upload, err := NewUpload(d, files, dialer)
		if err != nil {
			return nil, delivery.SettingOf("to.http", err)
		}
		return upload, nil
	case d.SFTP != nil:
		remote, err := newServer(*d.SFTP, dialer)
		if err != nil {
			return nil, delivery.SettingOf("to.sftp", err)
		}
		return &Sender{to: d, files: files, open: remote.open}, nil
	case d.Dir != "":
		return &Sender{to: d, files: files, open: openDirectory(d.Dir)}, nil
	}
	return nil, errors.New("a file destination needs dir, sftp or http")
}

// Sender puts files into one directory, here or on a server.
type Sender struct {
	to    delivery.FileDestination
	files Files
	open  func(context.Context) (folder, error)
}

var _ delivery.Sender = (*Sender)(nil)

// Close has nothing to end: every attempt has its own connection.
func (s *Sender) Close() error { return nil }

// Send makes one attempt within the destination's timeout. Its outcome is never unknown: whether the file is there can be seen.
func (s *Sender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return wire.Unsent(server, err)
	}
	f, err := parse(r.Message.Payload)
	if err != nil {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
	}
	named, err := s.transfer(ctx, r, f, r.Attempt > 1)
	if named && isLost(err) && ctx.Err() == nil { // the answer that settles it: a second connection looks what is there
		var unconnected *unconnectedError
		if _, again := s.transfer(ctx, r, f, true); !errors.As(again, &unconnected) {
			err = again
		}
	}
	result := judge(ctx, err)
	if r.Tells(result) {
		result.Exchange = &delivery.Exchange{Facts: []delivery.HeaderLine{
			{delivery.FactPath, strings.TrimSuffix(s.to.Address(), "/") + "/" + f.Name}, {delivery.FactRows, strconv.FormatInt(f.Rows, 10)}}}
	}
	return result
}

// transfer puts the file, then the manifest. remnants says that there may be some of this delivery. named says that a file
// may have got its name.
func (s *Sender) transfer(ctx context.Context, r delivery.Request, f delivery.BatchFile, remnants bool) (named bool, err error) {
	to, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer to.close()
	t := transfer{to: to, delivery: r.DeliveryID, attempt: r.Attempt}
	if remnants {
		if err := t.tidy(); err != nil {
			return false, err
		}
	}
	err = t.put(ctx, content(s.files, f))
	if err == nil && s.to.Manifest {
		err = t.put(ctx, manifest(f))
	}
	return t.named, err
}

// parse reads a message's payload and refuses what cannot be a file's name.
func parse(payload []byte) (f delivery.BatchFile, err error) {
	if err := json.Unmarshal(payload, &f); err != nil || f.ID == "" {
		return f, errors.New("the message describes no file")
	}
	if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != 32 || f.Bytes < 0 {
		return f, errors.New("the message describes a file without its length and SHA-256")
	}
	f.SHA256 = strings.ToLower(f.SHA256)
	unfit := func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }
	switch {
	case f.Name == "", strings.HasPrefix(f.Name, "."), strings.ContainsFunc(f.Name, unfit), !utf8.ValidString(f.Name):
		return f, errors.New("the file's name is empty, starts with a dot, or has a slash or a control character")
	case len(f.Name)+len(manifestSuffix) > maxName:
		return f, errors.New("the file's name is too long")
	}
	return f, nil
}
