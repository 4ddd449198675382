package delivery

import (
	"context"
	"time"
)

// Whoever acts is written down as an actor: the id of a person or a token, or one of the words below, which are no ids. Names change and
// are given again; an id is nobody else's. What an earlier version kept by a name that nobody has any more stays that name.
const (
	ActorProgram   = "redrive"   // what the program does when it starts
	ActorEngine    = "engine"    // outcomes
	ActorPolicy    = "policy"    // whoever decides when nobody does: a time that is over, a failure ratio, a rule of the integrations file
	ActorAnonymous = "anonymous" // whoever did not sign in
)

// Right is what a request was let in with. The store looks at it again in the transaction that acts, and keeps it from ending before that.
type Right struct {
	Actor   string       // id of the person or token
	Session string       // id of the session; empty for a token
	Secret  string       // id of a token's secret; empty for a session
	Holder  string       // names what the right ends with: see the store's Holding
	Need    []Permission // what the request needs, each for some integration at least
	Rights  Rights       // what the actor may do, as far as it was read: of no use for what acts, which reads it again
}

type rightKey struct{}

// WithRight returns a context whose transactions look at a right again.
func WithRight(ctx context.Context, r Right) context.Context {
	return context.WithValue(ctx, rightKey{}, r)
}

// RightOf returns the right of a context; ok is false where the program acts by itself.
func RightOf(ctx context.Context) (r Right, ok bool) {
	r, ok = ctx.Value(rightKey{}).(Right)
	return r, ok
}

// ScopeOf is where a context may do all of what is named: everywhere, where the program acts by itself.
func ScopeOf(ctx context.Context, need ...Permission) Scope {
	r, acts := RightOf(ctx)
	if !acts {
		return Everywhere
	}
	return r.Rights.Scope(need...)
}

// TakingAway returns a context that reads no more than what whoever asks may take away: of what they see, that of the integrations for which
// they have the permission to export.
func TakingAway(ctx context.Context) context.Context {
	r, acts := RightOf(ctx)
	if !acts {
		return ctx
	}
	r.Rights = r.Rights.within(r.Rights[PermitExport])
	return WithRight(ctx, r)
}

// RightError says that whoever acts may not, or no more: nothing was changed.
type RightError struct {
	Right
	Missing     Permission // of whoever is there and may do less than is needed; empty: the session or token ended
	Integration string     // for which it is missing; empty: it is missing for all of them
}

// Phrase says what is missing.
func (e *RightError) Phrase() Phrase {
	switch {
	case e.Integration != "":
		return Say("forbidden.integration", "permission", e.Missing.Phrase(), "integration", e.Integration)
	case e.Missing != "":
		return Say("forbidden.permission", "permission", e.Missing.Phrase())
	case e.Session != "":
		return Say("unauthorized.ended")
	}
	return Say("invalid_token")
}

func (e *RightError) Error() string { return e.Phrase().String() }

// Session is one browser in which a person is signed in.
type Session struct {
	ID         string
	OperatorID string
	Generation int    // of the person, when it began: it holds as long as that is the same
	Device     string // what the browser calls itself
	Address    string
	CreatedAt  time.Time
	SeenAt     time.Time

	Method          SignInMethod
	Age             time.Duration // since they last proved who they are, by the database's clock
	AuthenticatedAt time.Time     // of one that is written: when that was; zero: now
	ProviderSession string        // what the provider calls its own one
	IDToken         string        // of the provider, for signing out there; not listed
}

type sessionKey struct{}

// WithSession returns a context in which a session that is written is that of a person, a device and an address.
func WithSession(ctx context.Context, s Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// SessionOf returns what WithSession gave, or nobody's.
func SessionOf(ctx context.Context) Session {
	s, _ := ctx.Value(sessionKey{}).(Session)
	return s
}
