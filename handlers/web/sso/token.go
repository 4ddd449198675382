package sso

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"redrive/delivery"
)

// skew is how much a provider's clock may be ahead or behind.
const skew = time.Minute

// maxSubject is the longest subject that a provider may use.
const maxSubject = 255

// claims are what is read of an ID token beside what the library checks: signature, issuer, audience and expiry.
type claims struct {
	AuthorizedParty string `json:"azp"`
	AuthTime        *int64 `json:"auth_time"` // nil: it does not say
	Session         string `json:"sid"`

	Username string `json:"preferred_username"`
	Email    string `json:"email"`
	Name     string `json:"name"`
}

// called is what somebody wants to be called.
func (c claims) called(subject string) string { return cmp.Or(c.Username, c.Email, c.Name, subject) }

// check refuses a token that is not the answer to the attempt.
func (p *Provider) check(id *oidc.IDToken, a Attempt, accessToken string) (c claims, err error) {
	if err := id.Claims(&c); err != nil {
		return c, failed("its claims cannot be read: %w", err)
	}
	now := p.cfg.Now()
	switch {
	case a.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1:
		return c, failed("its nonce is not that of this sign-in")
	case !isIdentifier(id.Subject):
		return c, failed("its subject is none")
	case c.AuthorizedParty != "" && c.AuthorizedParty != p.cfg.ClientID:
		return c, failed("it was handed out to somebody else")
	case len(id.Audience) > 1 && c.AuthorizedParty == "":
		return c, failed("it is for several and does not say to whom it was handed out")
	case id.IssuedAt.Unix() <= 0 || id.IssuedAt.After(now.Add(skew)):
		return c, failed("it was issued in the future, or at no time")
	case c.AuthTime != nil && (*c.AuthTime <= 0 || time.Unix(*c.AuthTime, 0).After(now.Add(skew))):
		return c, failed("they signed in in the future, or at no time")
	case c.AuthTime != nil && a.MaxAge > 0 && now.Sub(time.Unix(*c.AuthTime, 0)) > a.MaxAge+skew:
		return c, failed("they signed in at the provider too long ago")
	case id.AccessTokenHash != "" && id.VerifyAccessToken(accessToken) != nil:
		return c, failed("the access token is not that of it")
	case c.Session != "" && !isIdentifier(c.Session):
		return c, failed("its session is none")
	}
	return c, nil
}

// authenticatedAt is when somebody proved who they are. A provider that does not tell is believed that it did as it was asked just now where
// the settings say so.
func (p *Provider) authenticatedAt(c claims, id *oidc.IDToken, a Attempt) time.Time {
	switch {
	case c.AuthTime != nil:
		return time.Unix(*c.AuthTime, 0)
	case a.Again && p.cfg.Fresh != FreshProven:
		return id.IssuedAt
	}
	return delivery.Unproven
}

// isIdentifier reports whether a text can be kept and compared as it is.
func isIdentifier(text string) bool {
	return text != "" && len(text) <= maxSubject && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// groups are those of the ID token, or where it has none, those that the provider tells when it is asked.
func (p *Provider) groups(ctx context.Context, f *found, id *oidc.IDToken, token *oauth2.Token) ([]string, error) {
	groups, told, err := p.groupsOf(id)
	if err != nil || told || f.UserInfoEndpoint() == "" {
		return groups, err
	}
	info, err := f.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, &AwayError{err}
	}
	if info.Subject != id.Subject {
		return nil, failed("what is told of them is about somebody else")
	}
	groups, _, err = p.groupsOf(info)
	return groups, err
}

// groupsOf reads the claim of groups: a list, or one group as a text.
func (p *Provider) groupsOf(from interface{ Claims(any) error }) (groups []string, told bool, err error) {
	var all map[string]json.RawMessage
	if err := from.Claims(&all); err != nil {
		return nil, false, failed("its claims cannot be read: %w", err)
	}
	raw, ok := claimAt(all, p.cfg.GroupsClaim)
	if !ok {
		return nil, false, nil
	}
	if json.Unmarshal(raw, &groups) == nil {
		return groups, true, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, false, failed("its groups are no list of texts")
	}
	return []string{one}, true, nil
}

// claimAt finds a claim by its name, else by the way to it.
func claimAt(all map[string]json.RawMessage, path string) (json.RawMessage, bool) {
	if raw, ok := all[path]; ok {
		return raw, true
	}
	first, rest, nested := strings.Cut(path, ".")
	var within map[string]json.RawMessage
	if !nested || json.Unmarshal(all[first], &within) != nil {
		return nil, false
	}
	return claimAt(within, rest)
}

// Logout reads a message of the provider that sessions have ended there (OpenID Connect Back-Channel Logout). Errors are *AwayError and
// *TokenError.
func (p *Provider) Logout(ctx context.Context, raw string) (l delivery.ProviderLogout, err error) {
	if len(raw) > maxLogout {
		return l, failed("it is too long")
	}
	f, err := p.look(ctx)
	if err != nil {
		return l, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.cfg.Client), askTimeout)
	defer cancel()
	token, err := f.verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return l, p.verifyError(err)
	}
	var c struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	now, event := p.cfg.Now(), map[string]json.RawMessage{}
	switch {
	case token.Claims(&c) != nil || json.Unmarshal(c.Events[logoutEvent], &event) != nil || event == nil:
		return l, failed("its event is no logout")
	case token.IssuedAt.Unix() <= 0 || token.IssuedAt.After(now.Add(skew)):
		return l, failed("it was issued in the future, or at no time")
	case token.Expiry.After(now.Add(maxLogoutTime)):
		return l, failed("it holds for too long") // it has to be remembered for as long
	case token.Subject != "" && !isIdentifier(token.Subject) || token.SessionID != "" && !isIdentifier(token.SessionID) || !isIdentifier(token.TokenID):
		return l, failed("it names nothing that can be")
	}
	return delivery.ProviderLogout{Issuer: token.Issuer, Subject: token.Subject, Session: token.SessionID, TokenID: token.TokenID, ExpiresAt: token.Expiry}, nil
}

const (
	logoutEvent   = "http://schemas.openid.net/event/backchannel-logout"
	maxLogout     = 16 << 10
	maxLogoutTime = 24 * time.Hour
)
