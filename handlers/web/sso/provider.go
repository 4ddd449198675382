// Package sso signs people in at a provider of OpenID Connect: by authorization code with PKCE, state and nonce. What it knows of HTTP are
// its own requests to the provider.
package sso

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"redrive/delivery"
)

// Config is a provider as the settings name it.
type Config struct {
	Issuer       string // URL, exactly as the provider writes it
	ClientID     string
	ClientSecret string // empty: a public client
	Name         string // what people call it; default: the issuer's host
	GroupsClaim  string // default: groups; a.b is b within a
	Roles        Roles
	Fresh        Fresh            // default: FreshProven
	Scopes       []string         // beside openid and profile; default: groups, where the provider knows it
	Client       *http.Client     // reaches the provider, and nothing that may not be dialled
	Now          func() time.Time // default: time.Now
}

// Fresh says how a provider shows that somebody proved just now who they are.
type Fresh string

// Ways to show it. Of a provider that does not tell when somebody signed in, its word is taken that it did as it was asked, or nothing is.
const (
	FreshProven  Fresh = "auth_time"      // the ID token says when they signed in
	FreshLogin   Fresh = "login"          // the provider answered prompt=login
	FreshAccount Fresh = "select_account" // the provider answered prompt=select_account, which asks for no password
)

// FreshWays lists them.
var FreshWays = []Fresh{FreshProven, FreshLogin, FreshAccount}

// prompt is what the provider is asked to do before somebody counts as having signed in just now.
func (f Fresh) prompt() string {
	if f == FreshAccount {
		return string(f)
	}
	return string(FreshLogin)
}

// Bounds of what is asked of the provider.
const (
	askTimeout = 3 * time.Second
	askAgain   = 30 * time.Second // how long what was found out holds
	doubt      = 5 * time.Second  // how long that the provider is away is not asked again
	maxAnswer  = 1 << 20
	maxTold    = 300 // bytes of an error, which may repeat an answer
)

// Provider is a provider that may be away. It is safe for concurrent use.
type Provider struct {
	cfg Config

	mu     sync.Mutex
	found  *found
	at     time.Time // when it was asked last
	failed error     // the answer to that
}

// found is what a provider says of itself.
type found struct {
	*oidc.Provider
	raw      string
	verifier *oidc.IDTokenVerifier
	meta     struct {
		EndSession string   `json:"end_session_endpoint"`
		Scopes     []string `json:"scopes_supported"`
	}
}

// New returns a provider without asking it.
func New(cfg Config) *Provider {
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	cfg.Fresh = cmp.Or(cfg.Fresh, FreshProven)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	bounded := *cfg.Client
	bounded.Transport = boundedTransport{bounded.Transport}
	cfg.Client = &bounded
	if at, err := url.Parse(cfg.Issuer); cfg.Name == "" && err == nil {
		cfg.Name = at.Host
	}
	return &Provider{cfg: cfg}
}

// Name is what people call the provider.
func (p *Provider) Name() string { return p.cfg.Name }

// Issuer is what the provider calls itself.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// boundedTransport reads no answer without end.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// AwayError says that the provider cannot be asked, and why.
type AwayError struct{ cause error }

func (e *AwayError) Error() string {
	text := delivery.OneLine(e.cause.Error())
	return text[:min(len(text), maxTold)]
}

// Unwrap returns the cause.
func (e *AwayError) Unwrap() error { return e.cause }

// Ready reports by its error whether the provider answers; nobody waits long for that, and it is not asked each time.
func (p *Provider) Ready(ctx context.Context) error {
	_, err := p.look(ctx)
	return err
}

// look returns what the provider says of itself.
func (p *Provider) look(ctx context.Context) (*found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	holds := askAgain
	if p.failed != nil {
		holds = doubt
	}
	if p.at.IsZero() || p.cfg.Now().Sub(p.at) >= holds {
		p.failed = p.ask(ctx)
		p.at = p.cfg.Now()
	}
	if p.failed != nil {
		return nil, &AwayError{p.failed}
	}
	return p.found, nil
}

// noteAway keeps that the provider did not answer, so that nobody is sent there meanwhile.
func (p *Provider) noteAway(err error) {
	var away *AwayError
	if errors.As(err, &away) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed, p.at = away.cause, p.cfg.Now()
	}
}

// ask reads the provider's configuration; as long as that is the same, so are the keys that are known.
func (p *Provider) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.cfg.Client), p.cfg.Issuer)
	if err != nil {
		return err
	}
	var raw rawClaims
	if err := provider.Claims(&raw); err != nil {
		return err
	}
	if p.found != nil && p.found.raw == string(raw) {
		return nil
	}
	fresh := &found{Provider: provider, raw: string(raw)}
	if err := provider.Claims(&fresh.meta); err != nil {
		return err
	}
	if endpoint := provider.Endpoint(); !isAddress(endpoint.AuthURL) || !isAddress(endpoint.TokenURL) {
		return errors.New("it names no address to sign in at")
	}
	fresh.verifier = provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID, Now: p.cfg.Now})
	p.found = fresh
	return nil
}

func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// rawClaims keeps a document as it was written.
type rawClaims string

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawClaims) UnmarshalJSON(b []byte) error {
	*r = rawClaims(b)
	return nil
}

