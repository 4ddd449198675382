package cli

import (
	"net/url"
	"os"
	"strings"
	"time"

	"redrive/handlers/web/sso"
	"redrive/internal/cli/client"
)

// SignIn are the settings of how people sign in.
type SignIn struct {
	PublicURL       string        `env:"REDRIVE_PUBLIC_URL"                                     help:"Address at which browsers reach the console, such as https://redrive.example.com; empty: the address that is listened on."                                  name:"public-url"`
	SessionLifetime time.Duration `env:"REDRIVE_SESSION_LIFETIME"     default:"12h"             help:"How long a session lasts at most."`
	SessionIdle     time.Duration `env:"REDRIVE_SESSION_IDLE"         default:"2h"              help:"How long a session lasts without use."`
	RevealFor       time.Duration `env:"REDRIVE_REVEAL_FOR"           default:"0s"              help:"How long whoever was shown a masked field may look at it again without another reason; 0s: not. At most 24h."`
	FreshSignIn     time.Duration `env:"REDRIVE_FRESH_SIGN_IN"        default:"15m"             help:"How old a sign-in may be for what reveals, edits, changes many or administers; whoever signed in earlier signs in again. API tokens are not asked."`
	OIDCIssuer      string        `env:"REDRIVE_OIDC_ISSUER"                                    help:"Issuer URL of the provider of single sign-on (OpenID Connect); empty: there is none."                                                                       name:"oidc-issuer"`
	OIDCName        string        `env:"REDRIVE_OIDC_NAME"                                      help:"What people call the provider; empty: its host."                                                                                                            name:"oidc-name"`
	OIDCClientID    string        `env:"REDRIVE_OIDC_CLIENT_ID"                                 help:"Client id of Redrive at the provider."                                                                                                                      name:"oidc-client-id"`
	OIDCSecret      string        `env:"REDRIVE_OIDC_CLIENT_SECRET"                             help:"Client secret of Redrive at the provider; empty: a public client."                                                                                          name:"oidc-client-secret"`
	OIDCSecretFile  string        `env:"REDRIVE_OIDC_CLIENT_SECRET_FILE"                        help:"File with the client secret instead."                                                                                                                       name:"oidc-client-secret-file"`
	OIDCGroups      string        `env:"REDRIVE_OIDC_GROUPS_CLAIM"    default:"groups"          help:"Claim with the groups of a person; realm_access.roles is roles within realm_access."                                                                        name:"oidc-groups-claim"`
	OIDCRoles       string        `env:"REDRIVE_OIDC_ROLES"                                     help:"Roles of groups: admin=GROUP; operator=ANOTHER; on-call[push, team=shop]=GROUP. The first for all integrations that fits counts, and each for some (by name, or by all of the labels); whoever is in none of the groups is not let in."                                                  name:"oidc-roles"`
	OIDCFresh       sso.Fresh     `env:"REDRIVE_OIDC_FRESH"       default:"auth_time"           help:"What shows that somebody signed in at the provider just now: auth_time of the ID token, or for a provider that has none its answer to prompt=login (login) or prompt=select_account (select_account)."  enum:"auth_time,login,select_account" name:"oidc-fresh"`
	OIDCScopes      []string      `env:"REDRIVE_OIDC_SCOPES"                                    help:"Scopes beside openid and profile, with commas between; empty: groups, where the provider has it."                                                           name:"oidc-scopes"`
}

// shortest is the shortest time that a session or a sign-in may last: less than that nobody can work with.
const shortest = time.Minute

// longestReveal is the longest time for which one reason may do.
const longestReveal = 24 * time.Hour

func (s *SignIn) check() error {
	for name, d := range map[string]time.Duration{"REDRIVE_SESSION_LIFETIME": s.SessionLifetime, "REDRIVE_SESSION_IDLE": s.SessionIdle, "REDRIVE_FRESH_SIGN_IN": s.FreshSignIn} {
		if d < shortest {
			return Misused(client.Said("%s: a duration such as 2h, at least %s", name, shortest))
		}
	}
	if s.RevealFor < 0 || s.RevealFor > longestReveal {
		return Misused(client.Said("REDRIVE_REVEAL_FOR: a duration such as 15m, at most %s", longestReveal))
	}
	if s.PublicURL != "" && !isOrigin(s.PublicURL) {
		return Misused(client.Said("REDRIVE_PUBLIC_URL: %q is not http(s)://host without anything behind it", s.PublicURL))
	}
	_, err := s.Provider()
	return err
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// Public is where browsers reach the console, which listens at base.
func (s *SignIn) Public(base string) string {
	if s.PublicURL == "" {
		return base
	}
	return strings.TrimRight(s.PublicURL, "/")
}

// Provider is the provider of single sign-on that the settings name, without what reaches it; nil: they name none.
func (s *SignIn) Provider() (*sso.Config, error) {
	if s.OIDCIssuer == "" {
		if s.OIDCClientID+s.OIDCSecret+s.OIDCSecretFile+s.OIDCRoles != "" {
			return nil, Misused(client.Said("REDRIVE_OIDC_ISSUER: name the provider, or leave out what else is set of it"))
		}
		return nil, nil
	}
	u, err := url.Parse(s.OIDCIssuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, Misused(client.Said("REDRIVE_OIDC_ISSUER: %q is no URL such as https://login.example.com/realms/shop", s.OIDCIssuer))
	}
	if s.OIDCClientID == "" {
		return nil, Misused(client.Said("REDRIVE_OIDC_CLIENT_ID: the provider knows Redrive by it"))
	}
	roles, err := sso.ParseRoles(s.OIDCRoles)
	if err != nil {
		return nil, Misused(client.Said("REDRIVE_OIDC_ROLES: %s", err))
	}
	secret, err := s.secret()
	if err != nil {
		return nil, err
	}
	return &sso.Config{Issuer: s.OIDCIssuer, Name: s.OIDCName, Fresh: s.OIDCFresh, ClientID: s.OIDCClientID, ClientSecret: secret, GroupsClaim: s.OIDCGroups, Roles: roles,
		Scopes: s.OIDCScopes}, nil
}

func (s *SignIn) secret() (string, error) {
	switch {
	case s.OIDCSecretFile == "":
		return s.OIDCSecret, nil
	case s.OIDCSecret != "":
		return "", Misused(client.Said("REDRIVE_OIDC_CLIENT_SECRET_FILE: the secret itself is set, too; leave one of them out"))
	}
	raw, err := os.ReadFile(s.OIDCSecretFile)
	if err != nil {
		return "", Misused(client.Said("REDRIVE_OIDC_CLIENT_SECRET_FILE: %s", err))
	}
	return strings.TrimSpace(string(raw)), nil
}
