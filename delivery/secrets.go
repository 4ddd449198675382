package delivery

import (
	"regexp"
	"time"
)

// Bounds of a secret, in bytes.
const (
	MaxSecret     = 64 << 10 // of its value
	MaxSecretName = 100
)

// SecretNamePattern is what the name of a stored secret looks like.
const SecretNamePattern = `^[A-Za-z0-9_.-]{1,100}$`

var secretName = regexp.MustCompile(SecretNamePattern)

// StoredSecret is what there is to know of a secret of an integration: never its value.
type StoredSecret struct {
	Integration string
	Name        string
	SetAt       time.Time
	SetBy       string // an actor
}

// CheckSecret refuses a secret that could not be named by the integrations file, or used. The error is an *InputError.
func CheckSecret(name, value string) error {
	switch {
	case !secretName.MatchString(name):
		return Mistake("secret.bad_name", "name")
	case value == "":
		return Mistake("secret.empty", "value")
	case len(value) > MaxSecret:
		return Mistake("too_long.secret", "value", "max", MaxSecret)
	}
	return nil
}
