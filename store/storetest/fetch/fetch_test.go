package fetch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// here makes a directory of the test's own the repository.
func here(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

func TestWhatWasInstalledIsUsedAgainAndWhatWasInterruptedIsNot(t *testing.T) {
	here(t)
	var calls int
	failure := errors.New("the line broke")
	fill := func(_ context.Context, dir string) error {
		calls++
		if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
			t.Error("what an interrupted attempt has left is still there")
		}
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return failure
	}
	get := func(packages ...string) (string, error) {
		return Once(t.Context(), "kind", []string{"echo", "1"}, packages, fill)
	}
	if _, err := get("a==1", "b==2"); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	failure = nil
	first, err := get("a==1", "b==2")
	again, errAgain := get("b==2", "a==1")
	if err != nil || errAgain != nil || first != again || calls != 2 {
		t.Errorf("%q %v, %q %v after %d calls", first, err, again, errAgain, calls)
	}
	if other, err := get("a==1", "b==3"); err != nil || other == first || calls != 3 {
		t.Errorf("another version is in %q: %v", other, err)
	}
}

func TestTwoProcessesInstallOnce(t *testing.T) {
	here(t)
	root, err := cache()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "x.lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ended, path); err == nil {
		t.Fatal("a second one has the lock, too")
	}
	got := make(chan error)
	go func() {
		unlock, err := lock(t.Context(), path)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestAPomNamesItsArtifacts(t *testing.T) {
	text, err := pom([]string{"org.postgresql:postgresql:42.7.8"})
	if err != nil || !strings.Contains(string(text), "<dependency><groupId>org.postgresql</groupId><artifactId>postgresql</artifactId><version>42.7.8</version></dependency>") {
		t.Errorf("%s: %v", text, err)
	}
	if _, err := pom([]string{"postgresql"}); err == nil {
		t.Error("half a name is taken")
	}
}

// Without any package it asks no registry.
func TestAPythonOfOnesOwn(t *testing.T) {
	here(t)
	dir, err := Once(t.Context(), "python", []string{"python3", "--version"}, nil, func(ctx context.Context, dir string) error {
		return Command(ctx, dir, "python3", "-m", "venv", "--without-pip", dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, "bin", "python"), "-c", "import sys; print(sys.prefix)").CombinedOutput()
	if err != nil || !strings.Contains(string(out), filepath.Base(dir)) {
		t.Errorf("%s: %v", out, err)
	}
}

// What a package manager brings is refused when one byte of it is not what is pinned, and when nobody has pinned it.
func TestWhatIsNotPinnedIsRefused(t *testing.T) {
	before := pinned
	t.Cleanup(func() { pinned = before })
	pinned = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  x.jar\n" // of "x"
	dir := t.TempDir()
	for content, want := range map[string]bool{"x": true, "y": false} {
		if err := os.WriteFile(filepath.Join(dir, "x.jar"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := asPinned(dir); (err == nil) != want {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "x.jar"), []byte("x"), 0o600), os.WriteFile(filepath.Join(dir, "other.jar"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := asPinned(dir); err == nil {
		t.Error("another artifact is taken")
	}
}
