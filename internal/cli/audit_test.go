package cli

import (
	"archive/zip"
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/store"
	"redrive/store/storetest"
)

// A pack is unpacked and checked by what lies in it, with a checkpoint that was kept outside, and not if a letter of it was changed.
func TestAnEvidencePackChecksItself(t *testing.T) {
	dsn, dir := storetest.New(t), t.TempDir()
	key := seal.New()
	db, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	db.UseKeys(seal.Of(key))
	db.UseOrigin("example.com/redrive")
	outside, err := db.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Record(t.Context(), delivery.AuditEntry{Actor: "ann", Action: "test", SubjectType: "test", Reason: "고객 문의"}); err != nil {
		t.Fatal(err)
	}
	keys, err := db.AuditKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, period := range []string{"2026-13", "x", ""} {
		if _, err := parsePeriod(period); err == nil {
			t.Errorf("%q is a period", period)
		}
	}
	p, err := parsePeriod("2026")
	if err != nil || p.Until.Sub(p.From).Hours() != 365*24 {
		t.Fatalf("%+v %v", p, err)
	}
	p.From, p.Until = p.From.AddDate(-10, 0, 0), p.Until.AddDate(10, 0, 0)
	name := filepath.Join(dir, "pack.zip")
	if err := pack(t.Context(), db, name, p, "test"); err != nil {
		t.Fatal(err)
	}
	unzip(t, name, dir)
	kept := filepath.Join(dir, "kept.txt")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(kept, []byte(outside), 0o600))
	check := func() (string, error) {
		run := exec.CommandContext(t.Context(), "python3", filepath.Join(dir, "verify_audit.py"), "--part", "--key", keys[0].Public,
			filepath.Join(dir, "entries.jsonl"), filepath.Join(dir, "checkpoint.txt"), kept)
		out, err := run.CombinedOutput()
		return string(out), err
	}
	if out, err := check(); err != nil || !strings.HasPrefix(out, "2 entries fit") {
		t.Errorf("%s %v", out, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "entries.jsonl"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "entries.jsonl"), bytes.Replace(raw, []byte("ann"), []byte("bob"), 1), 0o600))
	if out, err := check(); err == nil || !strings.Contains(out, "entry 2 was changed") {
		t.Errorf("%s %v", out, err)
	}
	if people, err := os.ReadFile(filepath.Join(dir, "people.json")); err != nil || !strings.Contains(string(people), `"people"`) {
		t.Errorf("%s %v", people, err)
	}
}

func unzip(t *testing.T, name, dir string) {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.Contains(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.Name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMain(m *testing.M) { storetest.Main(m) }
