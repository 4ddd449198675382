package delivery

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// Token is an API token: of a person, or of a robot, which has rights of its own.
type Token struct {
	ID        string
	Name      string
	Owner     *Operator // whose it is: ID, Name, Role and Grants; nil: a robot's
	OfSetting bool      // REDRIVE_API_TOKEN is its secret
	Role      Role      // for all integrations; empty: only what Grants say
	Grants    Grants    // beside the role
	Secret    string    // id of the secret that it was found by
	Holder    string    // see the store's Holding
	CreatedAt time.Time
	RevokedAt *time.Time
	Secrets   TokenSecrets  // in lists, the newest first
	Lifetime  time.Duration // of a new one's secret; 0: it never expires
}

// TokenSecret is what is known of one secret of a token: never the secret itself.
type TokenSecret struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // nil: never
	Expired   bool       `json:"expired"`    // by the database's clock
	UsedAt    *time.Time `json:"used_at"`    // the last time, give or take a minute
	UsedFrom  string     `json:"used_from"`  // the address of that time
}

// TokenSecrets are those of one token.
type TokenSecrets []TokenSecret

// Scan reads what the store answers (sql.Scanner).
func (s *TokenSecrets) Scan(stored any) error { return scanJSON(stored, s) }

// Expired reports whether none of them is valid any more.
func (s TokenSecrets) Expired() bool {
	return !slices.ContainsFunc(s, func(one TokenSecret) bool { return !one.Expired })
}

// Rights is what a token may do now: one of a person never more than they may.
func (t Token) Rights() Rights {
	own := RightsOf(t.Role, t.Grants)
	if t.Owner == nil {
		return own
	}
	return own.And(t.Owner.Rights())
}

// OwnerID is the id of the person whose it is, empty for a robot's.
func (t Token) OwnerID() string {
	if t.Owner == nil {
		return ""
	}
	return t.Owner.ID
}

// Actor is what a token is called where actors are shown: so that it passes for no person.
func (t Token) Actor() string {
	if t.Owner == nil {
		return "token:" + t.Name
	}
	return "token:" + t.Owner.Name + "/" + t.Name
}

// Check refuses a name or a role that no token can have. The error is an *InputError.
func (t Token) Check() error {
	if !isNameOf(t.Name, tokenName) {
		return Mistake("invalid_name.token", "name", "max", MaxName)
	}
	return checkGranted(t.Role, t.Grants)
}

// Give gives a token what a grant says: for all integrations a role stands beside the grants.
func (t *Token) Give(g Grant) {
	if g.Everywhere() && len(g.Permissions) == 0 {
		t.Role = g.Role
		return
	}
	t.Grants = append(t.Grants, g)
}

// TokenRotation gives a token a new secret.
type TokenRotation struct {
	ID       string
	Hash     []byte        // SHA-256 of the new secret
	Lifetime time.Duration // of the new secret
	Overlap  time.Duration // so long the ones before still let in, at most until they expire; 0: not at all
	Actor    string
}

// TokenUse is the last use of a secret.
type TokenUse struct {
	Secret  string // id
	Ago     time.Duration
	Address string
}

// ExpiredTokenError says that a secret was right, and has expired.
type ExpiredTokenError struct{ Token string } // id

func (e *ExpiredTokenError) Error() string { return e.Phrase().String() }

// Phrase says what to do.
func (*ExpiredTokenError) Phrase() Phrase { return Say("token_expired") }

// TokenLifetimes are how long new secrets of tokens are valid.
type TokenLifetimes struct {
	Standard, Most time.Duration
}

// StandardTokenLifetimes hold where no setting says otherwise: a quarter and a year.
var StandardTokenLifetimes = TokenLifetimes{Standard: 90 * 24 * time.Hour, Most: 366 * 24 * time.Hour}

// MaxTokenOverlap is how long a secret is valid at most after another one has taken its place.
const MaxTokenOverlap = 30 * 24 * time.Hour

// StandardTokenOverlap is how long that is where nobody says otherwise.
const StandardTokenOverlap = 24 * time.Hour

// Of returns the lifetime that was asked for in hours, the standard one for 0. The error is an *InputError.
func (l TokenLifetimes) Of(hours int) (time.Duration, error) {
	most := int(l.Most / time.Hour)
	switch {
	case hours == 0:
		return l.Standard, nil
	case hours < 0 || hours > most:
		return 0, Mistake("invalid_lifetime", "lifetime_hours", "max", most)
	}
	return time.Duration(hours) * time.Hour, nil
}

// TokenOverlap returns an overlap that was asked for in hours. The error is an *InputError.
func TokenOverlap(hours int) (time.Duration, error) {
	most := int(MaxTokenOverlap / time.Hour)
	if hours < 0 || hours > most {
		return 0, Mistake("invalid_overlap", "overlap_hours", "max", most)
	}
	return time.Duration(hours) * time.Hour, nil
}

// The text of a secret is TokenPrefix, then 32 random bytes and their checksum (CRC-32, IEEE, big-endian) in Base32 of small letters without
// padding: programs that look for secrets find it by TokenPattern, and can tell by the checksum that it is one.
const (
	TokenPrefix  = "rdr_"
	TokenPattern = `rdr_[a-z2-7]{58}`
	tokenBytes   = 32
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewTokenSecret makes a secret up.
func NewTokenSecret() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	return tokenSecretOf(raw)
}

func tokenSecretOf(raw []byte) string {
	return TokenPrefix + tokenText.EncodeToString(binary.BigEndian.AppendUint32(slices.Clone(raw), crc32.ChecksumIEEE(raw)))
}

// IsWholeToken reports whether a text is a secret as NewTokenSecret makes them, without a letter missing or changed.
func IsWholeToken(text string) bool {
	rest, found := strings.CutPrefix(text, TokenPrefix)
	raw, err := tokenText.DecodeString(rest)
	return found && err == nil && len(raw) == tokenBytes+crc32.Size && tokenSecretOf(raw[:tokenBytes]) == text
}
