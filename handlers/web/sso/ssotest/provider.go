// Package ssotest is a provider of OpenID Connect for tests, with real keys: it asks nobody who they are, and what it signs can be spoilt.
package ssotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the provider knows Redrive by.
const (
	ClientID = "redrive"
	Secret   = "client-secret"
	KeyID    = "k1"
)

// Provider is the provider. Its fields say who is signed in there and what it does to its answers; change them between requests only.
type Provider struct {
	*httptest.Server
	Key      *rsa.PrivateKey
	Subject  string
	Name     string
	Groups   any // of the claim; nil: it has none
	Session  string
	SignedIn time.Time           // at the provider
	Change   func(Claims)        // of the ID token, before it is signed
	Sign     func([]byte) string // instead of the right key
	UserInfo Claims              // told when asked; nil: there is no such place
	Keep     bool                // a code works again and again

	t     testing.TB
	mu    sync.Mutex
	codes map[string]request
	away  bool
}

// Claims are those of a token.
type Claims map[string]any

// request is a sign-in for which a code was handed out.
type request struct{ nonce, challenge, back, maxAge string }

// New starts a provider that ends with the test.
func New(t testing.TB) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Key: key, Subject: "subject-1", Name: "ann", Groups: []string{"ops"}, Session: "session-1", SignedIn: time.Now(), t: t,
		codes: map[string]request{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.UserInfo) })
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.isAway() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// Away lets the provider answer nothing but 503, or again as before.
func (p *Provider) Away(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *Provider) isAway() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // whoever left is no concern
}

func (p *Provider) configuration(w http.ResponseWriter, _ *http.Request) {
	all := Claims{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"end_session_endpoint": p.URL + "/end", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
		"scopes_supported": []string{"openid", "profile", "groups"}}
	if p.UserInfo != nil {
		all["userinfo_endpoint"] = p.URL + "/userinfo"
	}
	answer(w, all)
}

// authorize hands a code to whoever asks.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" {
		http.Error(w, "a request without client, code, PKCE or state", http.StatusBadRequest)
		return
	}
	if q.Get("prompt") == "login" {
		p.SignedIn = time.Now()
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = request{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri"), q.Get("max_age")}
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	p.mu.Lock()
	asked, known := p.codes[r.FormValue("code")]
	if !p.Keep {
		delete(p.codes, r.FormValue("code"))
	}
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	proof := base64.RawURLEncoding.EncodeToString(sum[:])
	if !known || unescape(id) != ClientID || unescape(secret) != Secret || proof != asked.challenge || r.FormValue("redirect_uri") != asked.back {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, Claims{"error": "invalid_grant"})
		return
	}
	answer(w, Claims{"access_token": AccessToken, "token_type": "Bearer", "expires_in": 60, "id_token": p.idToken(asked)})
}

func unescape(text string) string {
	plain, _ := url.QueryUnescape(text)
	return plain
}

// AccessToken is the one that goes with each ID token.
const AccessToken = "access-token"

func (p *Provider) idToken(asked request) string {
	now := time.Now()
	sum := sha256.Sum256([]byte(AccessToken))
	c := Claims{"iss": p.URL, "sub": p.Subject, "aud": ClientID, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": asked.nonce,
		"auth_time": p.SignedIn.Unix(), "sid": p.Session, "preferred_username": p.Name, "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16])}
	if p.Groups != nil {
		c["groups"] = p.Groups
	}
	if p.Change != nil {
		p.Change(c)
	}
	body, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	if p.Sign != nil {
		return p.Sign(body)
	}
	return p.Signed(body)
}

// Signed is a token by the right key.
func (p *Provider) Signed(body []byte) string { return SignedBy(jose.RS256, p.Key, KeyID, body) }

// SignedBy is a token by any key.
func SignedBy(alg jose.SignatureAlgorithm, key any, id string, body []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// WithoutKey is a token of algorithm none.
func WithoutKey(body []byte) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
}

// ByPublicKey is a token whose secret is the public key, which everybody has.
func (p *Provider) ByPublicKey(body []byte) string {
	public, err := x509.MarshalPKIXPublicKey(&p.Key.PublicKey)
	if err != nil {
		panic(err)
	}
	return SignedBy(jose.HS256, public, KeyID, body)
}

// ByStranger is a token by somebody else's key, which claims to be the provider's.
func ByStranger(body []byte) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return SignedBy(jose.ES256, key, KeyID, body)
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.Key.PublicKey, KeyID: KeyID, Algorithm: "RS256", Use: "sig"}}})
}

// LogoutToken is a message that the session has ended; change spoils it, and may be nil.
func (p *Provider) LogoutToken(change func(Claims)) []byte {
	c := Claims{"iss": p.URL, "aud": ClientID, "sub": p.Subject, "sid": p.Session, "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	if change != nil {
		change(c)
	}
	body, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return body
}

// With returns a change that sets one claim; nil takes it away.
func With(name string, value any) func(Claims) {
	return func(c Claims) {
		maps.DeleteFunc(c, func(n string, _ any) bool { return n == name })
		if value != nil {
			c[name] = value
		}
	}
}
