package storetest

import "golang.org/x/sys/unix"

// inMemory reports whether a directory lies in memory. One that cannot be looked at does not.
func inMemory(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC
}
