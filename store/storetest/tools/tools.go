// Package tools gives tests the languages of other people's programs: an interpreter with the packages that tests need, installed once by
// the language's ordinary client, which refuses what is not pinned by its hash. A package that asks for much does so in its TestMain, by the
// Install functions, where the deadline of its tests does not count.
package tools

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"redrive/store/storetest/fetch"
)

// requirements are the packages of Python with all that they need, each with its hashes. Made of requirements.in, which says the versions:
// uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements.in -o requirements.txt.
//
//go:embed requirements.txt
var requirements []byte

// locked are the packages of Node. After a change of package.json: npm install --package-lock-only --omit-lockfile-registry-resolved.
//
//go:embed node
var locked embed.FS

// Python returns the path of a Python that has the packages of requirements.in.
func Python(t testing.TB) string {
	t.Helper()
	return must(t, InstallPython)
}

// Node returns a node_modules directory with the packages of node/package.json. A script outside of it finds them by NODE_PATH.
func Node(t testing.TB) string {
	t.Helper()
	return must(t, InstallNode)
}

// Npm returns the path of npm itself, for tests of what it downloads.
func Npm(t testing.TB) string {
	t.Helper()
	return must(t, func(context.Context) (string, error) { return exec.LookPath("npm") })
}

func must(t testing.TB, install func(context.Context) (string, error)) string {
	t.Helper()
	path, err := install(context.Background())
	if err != nil {
		t.Fatalf("tools: %v", err)
	}
	return path
}

// InstallPython is Python outside of a test.
func InstallPython(ctx context.Context) (string, error) {
	probe := []string{"python3", "-c", "import ensurepip, sys; print(sys.executable, sys.version)"}
	dir, err := fetch.Once(ctx, "python", probe, of("requirements.txt", requirements), func(ctx context.Context, dir string) error {
		list := filepath.Join(dir, "requirements.txt")
		err := errors.Join(os.WriteFile(list, requirements, 0o600), fetch.Command(ctx, dir, "python3", "-m", "venv", dir))
		if err != nil {
			return err
		}
		return fetch.Command(ctx, dir, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
			"--require-hashes", "--requirement", list)
	})
	return filepath.Join(dir, "bin", "python"), err
}

// InstallNode is Node outside of a test.
func InstallNode(ctx context.Context) (string, error) {
	lock, err := locked.ReadFile("node/package-lock.json")
	if err != nil {
		return "", err
	}
	dir, err := fetch.Once(ctx, "node", []string{"node", "--version"}, of("package-lock.json", lock), func(ctx context.Context, dir string) error {
		if err := os.CopyFS(dir, locked); err != nil {
			return err
		}
		return fetch.Command(ctx, filepath.Join(dir, "node"), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	return filepath.Join(dir, "node", "node_modules"), err
}

// of names what is installed by the list of it.
func of(name string, list []byte) []string {
	sum := sha256.Sum256(list)
	return []string{name, hex.EncodeToString(sum[:])}
}

// InstallMaven returns a class path with these artifacts and what they need, each as group:artifact:version.
func InstallMaven(ctx context.Context, artifacts ...string) (string, error) {
	return fetch.Maven(ctx, artifacts...)
}
