// Package fetch installs what the ordinary clients of other languages bring, at pinned versions and once, into .cache/tools of this
// repository. What is there already needs no network.
package fetch

import (
	"context"
	"crypto/sha256"
	_ "embed" // the list of artifacts
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
	"time"

	"redrive/delivery"
)

// patience is for a download on a slow line.
const patience = 10 * time.Minute

// Maven returns a class path with these artifacts and what they need, each as group:artifact:version; all of it is what is pinned.
func Maven(ctx context.Context, artifacts ...string) (string, error) {
	dir, err := Once(ctx, "maven", []string{"java", "-version"}, artifacts, func(ctx context.Context, dir string) error {
		project, err := pom(artifacts)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "pom.xml"), project, 0o600)
		}
		if err != nil {
			return err
		}
		return Command(ctx, dir, "mvn", "-q", "-B", "-C", mavenCopy, "-DoutputDirectory=lib")
	})
	if err == nil {
		err = asPinned(filepath.Join(dir, "lib"))
	}
	return filepath.Join(dir, "lib", "*"), err
}

// mavenCopy is what copies artifacts, at a version.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"

// pinned are the artifacts that may be used, in the form of sha256sum. What a new version of one needs: sha256sum *.jar in its lib.
//
//go:embed jars.sha256
var pinned string

// asPinned refuses a directory in which something is not what is pinned.
func asPinned(dir string) error {
	sums := map[string]string{}
	for line := range strings.Lines(pinned) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			sums[name] = sum
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(content); sums[e.Name()] != hex.EncodeToString(sum[:]) {
			return fmt.Errorf("%s is not what jars.sha256 has: its SHA-256 is %x", e.Name(), sum)
		}
	}
	return nil
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

// Once returns the directory of a set of packages and fills it if nobody has. Its name tells the interpreter, which probe prints, and
// the packages: another version of either is another directory.
func Once(
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

// Command runs a program in a directory; an error has the end of what it said.
func Command(ctx context.Context, dir, name string, args ...string) error {
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
