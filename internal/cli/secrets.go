package cli

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"redrive/delivery"
	"redrive/handlers/web/passwords"
	"redrive/internal/cli/client"
	"redrive/views/words"
)

// What a bearer token from the environment must at least be: it lets an administrator in, from anywhere, without a name.
const (
	minToken         = 32 // characters beside what anybody would guess
	minTokenSigns    = 8  // different ones
	minTokenSurprise = 16 // see passwords.Surprises
)

var (
	tokenText = regexp.MustCompile(`^[\x21-\x7e]*$`)
	// tokenWords stand in examples and in what people make up; they add nothing.
	tokenWords = regexp.MustCompile(`(?i)redrive|token|secret|passw[o0]rd|change|choose|example|admin|bearer|default|insert|replace|placeholder|automation|letmein`)
)

// checkToken refuses a token that somebody could guess.
func checkToken(token string) error {
	if !tokenText.MatchString(token) {
		return client.Said("a bearer token is made of visible ASCII characters, without spaces or line breaks")
	}
	rest, signs := tokenWords.ReplaceAllString(token, ""), map[rune]bool{}
	for _, r := range rest {
		signs[r] = true
	}
	switch {
	case len(token) < minToken:
		return client.Said("a bearer token has at least %d characters; redrive token new prints a good one", minToken)
	case len(rest) < minToken || len(signs) < minTokenSigns || passwords.Surprises(rest) < minTokenSurprise:
		return client.Said("somebody could guess this bearer token; redrive token new prints a good one")
	}
	return nil
}

// newTokenCmd makes a token up; it is kept nowhere.
type newTokenCmd struct{}

// Run prints it.
func (*newTokenCmd) Run(_ context.Context, out io.Writer) error {
	_, err := fmt.Fprintln(out, delivery.NewTokenSecret())
	return err
}

// checkFirstPassword holds the first operator's password to what is asked of everybody's.
func checkFirstPassword(password string) error {
	err := passwords.Check(password, firstOperator)
	if err == nil {
		return nil
	}
	says, ok := words.Of(language(), err)
	if !ok {
		return err
	}
	return Misused(client.Said("REDRIVE_ADMIN_PASSWORD: %s", strings.TrimSuffix(says, ".")))
}
