package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Toggle is a setting of the command line or the environment that is on or off.
type Toggle bool

// IsBool implements kong.BoolMapperValue: the flag needs no value.
func (*Toggle) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (t *Toggle) Decode(ctx *kong.DecodeContext) error {
	*t = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	value := fmt.Sprint(ctx.Scan.Pop().Value)
	on := slices.Contains([]string{"on", "1", "true", "yes"}, strings.ToLower(value))
	if !on && !slices.Contains([]string{"off", "0", "false", "no"}, strings.ToLower(value)) {
		return fmt.Errorf("write on or off, not %q", value)
	}
	*t = Toggle(on)
	return nil
}

// ForgetEmpty makes an empty variable the same as none, as compose files and unit files write it. An empty REDRIVE_ADDR would
// else open the console to the world.
func ForgetEmpty(node *kong.Node) {
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			if os.Getenv(name) == "" {
				_ = os.Unsetenv(name) // fails for impossible names only
			}
		}
	}
	for _, child := range node.Children {
		ForgetEmpty(child)
	}
}

// inFiles are variables that hold secrets: NAME_FILE names a file to read each from.
var inFiles = []string{"DATABASE_URL", "REDRIVE_ADMIN_PASSWORD", "REDRIVE_API_TOKEN", "REDRIVE_SECRET_KEY", "REDRIVE_SECRET_KEY_OLD"}

// FromFiles is a kong.Resolver: it reads settings from the files that NAME_FILE names.
var FromFiles kong.ResolverFunc = func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		path := os.Getenv(name + "_FILE")
		switch {
		case path == "" || !slices.Contains(inFiles, name):
			continue
		case os.Getenv(name) != "":
			return nil, fmt.Errorf("%s and %s_FILE are both set; leave one out", name, name)
		}
		value, err := readReference(path, "")
		if err != nil {
			return nil, fmt.Errorf("%s_FILE: %s: %w", name, path, err)
		}
		return value, nil
	}
	return nil, nil
}

// NameVariable puts the environment variable beside the flag that a parse error speaks of: most people set the former.
func NameVariable(err error, node *kong.Node) string {
	text := err.Error()
	for _, flag := range node.Flags {
		rest, found := strings.CutPrefix(text, "--"+flag.Name)
		if found && len(flag.Envs) > 0 && strings.IndexAny(rest, ": =") == 0 {
			return flag.Envs[0] + " (--" + flag.Name + ")" + rest
		}
	}
	for _, child := range node.Children {
		if found := NameVariable(err, child); found != text {
			return found
		}
	}
	return text
}
