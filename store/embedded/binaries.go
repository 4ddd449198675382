package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"redrive/delivery/programs"
)

const minVersion = 14 // multi-range and snapshot functions that the schema uses

// ErrNoBinaries means that this machine has no usable Postgres.
var ErrNoBinaries = errors.New("no Postgres found")

// FindBinaries returns the directory with postgres and initdb: of the given major version, or the newest when it is empty.
// It looks at PG_BIN, the places of Debian, Red Hat and Homebrew, PATH, and an earlier download.
func FindBinaries(version string) (string, error) {
	if dir := os.Getenv("PG_BIN"); dir != "" && majorVersion(dir) == 0 {
		return "", fmt.Errorf("PG_BIN names %s, which does not hold programs postgres and initdb that run", dir)
	}
	for _, dir := range candidates() {
		major := majorVersion(dir)
		if major < minVersion || (version != "" && strconv.Itoa(major) != version) {
			continue
		}
		return dir, nil
	}
	return "", ErrNoBinaries
}

func candidates() []string {
	var dirs []string
	if dir := os.Getenv("PG_BIN"); dir != "" {
		dirs = append(dirs, dir)
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the patterns are valid
		sort.Slice(found, func(i, j int) bool { return versionIn(found[i]) > versionIn(found[j]) })
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if dir, err := downloadDir(); err == nil {
		dirs = append(dirs, npmBin(dir))
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

func versionIn(path string) int {
	n, _ := strconv.Atoi(number.FindString(path))
	return n
}

// majorVersion is what the directory's postgres says of itself, 0 when it or initdb is missing.
func majorVersion(dir string) int {
	if info, err := os.Stat(filepath.Join(dir, "initdb")); err != nil || info.IsDir() {
		return 0
	}
	out, err := programs.Command(context.Background(), filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	return versionIn(strings.TrimPrefix(string(out), "postgres"))
}

// ensureBinaries finds Postgres or installs it: by apt as root, else from npm.
func ensureBinaries(ctx context.Context, version string, log *slog.Logger) (string, error) {
	dir, err := FindBinaries(version)
	if !errors.Is(err, ErrNoBinaries) {
		return dir, err
	}
	for _, install := range []func(context.Context, string, *slog.Logger) error{installByApt, installFromNpm} {
		if err := install(ctx, version, log); err != nil {
			log.Warn("Postgres could not be installed", "error", err)
			continue
		}
		if dir, err = FindBinaries(version); err == nil {
			return dir, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("installing Postgres: %w", err)
	}
	if version != "" {
		return "", fmt.Errorf("the data was written by Postgres %s, which is not installed: install postgresql-%s or "+
			"set PG_BIN to its programs", version, version)
	}
	return "", errors.New("no Postgres found: install Postgres 14 or newer (Debian: apt-get install postgresql-15, " +
		"macOS: brew install postgresql@17), set PG_BIN to its programs, or set DATABASE_URL")
}

// InstallPackages installs Debian packages as root without starting a database of the system's own.
func InstallPackages(ctx context.Context, packages ...string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("installing needs root and apt-get: run apt-get install -y %s as root", strings.Join(packages, " "))
	}
	if err := preventMainCluster("/etc/postgresql-common/createcluster.conf"); err != nil {
		return err
	}
	install := append([]string{"install", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"}, packages...)
	if _, err = runApt(ctx, apt, install...); err == nil {
		return nil
	}
	if out, err := runApt(ctx, apt, "update"); err != nil {
		return fmt.Errorf("apt-get update: %w: %s", err, lastLine(out))
	}
	if out, err := runApt(ctx, apt, install...); err != nil {
		return fmt.Errorf("apt-get install %s: %w: %s", strings.Join(packages, " "), err, lastLine(out))
	}
	return nil
}

func runApt(ctx context.Context, apt string, args ...string) (string, error) {
	cmd := programs.Command(ctx, apt, args...)
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// preventMainCluster keeps the Debian package from creating and starting a cluster; a machine that has the file has decided.
func preventMainCluster(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte("create_main_cluster = false\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping apt from starting a Postgres of its own: %w", err)
	}
	return nil
}

func installByApt(ctx context.Context, version string, log *slog.Logger) error {
	name := "postgresql-" + version
	if version == "" {
		name = "postgresql-15"
	}
	log.Info("installing Postgres by apt-get, once", "package", name)
	err := InstallPackages(ctx, name)
	if err != nil && version == "" && os.Geteuid() == 0 {
		err = InstallPackages(ctx, "postgresql") // another release of the system has another version
	}
	return err
}
