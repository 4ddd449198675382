// Package starter is what tests know of the command that gives them databases, brokers and a browser.
package starter

import (
	"fmt"
	"os"
)

// Variable is set for what runs within the starter.
const Variable = "REDRIVE_TEST_STARTER"

// Advice is for whoever runs tests without it.
const Advice = "these tests need servers of their own, which the starter brings: run make test, or for some packages make starter && ./.cache/test-starter -- go test ./store/..."

// Require ends a test process that was not started within the starter, in one line.
func Require() {
	if os.Getenv(Variable) == "" {
		fmt.Fprintln(os.Stderr, Advice)
		os.Exit(1)
	}
}
