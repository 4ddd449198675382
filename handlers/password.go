package handlers

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
)

// Parameters of argon2id for new hashes. The memory is modest, because hashes under way count against the whole program.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltBytes   = 16
	keyBytes    = 32

	minPassword = 10 // characters, where a person chooses one
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

// HashPassword answers the argon2id hash of a password as a PHC string.
func HashPassword(password string) (string, error) {
	if len(password) > delivery.MaxPassword {
		return "", errPasswordTooLong
	}
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("handlers: salt: %w", err)
	}
	h := argonHash{memory: argonMemory, time: argonTime, lanes: argonLanes, salt: salt}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	h.key = h.derive(password, keyBytes)
	return h.String(), nil
}

// verifyPassword says whether password fits the PHC string. It waits for its turn as long as ctx allows.
func verifyPassword(ctx context.Context, encoded, password string) (bool, error) {
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
	return subtle.ConstantTimeCompare(h.key, h.derive(password, uint32(len(h.key)))) == 1, nil // bounded by parseArgon
}

type argonHash struct {
	memory, time uint32
	lanes        uint8
	salt, key    []byte
}

func (h argonHash) derive(password string, length uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, length)
}

func (h argonHash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

var errHash = errors.New("handlers: not an argon2id hash")

// parseArgon reads a PHC string. Costs are bounded: a hash that somebody wrote into the table must not take the machine.
func parseArgon(encoded string) (argonHash, error) {
	var h argonHash
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.lanes); err != nil {
		return h, fmt.Errorf("%w: %w", errHash, err)
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err == nil {
		h.key, err = base64.RawStdEncoding.DecodeString(parts[5])
	}
	if err != nil || h.time < 1 || h.time > 16 || h.memory < 8 || h.memory > 256*1024 || h.lanes < 1 || h.lanes > 16 ||
		len(h.salt) < 8 || len(h.key) < 16 || len(h.key) > 64 {
		return h, errHash
	}
	return h, nil
}
