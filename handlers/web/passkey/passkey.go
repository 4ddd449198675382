// Package passkey makes and checks passkeys (WebAuthn). A user is always verified by the authenticator, so that one counts as two factors.
package passkey

import (
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"redrive/delivery"
)

// Keys makes and checks the passkeys of one site.
type Keys struct{ site *webauthn.WebAuthn }

// maxResponse bounds what a browser may send of an authenticator.
const maxResponse = 64 << 10

// Origin is where browsers have to be for passkeys of a site: they want a name for it, so that of this machine is localhost. It is empty
// where there can be none: at an address that is a number.
func Origin(site string) string {
	u, err := url.Parse(site)
	if err != nil || u.Host == "" {
		return ""
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case ip == nil:
		return u.Scheme + "://" + u.Host
	case ip.IsLoopback():
		return u.Scheme + "://" + strings.TrimSuffix(net.JoinHostPort("localhost", u.Port()), ":")
	}
	return ""
}

// New returns the passkeys of a site, or nil where there can be none.
func New(site string) (*Keys, error) {
	origin := Origin(site)
	u, err := url.Parse(origin)
	if origin == "" || err != nil {
		return nil, err
	}
	keys, err := webauthn.New(&webauthn.Config{RPID: u.Hostname(), RPDisplayName: "Redrive", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired},
		Timeouts: webauthn.TimeoutsConfig{Login: webauthn.TimeoutConfig{Enforce: true}, Registration: webauthn.TimeoutConfig{Enforce: true}}})
	if err != nil {
		return nil, err
	}
	return &Keys{keys}, nil
}

// Person is somebody with their passkeys.
type Person struct {
	delivery.Operator
	Passkeys []delivery.Passkey
}

// WebAuthnID implements webauthn.User: the id of the person.
func (p Person) WebAuthnID() []byte {
	id, _ := uuid.Parse(p.ID) // of the store
	return id[:]
}

// WebAuthnName implements webauthn.User.
func (p Person) WebAuthnName() string { return p.Name }

// WebAuthnDisplayName implements webauthn.User.
func (p Person) WebAuthnDisplayName() string { return p.Name }

// WebAuthnCredentials implements webauthn.User.
func (p Person) WebAuthnCredentials() (all []webauthn.Credential) {
	for _, k := range p.Passkeys {
		var c webauthn.Credential
		if json.Unmarshal(k.Credential, &c) == nil {
			c.Authenticator.SignCount = k.SignCount
			all = append(all, c)
		}
	}
	return all
}

// Error says why a passkey is refused.
type Error struct{ cause error }

func (e *Error) Error() string {
	var of *protocol.Error
	if errors.As(e.cause, &of) {
		return delivery.OneLine(of.Details + " " + of.DevInfo)
	}
	return delivery.OneLine(e.cause.Error())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

var (
	errCloned  = errors.New("the authenticator counts backwards: there may be a copy of it")
	errTooLong = errors.New("the response is too long")
)

// BeginNew returns what a browser needs to make a passkey, and what FinishNew needs.
func (k *Keys) BeginNew(p Person) (options, session []byte, err error) {
	var known []protocol.CredentialDescriptor
	for _, c := range p.WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	made, data, err := k.site.BeginRegistration(p, webauthn.WithExclusions(known))
	if err != nil {
		return nil, nil, err
	}
	return both(made.Response, data)
}

// FinishNew returns the passkey that a browser made. What does not fit is an *Error.
func (k *Keys) FinishNew(p Person, session, response []byte) (made delivery.Passkey, err error) {
	var data webauthn.SessionData
	if err := json.Unmarshal(session, &data); err != nil {
		return made, err
	}
	if len(response) > maxResponse {
		return made, &Error{errTooLong}
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return made, &Error{err}
	}
	c, err := k.site.CreateCredential(p, data, parsed)
	if err != nil {
		return made, &Error{err}
	}
	return kept(p, *c)
}

// BeginSignIn returns what a browser needs to show a passkey of this site, and what FinishSignIn needs.
func (k *Keys) BeginSignIn() (options, session []byte, err error) {
	asked, data, err := k.site.BeginDiscoverableLogin()
	if err != nil {
		return nil, nil, err
	}
	return both(asked.Response, data)
}

// FinishSignIn returns whose passkey a browser showed, and the passkey with its new count. find returns the person of an id. What does
// not fit is an *Error, with the person where one is known.
func (k *Keys) FinishSignIn(session, response []byte, find func(id string) (Person, error)) (p Person, used delivery.Passkey, err error) {
	var data webauthn.SessionData
	if err := json.Unmarshal(session, &data); err != nil {
		return p, used, err
	}
	if len(response) > maxResponse {
		return p, used, &Error{errTooLong}
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return p, used, &Error{err}
	}
	_, c, err := k.site.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		id, err := uuid.FromBytes(handle)
		if err != nil {
			return nil, err
		}
		p, err = find(id.String())
		return p, err
	}, data, parsed)
	switch {
	case err != nil:
		return p, used, &Error{err}
	case c.Authenticator.CloneWarning:
		return p, used, &Error{errCloned}
	}
	used, err = kept(p, *c)
	return p, used, err
}

func both(options, session any) (o, s []byte, err error) {
	if o, err = json.Marshal(options); err != nil {
		return nil, nil, err
	}
	s, err = json.Marshal(session)
	return o, s, err
}

func kept(p Person, c webauthn.Credential) (delivery.Passkey, error) {
	raw, err := json.Marshal(c)
	return delivery.Passkey{OperatorID: p.ID, CredentialID: c.ID, Credential: raw, SignCount: c.Authenticator.SignCount}, err
}
