package broker

import (
	"crypto/rand"
	"crypto/sha1" // UUID version 5 is made of it; nothing here is a secret
	"crypto/sha256"
	"encoding/hex"

	"redrive/delivery"
)

// maxIdentity is the bound of an identity, which stands in an index.
const maxIdentity = 512

// space is the namespace of the ids made here.
var space = [16]byte{0x6f, 0x2d, 0x1c, 0x4e, 0x93, 0x57, 0x4b, 0x0a, 0x9d, 0x31, 0x5a, 0x8e, 0x70, 0xc2, 0x44, 0xb6}

// ids are the message's and the delivery's: the same for each redelivery of one message, so that all attempts carry the same
// idempotency key and webhook-id. Without an identity they are random.
func ids(integration, identity string) (message, of string) {
	if identity == "" {
		identity = rand.Text()
	}
	return uuid5("message", integration, identity), uuid5("delivery", integration, identity)
}

// uuid5 is RFC 9562's version 5 of three texts with zeros between them.
func uuid5(kind, integration, identity string) string {
	name := append(make([]byte, 0, 256), space[:]...) // it rarely has to grow
	name = append(append(append(append(append(name, kind...), 0), integration...), 0), identity...)
	sum := sha1.Sum(name) // see above
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	text := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(text[:], sum[:4])
	hex.Encode(text[9:], sum[4:6])
	hex.Encode(text[14:], sum[6:8])
	hex.Encode(text[19:], sum[8:10])
	hex.Encode(text[24:], sum[10:16])
	return string(text[:])
}

// short is text that fits into an index: what is too long is replaced by its hash, so that two texts stay two.
func short(text string, most int) string {
	if stored := delivery.Storable(text); len(stored) <= most && stored == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