// Attempt is what one sign-in needs when it comes back. It is secret.
type Attempt struct {
	Nonce    string        `json:"nonce"`
	Verifier string        `json:"verifier"`
	Back     string        `json:"back"`            // URL to which the provider sends them
	MaxAge   time.Duration `json:"max_age"`         // the sign-in at the provider may be as old
	Again    bool          `json:"again,omitempty"` // the provider is to ask who it is, whoever is signed in there
}

// Begin returns where an attempt begins that comes back to a URL. keep answers the state by which it is found again.
func (p *Provider) Begin(ctx context.Context, a Attempt, keep func(Attempt) (state string, err error)) (address string, err error) {
	f, err := p.look(ctx)
	if err != nil {
		return "", err
	}
	a.Nonce, a.Verifier = rand.Text(), oauth2.GenerateVerifier()
	state, err := keep(a)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier),
		oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(a.MaxAge.Seconds())))}
	if a.Again {
		options = append(options, oauth2.SetAuthURLParam("prompt", p.cfg.Fresh.prompt()))
	}
	return p.oauth(f, a.Back).AuthCodeURL(state, options...), nil
}

func (p *Provider) oauth(f *found, back string) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID, "profile"}
	if p.cfg.Scopes != nil {
		scopes = append(scopes, p.cfg.Scopes...)
	} else if strings.Contains(" "+strings.Join(f.meta.Scopes, " ")+" ", " groups ") {
		scopes = append(scopes, "groups")
	}
	return &oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: f.Endpoint(), RedirectURL: back, Scopes: scopes}
}

// SignOut is where a person whose ID token that was signs out at the provider; empty where it has no such place. Afterwards it sends them
// to back.
func (p *Provider) SignOut(ctx context.Context, idToken, back string) string {
	f, err := p.look(ctx)
	if err != nil || !isAddress(f.meta.EndSession) {
		return ""
	}
	u, _ := url.Parse(f.meta.EndSession) // isAddress has read it
	query := u.Query()
	query.Set("client_id", p.cfg.ClientID)
	query.Set("post_logout_redirect_uri", back)
	if idToken != "" {
		query.Set("id_token_hint", idToken)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Signed is somebody who signed in at the provider.
type Signed struct {
	delivery.ProvidedPerson
	Session         string // what the provider calls its own one; empty: it has no name for it
	IDToken         string
	AuthenticatedAt time.Time // delivery.Unproven where nothing shows it
}

var (
	errNoRole   = errors.New("none of their groups has a role")
	errDisabled = errors.New("they are disabled")
	errUnproven = errors.New("the provider does not say when they signed in")
)

// NoRoleError says that somebody is in no group that has a role here.
type NoRoleError struct{ Signed }

func (e *NoRoleError) Error() string { return errNoRole.Error() }

// Who is who came.
func (s Signed) Who() Signed { return s }

// DisabledError says that somebody is disabled here, whatever the provider says.
type DisabledError struct{ Signed }

func (e *DisabledError) Error() string { return errDisabled.Error() }

// UnprovenError says that the provider was to ask somebody anew, and does not tell whether it did.
type UnprovenError struct{ Signed }

func (e *UnprovenError) Error() string { return errUnproven.Error() }

// TokenError says what is wrong with what the provider handed out.
type TokenError struct{ cause error }

func (e *TokenError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.cause }

func failed(format string, args ...any) error { return &TokenError{fmt.Errorf(format, args...)} }

// Finish takes the code with which somebody came back. Errors are *AwayError, *TokenError, or *NoRoleError for somebody who is known and
// may do nothing.
func (p *Provider) Finish(ctx context.Context, a Attempt, code string) (s Signed, err error) {
	defer func() { p.noteAway(err) }()
	f, err := p.look(ctx)
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.cfg.Client), 2*askTimeout)
	defer cancel()
	token, err := p.oauth(f, a.Back).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return s, exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return s, failed("no ID token was handed out")
	}
	id, err := f.verifier.Verify(ctx, raw)
	if err != nil {
		return s, p.verifyError(err)
	}
	claims, err := p.check(id, a, token.AccessToken)
	if err != nil {
		return s, err
	}
	groups, err := p.groups(ctx, f, id, token)
	if err != nil {
		return s, err
	}
	role, grants := p.cfg.Roles.of(groups)
	s = Signed{Session: claims.Session, IDToken: raw, AuthenticatedAt: p.authenticatedAt(claims, id, a),
		ProvidedPerson: delivery.ProvidedPerson{Issuer: p.cfg.Issuer, Subject: id.Subject, Name: claims.called(id.Subject), Role: role, Grants: grants}}
	if s.Role == "" && len(s.Grants) == 0 {
		return s, &NoRoleError{s}
	}
	return s, nil
}

// exchangeError tells a code that was refused from a provider that is away.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError {
		return failed("the code was refused: %d %s", refused.Response.StatusCode, delivery.OneLine(refused.ErrorCode))
	}
	return &AwayError{err}
}

// verifyError tells a token that does not fit from keys that could not be asked for.
func (p *Provider) verifyError(err error) error {
	var away *url.Error
	if errors.As(err, &away) || strings.Contains(err.Error(), "fetching keys") {
		return &AwayError{err}
	}
	return &TokenError{err}
}
