// Package form is how kinds of destinations and sources are described: their blocks in the integrations file as they are written,
// how a block becomes settings, and what is made of these. Rooms describe their kinds, package kinds lists them.
package form

import (
	"context"
	"io"
	"reflect"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// Destination is a kind of destination. It stands beside its code.
type Destination struct {
	Name  string // in the integrations file, in search and API; what delivery.Target.Kind returns
	Block Block[delivery.Target]
	// New makes the sender of these settings, which Block has read; nothing is dialled yet. A *delivery.SettingError names a setting
	// from where the block begins.
	New   func(delivery.Target, Means) (delivery.Sender, error)
	Batch Batch
	Least string // a block with nothing but what it needs, as YAML; tests write the defaults of Pages into it
	Pages []Page // of docs/settings.md
}

// Batch says what of a batch a kind of destination takes; the zero value: nothing.
type Batch struct {
	As     string // what a batch goes to, in a list of such, e.g. "a table"; empty: it takes no batch
	Only   string // why other methods cannot send to it; empty: they can
	Rows   bool   // it takes single rows too
	NoRows string // why nothing can be sent of a run without rows; empty: it can
}

// Means are what senders are made with.
type Means struct {
	Dialer wire.Dialer
	Files  Files
	// Tables puts a file's rows into a table, once.
	Tables func(ctx context.Context, to delivery.TableDestination, f delivery.BatchFile, rows io.Reader) delivery.Result
}

// Files is where the bytes of files are kept until they are sent.
type Files interface {
	// Open returns the stored bytes of a delivery.BatchFile, in order. fs.ErrNotExist: there are none.
	Open(ctx context.Context, id string) (io.ReadCloser, error)
}

// Source is a kind of broker to take messages from.
type Source struct {
	Name string // in the integrations file; what delivery.Source.Kind returns
	// Block is read into From and Format; the rest of a broker's settings is the same for all kinds.
	Block Block[delivery.BrokerSource]
	// NoDeadLetters says why the source cannot be a dead-letter queue; empty: it can, and delivery.Source.WayBack says where entries go.
	NoDeadLetters string
	// Positions: a message has a place at which it can be read again, so that a gap can stop the reading, and an original be fetched.
	Positions bool
	Prefetch  int // messages held at the same time, where the file does not say; 0: as any kind

	Least string // as of a Destination
	Pages []Page
}

// Block is how the settings of a kind are written and read.
type Block[Settings any] struct {
	Type reflect.Type // a struct with yaml tags
	// Read checks a block as written (a pointer to a Type); path is where it stands, with a dot at its end. What is wrong goes to the
	// Reader, and settings are returned in any case.
	Read func(r *Reader, path string, block any) Settings
}

// Reads describes a block by the function that reads it.
func Reads[Raw, Settings any](read func(r *Reader, path string, block *Raw) Settings) Block[Settings] {
	return Block[Settings]{Type: reflect.TypeFor[Raw](), Read: func(r *Reader, path string, block any) Settings {
		return read(r, path, block.(*Raw))
	}}
}

// Page is a list of settings in docs/settings.md.
type Page struct {
	Where    string       // the settings stand, as a heading
	Of       reflect.Type // as written
	Settings []Setting
}

// Setting is one of them. A test holds the defaults against the program and the list against the settings that there are.
type Setting struct {
	Name     string
	Standard string // as it would be written; empty: none
	Required bool   // there is no default: it must be given
	Help     string
}
