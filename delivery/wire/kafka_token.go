package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"redrive/delivery"
)

const (
	tokenTimeout  = 5 * time.Second
	tokenEarly    = 30 * time.Second // before its end a token is replaced
	tokenDoubt    = time.Second
	tokenEndpoint = "token endpoint"
	maxTokenError = 200
)

// TokenError says that no token was given. Nothing was sent to the broker.
type TokenError struct {
	refused string // the endpoint's answer; empty: it gave none
	cause   error
}

func (e *TokenError) Error() string {
	if e.refused != "" {
		return "the token endpoint gave no token: " + e.refused
	}
	return Unsent(tokenEndpoint, e.cause).Error
}

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.cause }

// result is the outcome of an attempt that needed the token.
func (e *TokenError) result() delivery.Result {
	if e.refused == "" {
		return Unsent(tokenEndpoint, e.cause)
	}
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassRefused, Error: e.Error()}
}

// kafkaToken signs in with a token that is got by client credentials, under the address rules, and kept until shortly before its end.
func (d Dialer) kafkaToken(c *delivery.ClientCredentials) (sasl.Mechanism, error) {
	if c == nil || c.URL == "" || c.ID == "" || c.Secret == "" {
		return nil, errors.New("kafka: sasl by oauthbearer needs token with url, client_id and client_secret")
	}
	secure, err := TLSConfig(&delivery.TLS{CA: c.CA})
	if err != nil {
		return nil, err
	}
	client := d.Client(secure, tokenTimeout)
	ask := clientcredentials.Config{ClientID: c.ID, ClientSecret: c.Secret, TokenURL: c.URL}
	if c.Scope != "" {
		ask.Scopes = strings.Fields(c.Scope)
	}
	keep := &keptToken{source: asked{ask, context.WithValue(context.Background(), oauth2.HTTPClient, client)}}
	keep.Mechanism = oauth.Oauth(func(context.Context) (oauth.Auth, error) {
		token, err := keep.token()
		if err != nil {
			return oauth.Auth{}, tokenError(err)
		}
		return oauth.Auth{Token: token, Extensions: c.Extensions}, nil
	})
	return keep, nil
}

// asked asks for each token: the library's own source keeps one until ten seconds before its end.
type asked struct {
	config clientcredentials.Config
	ctx    context.Context
}

// Token implements oauth2.TokenSource.
func (a asked) Token() (*oauth2.Token, error) { return a.config.Token(a.ctx) }

// keptToken is the mechanism with a token that serves all connections.
type keptToken struct {
	sasl.Mechanism
	source oauth2.TokenSource

	mu    sync.Mutex
	kept  oauth2.TokenSource // nil: nothing is kept
	last  string
	doubt time.Time // since when last was shown without being accepted; zero: it was
}

// token is the one to show. What was shown and not accepted is not shown for long, whenever it ends: its signer may have a new key.
func (m *keptToken) token() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || !m.doubt.IsZero() && time.Since(m.doubt) > tokenDoubt {
		m.kept = oauth2.ReuseTokenSourceWithExpiry(nil, m.source, tokenEarly)
	}
	token, err := m.kept.Token()
	if err != nil {
		return "", err
	}
	if token.AccessToken != m.last {
		m.last, m.doubt = token.AccessToken, time.Now()
	}
	return m.last, nil
}

func (m *keptToken) accepted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubt = time.Time{}
}

// Authenticate implements sasl.Mechanism.
func (m *keptToken) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := m.Mechanism.Authenticate(ctx, host)
	return tokenSession{session, m}, first, err
}

// tokenSession is one sign-in.
type tokenSession struct {
	sasl.Session
	token *keptToken
}

// Challenge implements sasl.Session.
func (s tokenSession) Challenge(answer []byte) (done bool, next []byte, err error) {
	if done, next, err = s.Session.Challenge(answer); done && err == nil {
		s.token.accepted()
	}
	return done, next, err
}

// Client makes requests under the address rules, each within its time. It follows nobody elsewhere: a secret would go along.
func (d Dialer) Client(secure *tls.Config, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: secure, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: timeout, MaxIdleConns: 1, IdleConnTimeout: timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tokenError keeps of the endpoint's answer its status and code: the rest is anybody's text.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode >= 500:
		return &TokenError{cause: fmt.Errorf("it answered %d", refused.Response.StatusCode)}
	case errors.As(err, &refused) && refused.Response != nil:
		text := delivery.OneLine(fmt.Sprintf("%d %s", refused.Response.StatusCode, refused.ErrorCode))
		return &TokenError{refused: strings.TrimSpace(text[:min(len(text), maxTokenError)]), cause: err}
	}
	return &TokenError{cause: err}
}
