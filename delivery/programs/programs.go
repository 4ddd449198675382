// Package programs prepares the other programs that this one starts. None of them learns a secret of ours from its environment: there are
// tokens, passwords, the database's address, and whatever an integration names as ${NAME}.
package programs

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// passed are the variables that another program gets, where they are set: how it finds programs, homes, certificates and the way to a
// registry, and which time zone it is in. Whoever adds one gives its value to all of them.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TMP", "TEMP", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG",
}

// Command prepares a program with the variables above, and messages in the C locale, which are looked at. More may be added to its Env.
func Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = environment(func(name string) bool { return slices.Contains(passed, name) })
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd
}

// Chosen prepares a program that a person has chosen for the own terminal, an editor: it gets the person's environment, without the
// settings of ours.
func Chosen(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = environment(func(name string) bool { return name != "DATABASE_URL" && !strings.HasPrefix(name, "REDRIVE_") })
	return cmd
}

func environment(keep func(name string) bool) []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !keep(name)
	})
}
