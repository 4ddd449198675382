package filesend

import "golang.org/x/sys/unix"

// renameExclusively returns fs.ErrExist when the new name is taken.
func renameExclusively(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}
