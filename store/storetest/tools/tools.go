// Package tools gives tests the languages of other people's programs: an interpreter with packages at pinned versions, installed once
// by the language's ordinary client into .cache/tools of this repository. What is there already needs no network.
package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"redrive/delivery"
)

// patience is for a download on a slow line; a package that asks for much does so in its TestMain, by the Install functions, where the
// deadline of its tests does not count.
const patience = 10 * time.Minute

// Python returns the path of a Python that has these packages, each pinned as name==version.
func Python(t testing.TB, requirements ...string) string { return must(t, InstallPython, requirements) }

// Node returns a node_modules directory with these packages, each pinned as name@version. A script outside of it finds them by NODE_PATH.
func Node(t testing.TB, packages ...string) string { return must(t, InstallNode, packages) }

// Maven returns a class path with these artifacts and what they need, each as group:artifact:version.
func Maven(t testing.TB, artifacts ...string) string { return must(t, InstallMaven, artifacts) }

func must(t testing.TB, install func(context.Context, ...string) (string, error), packages []string) string {
	t.Helper()
	path, err := install(context.Background(), packages...)
	if err != nil {
		t.Fatalf("tools: %v", err)
	}
	return path
}

// InstallPython is Python outside of a test.
func InstallPython(ctx context.Context, requirements ...string) (string, error) {
	probe := []string{"python3", "-c", "import ensurepip, sys; print(sys.executable, sys.version)"}
	dir, err := cached(ctx, "python", probe, requirements, func(ctx context.Context, dir string) error {
		if err := command(ctx, dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		pip := []string{"-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"}
		return command(ctx, dir, filepath.Join(dir, "bin", "python"), append(pip, requirements...)...)
	})
	return filepath.Join(dir, "bin", "python"), err
}

// InstallNode is Node outside of a test.
func InstallNode(ctx context.Context, packages ...string) (string, error) {
	dir, err := cached(ctx, "node", []string{"node", "--version"}, packages, func(ctx context.Context, dir string) error {
		npm := []string{"install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"}
		return command(ctx, dir, "npm", append(npm, packages...)...)
	})
	return filepath.Join(dir, "node_modules"), err
}

// InstallMaven is Maven outside of a test.
func InstallMaven(ctx context.Context, artifacts ...string) (string, error) {
	dir, err := cached(ctx, "maven", []string{"java", "-version"}, artifacts, func(ctx context.Context, dir string) error {
		project, err := pom(artifacts)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "pom.xml"), project, 0o600)
		}
		if err != nil {
			return err
		}
		return command(ctx, dir, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
	})
	return filepath.Join(dir, "lib", "*"), err
}

// pom is a project that depends on the artifacts.
func pom(artifacts []string) ([]byte, error) {
	type dependency struct {
		Group    string `xml:"groupId"`
		Artifact string `xml:"artifactId"`
		Version  string `xml:"version"`
	}
	project := struct {
		XMLName xml.Name `xml:"project"`
		Model   string   `xml:"modelVersion"`
		dependency
		Dependencies []dependency `xml:"dependencies>dependency"`
	}{Model: "4.0.0", dependency: dependency{"redrive.test", "tools", "1"}}
	for _, artifact := range artifacts {
		parts := strings.Split(artifact, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is not group:artifact:version", artifact)
		}
		project.Dependencies = append(project.Dependencies, dependency{parts[0], parts[1], parts[2]})
	}
	return xml.Marshal(project)
}

// cached returns the directory of a set of packages and fills it if nobody has. Its name tells the interpreter, which probe prints, and
// the packages: another version of either is another directory.
func cached(
	ctx context.Context,
	kind string,
	probe, packages []string,
	fill func(context.Context, string) error,
) (dir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	version, err := exec.CommandContext(ctx, probe[0], probe[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s is not installed (make test installs what is missing): %w: %s", kind, err, lastWords(version))
	}
	root, err := cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{string(version)}, slices.Sorted(slices.Values(packages))...), "\n")))
	dir = filepath.Join(root, kind+"-"+hex.EncodeToString(sum[:8]))
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	done := filepath.Join(dir, ".complete")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	// what was interrupted is begun again: a virtual environment cannot be moved to its place when it is ready
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	if err := fill(ctx, dir); err != nil {
		return "", fmt.Errorf("installing %s: %w", strings.Join(packages, " "), err)
	}
	return dir, os.WriteFile(done, nil, 0o600)
}

// cache is the repository's directory for what can be made again.
func cache() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			dir = filepath.Join(dir, ".cache", "tools")
			return dir, os.MkdirAll(dir, 0o755)
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this is no directory of the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// lock waits until no other process has the file. It ends with its process.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if delivery.Pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			_ = file.Close()
			return nil, fmt.Errorf("waiting for who else installs here: %w", err)
		}
	}
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second // a grandchild may hold the output open
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lastWords(out))
	}
	return nil
}

func lastWords(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[max(len(text)-800, 0):]
}
