// Package migrations holds the schema as SQL files in goose's format. A file that has landed is never edited.
package migrations

import "embed"

// Files are the migrations, numbered in the order of their run.
//
//go:embed 0*.sql
var Files embed.FS
