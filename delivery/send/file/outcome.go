package filesend

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/pkg/sftp"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// judge reads the error of a transfer to a directory. The sentences are the same for the same cause, because failures are
// grouped by them. Nothing is unknown: the next attempt sees whether the file is there.
func judge(ctx context.Context, err error) delivery.Result {
	var unconnected *unconnectedError
	var wrongHost *hostKeyError
	var refused *refusedError
	var source *sourceError
	switch {
	case err == nil:
		return delivery.Result{Outcome: delivery.OutcomeOK}
	case errors.As(err, &wrongHost):
		return permanent(delivery.ClassHostKey, wrongHost.reason)
	case errors.As(err, &refused):
		return permanent(delivery.ClassRefused, refused.Error())
	case errors.As(err, &unconnected):
		return wire.Unsent(server, unconnected.cause)
	case errors.Is(err, errDifferent):
		return permanent(delivery.ClassFileExists, "a different file of that name is there; it was not touched")
	case errors.Is(err, errCorrupt):
		return permanent(delivery.ClassCorrupt,
			"the stored bytes of the file are not those whose length and SHA-256 were recorded; it was not sent")
	case ctx.Err() != nil:
		return transient(delivery.ClassTimeout, "the transfer did not end in time; the next attempt starts it again")
	case errors.As(err, &source) && source.gone():
		return permanent(delivery.ClassSource, "the stored bytes of the file are gone")
	case errors.As(err, &source):
		return transient(delivery.ClassSource, "the stored bytes of the file could not be read")
	case isLost(err):
		return transient(delivery.ClassConnectionLost,
			"the connection broke during the transfer; the next attempt looks what is there")
	}
	return refusal(err)
}

// refusal is what a file system or a server answered, with its words.
func refusal(err error) delivery.Result {
	result := sorted(err)
	var status *statusError
	if errors.As(err, &status) {
		result.Error += " (" + status.Error() + ")"
	}
	if result.Words = words(err, result.ErrorClass); result.Words != "" && result.Error == untold {
		result.Error = "the file could not be written"
	}
	return result
}

const untold = "the file could not be written, for a reason that its place does not tell"

// words are the message of a server's status, or of the system's error that no sentence of ours says, without the names of files.
func words(err error, class string) string {
	var status *sftp.StatusError
	var code syscall.Errno
	switch {
	case errors.As(err, &status):
		return strings.TrimPrefix(status.Error(), "sftp: ")
	case class == delivery.ClassStorage && errors.As(err, &code):
		return code.Error()
	}
	return ""
}

func sorted(err error) delivery.Result {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return transient(delivery.ClassNoSpace, "there is no space left for the file")
	case errors.Is(err, syscall.EROFS):
		return permanent(delivery.ClassDenied, "the directory is on a read-only file system")
	case errors.Is(err, fs.ErrPermission):
		return permanent(delivery.ClassDenied, "there is no right to read or write in the directory")
	case errors.Is(err, syscall.EFBIG):
		return permanent(delivery.ClassTooLarge, "the file is larger than the file system takes")
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EILSEQ):
		return permanent(delivery.ClassBadRequest, "the file system does not take the file's name")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return transient(delivery.ClassNotFound, "the directory is missing, or its file system is not mounted")
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL):
		return permanent(delivery.ClassStorage, "the directory's file system cannot name a file without replacing another")
	}
	return transient(delivery.ClassStorage, untold)
}

func transient(class, text string) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomeTransient, ErrorClass: class, Error: text}
}

func permanent(class, text string) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: class, Error: text}
}
