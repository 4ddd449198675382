package filesend

import "golang.org/x/sys/unix"

// renameExclusively returns fs.ErrExist when the new name is taken.
func renameExclusively(from, to string) error { return unix.RenamexNp(from, to, unix.RENAME_EXCL) }
