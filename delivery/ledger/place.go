package ledger

import "time"

// Place is how far somebody outside is who gets checkpoints or entries.
type Place struct {
	Name  string     // such as file, witness example.com/w1, syslog
	Size  int64      // entries that it has, or of which it has the checkpoint
	At    *time.Time // when it last took something
	Error string     // why it takes nothing; empty: it does
	Since *time.Time // since when
}
