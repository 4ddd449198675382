package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// toggle is a setting that is on or off.
type toggle bool

// IsBool implements kong.BoolMapperValue: the flag needs no value.
func (*toggle) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	*t = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	value := fmt.Sprint(ctx.Scan.Pop().Value)
	on := slices.Contains([]string{"on", "1", "true", "yes"}, strings.ToLower(value))
	if !on && !slices.Contains([]string{"off", "0", "false", "no"}, strings.ToLower(value)) {
		return fmt.Errorf("write on or off, not %q", value)
	}
	*t = toggle(on)
	return nil
}

// forgetEmpty makes an empty variable the same as none, as compose files and unit files write it. An empty REDRIVE_ADDR would
// else open the console to the world.
func forgetEmpty(node *kong.Node) {
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			if os.Getenv(name) == "" {
				_ = os.Unsetenv(name) // fails for impossible names only
			}
		}
	}
	for _, child := range node.Children {
		forgetEmpty(child)
	}
}

// named puts the environment variable beside the flag that a parse error speaks of: most people set the former.
func named(err error, node *kong.Node) string {
	text := err.Error()
	for _, flag := range node.Flags {
		rest, found := strings.CutPrefix(text, "--"+flag.Name)
		if found && len(flag.Envs) > 0 && strings.IndexAny(rest, ": =") == 0 {
			return flag.Envs[0] + " (--" + flag.Name + ")" + rest
		}
	}
	for _, child := range node.Children {
		if found := named(err, child); found != text {
			return found
		}
	}
	return text
}

var tokenText = regexp.MustCompile(`^[\x21-\x7e]*$`)

// check says which setting cannot work, before anything is started.
func (c *serveCmd) check() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return usageError{fmt.Errorf("REDRIVE_ADDR: %q is not host:port such as 127.0.0.1:8080", c.Addr)}
	}
	if !tokenText.MatchString(c.APIToken) {
		return usageError{errors.New("REDRIVE_API_TOKEN: a bearer token is made of visible ASCII characters, without spaces or line breaks")}
	}
	return nil
}

// sentence is an error in one line; a database driver tells of each address in a line of its own.
func sentence(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.Compact(lines), " ")
}
