package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"
	"rsc.io/qr"

	"redrive/views"
)

// Codes of an app, as all apps make them (RFC 6238): six digits, every half minute, by SHA-1.
const (
	codeStep      = 30 * time.Second
	codeDrift     = 1 // steps that the clock of a phone may be ahead or behind
	secretBytes   = 20
	recoveryCodes = 10
	recoveryBytes = 10
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewCodeSecret makes up what an app makes codes of.
func NewCodeSecret() []byte {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	return secret
}

// CodeSecretText is a secret as people type it.
func CodeSecretText(secret []byte) string { return base32Text.EncodeToString(secret) }

// CodeAddress is a secret as an app reads it.
func CodeAddress(secret []byte, name string) string {
	q := url.Values{"secret": {CodeSecretText(secret)}, "issuer": {"Redrive"}}
	return "otpauth://totp/" + url.PathEscape("Redrive:"+name) + "?" + q.Encode()
}

// CodeFits returns the step whose code it is; ok is false where it is none of around now.
func CodeFits(secret []byte, code string, now time.Time) (step int64, ok bool) {
	code = strings.Map(digitsOnly, code)
	at := now.Unix() / int64(codeStep.Seconds())
	for n := at - codeDrift; n <= at+codeDrift; n++ {
		want, err := hotp.GenerateCode(CodeSecretText(secret), uint64(n))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return n, true
		}
	}
	return 0, false
}

func digitsOnly(r rune) rune {
	if r == ' ' || r == '-' {
		return -1
	}
	return r
}

// NewRecoveryCodes makes up codes of 80 random bits and their hashes, which are all that is kept.
func NewRecoveryCodes() (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		raw := make([]byte, recoveryBytes)
		_, _ = rand.Read(raw) // never fails, see crypto/rand
		text := strings.ToLower(base32Text.EncodeToString(raw))
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		hashes = append(hashes, RecoveryHash(text))
	}
	return codes, hashes
}

// RecoveryHash is what is kept of a recovery code; how it is written does not matter.
func RecoveryHash(code string) []byte {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Map(digitsOnly, code))))
	return sum[:]
}

// QRCode draws a text.
func QRCode(text string) (views.Square, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return views.Square{}, err
	}
	var path strings.Builder
	for y := range code.Size {
		for x, end := 0, 0; x < code.Size; x = end + 1 {
			for end = x; end < code.Size && code.Black(end, y); end++ {
			}
			if width := strconv.Itoa(end - x); end > x {
				path.WriteString("M" + strconv.Itoa(x) + " " + strconv.Itoa(y) + "h" + width + "v1h-" + width + "z")
			}
		}
	}
	return views.Square{Size: code.Size, Path: path.String()}, nil
}
