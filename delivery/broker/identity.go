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
	return uuid5("message\x00" + integration + "\x00" + identity), uuid5("delivery\x00" + integration + "\x00" + identity)
}

// uuid5 is RFC 9562's version 5.
func uuid5(name string) string {
	full := sha1.Sum(append(space[:], name...)) // see above
	sum := full[:16]
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	text := hex.EncodeToString(sum)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// short is text that fits into an index: what is too long is replaced by its hash, so that two texts stay two.
func short(text string, most int) string {
	if stored := delivery.Storable(text); len(stored) <= most && stored == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
