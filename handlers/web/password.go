package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"redrive/delivery"
	"redrive/handlers/web/passwords"
)

// Parameters of argon2id for new hashes. The memory is modest, because hashes under way count against the whole program.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	SaltBytes   = 16
	KeyBytes    = 32
)

// hashing bounds how many hashes are computed at once, and with them memory and processor time.
var hashing = make(chan struct{}, 2)

var errPasswordTooLong = fmt.Errorf("handlers: the password has more than %d bytes", delivery.MaxPassword)

// NewPassword makes up a password of 120 random bits, in lower-case letters and digits.
func NewPassword() string {
	raw := make([]byte, 15)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

// HashPassword returns the argon2id hash of a password as a PHC string.
func HashPassword(password string) (string, error) {
	if len(password) > delivery.MaxPassword {
		return "", errPasswordTooLong
	}
	salt := make([]byte, SaltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("handlers: salt: %w", err)
	}
	h := ArgonHash{Memory: argonMemory, Time: argonTime, Lanes: argonLanes, Salt: salt}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	h.Key = h.Derive(passwords.Normal(password), KeyBytes)
	return h.String(), nil
}

// VerifyPassword reports whether password fits the PHC string. It waits for its turn as long as ctx allows.
func VerifyPassword(ctx context.Context, encoded, password string) (bool, error) {
	h, err := parseArgon(encoded)
	if err != nil {
		return false, err
	}
	if len(password) > delivery.MaxPassword {
		return false, nil
	}
	select {
	case hashing <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-hashing }()
	normal := passwords.Normal(password)
	return h.fits(normal) || normal != password && h.fits(password), nil // hashes of before are of what was typed
}

func (h ArgonHash) fits(password string) bool {
	return subtle.ConstantTimeCompare(h.Key, h.Derive(password, uint32(len(h.Key)))) == 1 // bounded by parseArgon
}

// ArgonHash is a password's argon2id hash with its parameters.
type ArgonHash struct {
	Memory, Time uint32
	Lanes        uint8
	Salt, Key    []byte
}

// Derive returns the key of a password, of so many bytes.
func (h ArgonHash) Derive(password string, length uint32) []byte {
	return argon2.IDKey([]byte(password), h.Salt, h.Time, h.Memory, h.Lanes, length)
}

// String returns the hash in the PHC format.
func (h ArgonHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Time, h.Lanes,
		base64.RawStdEncoding.EncodeToString(h.Salt), base64.RawStdEncoding.EncodeToString(h.Key))
}

var errHash = errors.New("handlers: not an argon2id hash")

// parseArgon reads a PHC string. Costs are bounded: a hash that somebody wrote into the table must not take the machine.
func parseArgon(encoded string) (ArgonHash, error) {
	var h ArgonHash
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.Memory, &h.Time, &h.Lanes); err != nil {
		return h, fmt.Errorf("%w: %w", errHash, err)
	}
	var err error
	if h.Salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err == nil {
		h.Key, err = base64.RawStdEncoding.DecodeString(parts[5])
	}
	if err != nil || h.Time < 1 || h.Time > 16 || h.Memory < 8 || h.Memory > 256*1024 || h.Lanes < 1 || h.Lanes > 16 ||
		len(h.Salt) < 8 || len(h.Key) < 16 || len(h.Key) > 64 {
		return h, errHash
	}
	return h, nil
}
