// Command run gives a test command what it needs: packages, one private Postgres, Redis, RabbitMQ, Kafka and sshd where tests
// ask for them, and a browser; then it takes it all down. With -slow it does so on a machine that it makes slow: two thirds of one
// processor, and others at work beside it.
//
//	run [-slow] -- go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"redrive/store/embedded"
	"redrive/store/storetest/starter"
)

const chromiumVariable = "REDRIVE_TEST_CHROMIUM"

func main() {
	args := os.Args[1:]
	slow := len(args) > 0 && args[0] == "-slow"
	if slow {
		args = args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: run [-slow] [--] COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := start(args, slow)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// start runs the command with all that it needs, in a process that is watched over.
func start(args []string, slow bool) (int, error) {
	group := os.Getenv(insideVariable)
	if group == "" {
		return guard(args, slow)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := errors.Join(os.Unsetenv(insideVariable), enter(group)); err != nil {
		return 1, err
	}
	return run(args, signals)
}

// run returns the command's exit code once everything that was started has been stopped.
func run(args []string, signals <-chan os.Signal) (code int, err error) {
	tests := needs(args)
	needed := wanted(tests)
	if err := provide(append(missing(args, needed), languages(tests)...)); err != nil {
		return 1, err
	}
	stop, err := startAll(context.Background(), needed)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := errors.Join(os.Setenv(chromiumVariable, findChromium()), os.Setenv(starter.Variable, "1")); err != nil {
		return 1, err
	}
	return execute(slowestFirst(args), signals)
}

// execute runs the command and passes signals on to it. Of go test it tells in the end which packages took how long.
func execute(args []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if isGoTest(args) {
		packages := newTimes(os.Stdout)
		defer packages.report(os.Stderr)
		cmd.Stdout, cmd.WaitDelay = packages, goodbye // what a test has left running may hold the output
	}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("starting %s: %w", args[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // an error means that it has ended, which done reports
		case err := <-done:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil // -1 after a signal
			}
			if errors.Is(err, exec.ErrWaitDelay) { // who watches over this process tells who it was
				return 0, nil
			}
			return 0, err
		}
	}
}

// missing names the Debian packages whose programs are not there.
func missing(args []string, needed []service) []string {
	var packages []string
	for _, s := range needed {
		if !s.found() {
			packages = append(packages, s.packages...)
		}
	}
	if findChromium() == "" {
		packages = append(packages, "chromium")
	}
	if runtime.GOOS == "linux" && !hasFonts("/usr/share/fonts", "/usr/local/share/fonts") {
		packages = append(packages, "fonts-dejavu-core")
	}
	if slices.Contains(args, "-race") {
		if _, err := exec.LookPath("gcc"); err != nil {
			packages = append(packages, "gcc", "libc6-dev")
		}
	}
	return packages
}

// languages names the Debian packages that bring the interpreters of other people's programs, as far as they are not there.
func languages(tests []string) []string {
	if !slices.Contains(tests, toolsPackage) {
		return nil
	}
	var packages []string
	if exec.Command("python3", "-c", "import ensurepip, venv").Run() != nil {
		packages = append(packages, "python3-venv")
	}
	for _, needed := range [][2]string{{"node", "nodejs"}, {"npm", "npm"}, {"javac", "default-jdk-headless"}, {"mvn", "maven"}} {
		if _, err := exec.LookPath(needed[0]); err != nil {
			packages = append(packages, needed[1])
		}
	}
	return packages
}

// provide installs packages as root; anyone else is told the command. Tests are never left out instead.
func provide(packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	_, err := exec.LookPath("apt-get")
	if err := advice(packages, os.Geteuid(), err == nil); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "tests: installing", strings.Join(packages, " "))
	return embedded.InstallPackages(context.Background(), packages...)
}

// advice is for those who have to install packages themselves.
func advice(packages []string, uid int, apt bool) error {
	list := strings.Join(packages, " ")
	switch {
	case !apt:
		return fmt.Errorf("the tests need what Debian calls %s: install it", list)
	case uid != 0:
		return fmt.Errorf("the tests need more packages, run: sudo apt-get install -y --no-install-recommends %s", list)
	}
	return nil
}

// findChromium returns a browser's path or nothing.
func findChromium() string {
	candidates := []string{os.Getenv(chromiumVariable), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"}
	for _, name := range candidates {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

// hasFonts reports whether there is any font: without one the browser draws empty boxes, and screenshots say nothing.
func hasFonts(dirs ...string) bool {
	found := false
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { // a missing directory has no fonts
			if err == nil && (strings.HasSuffix(path, ".ttf") || strings.HasSuffix(path, ".otf")) {
				found = true
				return fs.SkipAll
			}
			return nil
		})
	}
	return found
}
