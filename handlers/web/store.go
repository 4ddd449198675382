package web

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"redrive/delivery"
)

// Store is what both sides need from the database. Unknown ids answer delivery.ErrNotFound, mistakes of the caller
// *delivery.InputError, lost races *delivery.ConflictError. Every change of a person writes its audit entry in the same
// transaction.
type Store interface {
	Ready(ctx context.Context) error // database reachable and schema current
	Operation(ctx context.Context, id string) (delivery.Operation, error)
	Health(ctx context.Context) ([]delivery.IntegrationHealth, error)                 // by name
	RequestResnapshot(ctx context.Context, integration, actor, reason string) error   // of a cdc integration
	RequestTable(ctx context.Context, integration, table, actor, reason string) error // a new snapshot of one of its tables
	CaptureGaps(ctx context.Context) (map[string][]delivery.CaptureGap, error)        // what is missing of tables, by integration
	File(ctx context.Context, id string) (delivery.StoredFile, error)
	OpenFile(ctx context.Context, id string) (io.ReadCloser, error) // its stored bytes
	Record(ctx context.Context, e delivery.AuditEntry) error        // sign-in, sign-out, payload looked at
	OperatorByName(ctx context.Context, name string) (delivery.Operator, error)
	SignedIn(ctx context.Context, token string) (o delivery.Operator, session string, err error) // whose session has that token
	SignIn(ctx context.Context, o delivery.Operator, details json.RawMessage) error              // delivery.ErrNotFound: o changed meanwhile
	// KnownPlace reports whether the person of that name has signed in with the browser that has this secret, and from that address.
	KnownPlace(ctx context.Context, name, secret, address string) (browser, known bool, err error)
	RememberPlace(ctx context.Context, o delivery.Operator, secret, address string) error
	TokenByHash(ctx context.Context, sha256 []byte) (delivery.Token, error) // not revoked
	// Find, Commit and Delete with a context are the session store of scs (scs.CtxStore).
	FindCtx(ctx context.Context, token string) (b []byte, found bool, err error)
	CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, token string) error
	Find(token string) (b []byte, found bool, err error)
	Commit(token string, b []byte, expiry time.Time) error
	Delete(token string) error
}
