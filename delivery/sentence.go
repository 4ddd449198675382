package delivery

import (
	"slices"
	"strings"
)

// Sentence is an error in one line; a database driver tells of each address in a line of its own.
func Sentence(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.Compact(lines), " ")
}
