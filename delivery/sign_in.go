package delivery

import (
	"encoding/json"
	"time"
)

// SignInMethod is how somebody proved who they are.
type SignInMethod string

// Ways to sign in.
const (
	SignInPassword SignInMethod = "password"
	SignInCode     SignInMethod = "password-and-code" // of an app, or a recovery code
	SignInPasskey  SignInMethod = "passkey"
	SignInProvider SignInMethod = "provider" // single sign-on
)

// ProvidedPerson is somebody whom a provider of single sign-on vouches for.
type ProvidedPerson struct {
	Issuer  string
	Subject string // never changes, and is nobody else's at this issuer
	Name    string // what they want to be called; somebody else may have it
	Role    Role   // by their groups of now; empty: only Grants
	Grants  Grants // likewise, for some integrations
}

// Unproven is when somebody proved who they are whose provider does not tell: too long ago for what asks for a sign-in of just now.
var Unproven = time.Unix(0, 0)

// ProviderLogout is what a provider says of sessions that have ended there.
type ProviderLogout struct {
	Issuer    string
	Subject   string // empty: only the session is named
	Session   string // empty: all of the subject's
	TokenID   string // of this message; none is taken twice
	ExpiresAt time.Time
}

// ChallengeKind is what a challenge is about.
type ChallengeKind string

// Kinds of challenges.
const (
	ChallengeProvider   ChallengeKind = "provider"    // a sign-in at the provider is under way
	ChallengeLogout     ChallengeKind = "logout"      // a message of the provider, kept so that it is taken once
	ChallengeCode       ChallengeKind = "code"        // the password fits, the code is to come
	ChallengePasskey    ChallengeKind = "passkey"     // a sign-in by passkey is under way
	ChallengeNewPasskey ChallengeKind = "new-passkey" // a passkey is being made
	ChallengeForm       ChallengeKind = "form"        // what somebody typed who is at the provider
	ChallengeEnded      ChallengeKind = "ended"       // a sign-in that a browser kept has ended
)

// Challenge is what is kept between two requests of one sign-in. It is taken once.
type Challenge struct {
	Kind     ChallengeKind
	Operator string // id; empty: not known yet
	Address  string // of whom nothing else is known: those of one address make room for each other
	Data     []byte
	Used     bool // it had been taken before: nothing else is told of it
}

// ChallengeTime is how long a challenge can be answered.
const ChallengeTime = 10 * time.Minute

// CodeSecret is what the codes of a person's app are made of (RFC 6238).
type CodeSecret struct {
	Secret    []byte
	Confirmed bool // its person has sent a code of it
	Blocked   bool // too many codes were wrong: none is looked at for a while
}

// Passkey is one passkey of a person.
type Passkey struct {
	ID           string
	OperatorID   string
	CredentialID []byte
	Credential   json.RawMessage // public key and what else the authenticator told
	Name         string          // that its person gave it
	SignCount    uint32          // how often it was shown, as it counts itself; 0: it does not count
	CreatedAt    time.Time
	UsedAt       *time.Time
}

// CheckPasskeyName refuses a name that no passkey can have. The error is an *InputError.
func CheckPasskeyName(name string) error {
	if !isNameOf(name, tokenName) {
		return Mistake("invalid_name.passkey", "name", "max", MaxName)
	}
	return nil
}

// Wrong codes of one person, whose password was right, before others are looked at only after a time.
const (
	MaxWrongCodes = 8
	WrongCodeTime = 15 * time.Minute
)
