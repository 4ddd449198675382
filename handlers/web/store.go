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
	OpenFile(ctx context.Context, id string) (io.ReadCloser, error)  // its stored bytes
	ApprovalsToDo(ctx context.Context, person string) (int, error)   // requests that a person may approve, up to 100
	Record(ctx context.Context, e delivery.AuditEntry) error         // sign-in, sign-out, payload looked at
	HashSubject(ctx context.Context, subject string) (string, error) // under which a data subject is known
	OperatorByName(ctx context.Context, name string) (delivery.Operator, error)
	SignedIn(ctx context.Context, token string) (o delivery.Operator, session delivery.Session, err error) // whose session has that token
	SignIn(ctx context.Context, o delivery.Operator, details json.RawMessage) error                        // delivery.ErrNotFound: o changed meanwhile
	// SignInProvided lets a person of single sign-on in, who is made or changed for that; one who is disabled is returned and not let in.
	SignInProvided(ctx context.Context, p delivery.ProvidedPerson, details json.RawMessage) (delivery.Operator, error)
	EndProvided(ctx context.Context, l delivery.ProviderLogout) (ended int, err error)
	IDToken(ctx context.Context, session string) (string, error) // with which a session began; empty: by none
	TicketKey(ctx context.Context) ([]byte, error)               // with which tickets are sealed
	TicketEnded(ctx context.Context, id string) (bool, error)
	EndTicket(ctx context.Context, id string) error // delivery.ErrNotFound: it had ended before
	KeepChallenge(ctx context.Context, secret string, c delivery.Challenge) error
	TakeChallenge(ctx context.Context, secret string, kind delivery.ChallengeKind) (delivery.Challenge, error) // once
	Operator(ctx context.Context, id string) (delivery.Operator, error)
	Passkeys(ctx context.Context, operator string) ([]delivery.Passkey, error)
	UsePasskey(ctx context.Context, k delivery.Passkey) error // delivery.ErrNotFound: its count does not grow
	CodeSecret(ctx context.Context, operator string) (delivery.CodeSecret, error)
	UseCode(ctx context.Context, operator string, step int64) error // once, as the next one
	UseRecoveryCode(ctx context.Context, o delivery.Operator, hash []byte, details json.RawMessage) error
	FailCode(ctx context.Context, o delivery.Operator, details json.RawMessage) error
	// KnownPlace reports whether the person of that name has signed in with the browser that has this secret, and from that address.
	KnownPlace(ctx context.Context, name, secret, address string) (browser, known bool, err error)
	RememberPlace(ctx context.Context, o delivery.Operator, secret, address string) error
	TokenByHash(ctx context.Context, sha256 []byte) (delivery.Token, error) // not revoked; *delivery.ExpiredTokenError
	NoteTokenUses(ctx context.Context, uses []delivery.TokenUse) error
	// Find, Commit and Delete with a context are the session store of scs (scs.CtxStore).
	FindCtx(ctx context.Context, token string) (b []byte, found bool, err error)
	CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error
	DeleteCtx(ctx context.Context, token string) error
	Find(token string) (b []byte, found bool, err error)
	Commit(token string, b []byte, expiry time.Time) error
	Delete(token string) error
}
