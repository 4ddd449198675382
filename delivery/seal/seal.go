// Package seal encrypts secrets for the database: AES-256-GCM with a random nonce, bound to the place where they are kept. A key never
// shows itself, whatever prints it.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Size is that of a key, in bytes.
const Size = 32

// version begins what is sealed: it names algorithm and form, and is bound like the place.
const version = 1

// ErrRefused is what does not open: sealed with another key, for another place, or changed since.
var ErrRefused = errors.New("it was not sealed with this key for this place, or was changed since")

// Key seals and opens. The zero Key is none.
type Key struct{ bytes [Size]byte }

// New returns a random key.
func New() Key {
	var k Key
	_, _ = rand.Read(k.bytes[:]) // never fails
	return k
}

// ParseKey reads a key as Text writes it, 32 bytes in Base64 of either alphabet, or in 64 hexadecimal digits. Its error quotes nothing.
func ParseKey(text string) (k Key, err error) {
	text = strings.TrimSpace(text)
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "=")))
	}
	if err != nil || len(raw) != Size {
		return k, errors.New("a key is 32 random bytes in Base64, as redrive secret key writes one")
	}
	if isPlain(raw) {
		return k, errors.New("its bytes repeat: take 32 random ones, as redrive secret key writes them")
	}
	copy(k.bytes[:], raw)
	return k, nil
}

// isPlain reports whether bytes are so few different ones that nobody drew them.
func isPlain(raw []byte) bool {
	seen := map[byte]bool{}
	for _, b := range raw {
		seen[b] = true
	}
	return len(seen) < Size/3
}

// Text is the key itself, for the one place where it is kept.
func (k Key) Text() string { return base64.StdEncoding.EncodeToString(k.bytes[:]) }

// Bytes is the key itself, to be sealed with another one.
func (k Key) Bytes() []byte { return k.bytes[:] }

// KeyOf is the key of these bytes, which another one had sealed.
func KeyOf(raw []byte) (k Key, err error) {
	if len(raw) != Size {
		return k, ErrRefused
	}
	copy(k.bytes[:], raw)
	return k, nil
}

// ID names the key in public: 16 hexadecimal digits that tell nothing of it.
func (k Key) ID() string {
	mac := hmac.New(sha256.New, k.bytes[:])
	mac.Write([]byte("redrive: the name of a key"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Format implements fmt.Formatter: by whatever verb it is printed, a key is its name.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key %s", k.ID()) }

// MarshalText implements encoding.TextMarshaler: in JSON and in logs it is its name too.
func (k Key) MarshalText() ([]byte, error) { return []byte("key " + k.ID()), nil }

// Seal encrypts plain. Only Open with the same key and the same place, part by part, gets it back.
func (k Key) Seal(plain []byte, place ...string) []byte {
	aead := k.aead()
	out := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plain)+aead.Overhead())
	out[0] = version
	_, _ = rand.Read(out[1:])
	return aead.Seal(out, out[1:], plain, bound(place))
}

// Open returns what was sealed: else the error is ErrRefused.
func (k Key) Open(sealed []byte, place ...string) ([]byte, error) {
	aead := k.aead()
	if len(sealed) < 1+aead.NonceSize()+aead.Overhead() || sealed[0] != version {
		return nil, ErrRefused
	}
	plain, err := aead.Open(nil, sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():], bound(place))
	if err != nil {
		return nil, ErrRefused
	}
	return plain, nil
}

func (k Key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.bytes[:])
	if err != nil {
		panic(err) // the size is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size
	}
	return aead
}

// bound is a place as additional data: no two lists of parts are the same bytes.
func bound(place []string) []byte {
	out := []byte{version}
	for _, part := range place {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}
