package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/seal"
	"redrive/store"
	"redrive/store/storetest"
)

// vaultStore is a store whose vault has these settings.
func vaultStore(t *testing.T, dsn, key, old, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ring, err := seal.NewRing(key, old, dir)
	if err != nil {
		t.Fatal(err)
	}
	s.UseKeys(ring)
	return s
}

func perform(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	db := storetest.Session(t, dsn)
	for _, statement := range statements {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func mustSet(t *testing.T, s *store.Store, integration, name, value string) {
	t.Helper()
	if err := s.SetSecret(t.Context(), integration, name, value, "admin"); err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, s *store.Store, integration, name, want string) {
	t.Helper()
	if got, err := s.Secret(t.Context(), integration, name); err != nil || got != want {
		t.Errorf("%s/%s: %q, %v", integration, name, got, err)
	}
}

// Whoever can write the tables, and has no key, makes nothing open elsewhere than where it was sealed.
func TestSealedRowsStayWhereTheyAre(t *testing.T) {
	dsn := storetest.New(t)
	s := vaultStore(t, dsn, seal.New().Text(), "", "")
	for attack, statements := range map[string][]string{
		"ciphertexts of two names swapped": {`UPDATE redrive.secrets s SET sealed = o.sealed FROM redrive.secrets o
			WHERE s.integration = o.integration AND s.name <> o.name`},
		"ids swapped too": {`UPDATE redrive.secrets s SET id = gen_random_uuid()`},
		"renamed":         {`UPDATE redrive.secrets SET name = CASE name WHEN 'a' THEN 'b' ELSE 'a' END || '2'`, `UPDATE redrive.secrets SET name = left(name, 1)`},
		"ciphertexts of two integrations swapped": {`UPDATE redrive.secrets s SET sealed = o.sealed FROM redrive.secrets o
			WHERE s.name = o.name AND s.integration <> o.integration`},
		"whole rows moved": {`UPDATE redrive.secrets SET integration = integration || '2'`,
			`UPDATE redrive.secrets SET integration = CASE integration WHEN 'one2' THEN 'two' ELSE 'one' END`},
		"data keys swapped": {`UPDATE redrive.data_keys d SET sealed = o.sealed FROM redrive.data_keys o WHERE o.owner <> d.owner`},
		"owners swapped": {`UPDATE redrive.data_keys SET owner = owner || '2'`,
			`UPDATE redrive.data_keys SET owner = CASE owner WHEN 'integration/one2' THEN 'integration/two' ELSE 'integration/one' END`},
		"a bit of a secret":    {`UPDATE redrive.secrets SET sealed = set_byte(sealed, length(sealed) - 20, get_byte(sealed, length(sealed) - 20) # 1)`},
		"a bit of the nonce":   {`UPDATE redrive.secrets SET sealed = set_byte(sealed, 5, get_byte(sealed, 5) # 128)`},
		"a bit of a data key":  {`UPDATE redrive.data_keys SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 4)`},
		"the form's version":   {`UPDATE redrive.secrets SET sealed = set_byte(sealed, 0, 2)`},
		"the end is missing":   {`UPDATE redrive.secrets SET sealed = substr(sealed, 1, length(sealed) - 1)`},
		"there is nothing":     {`UPDATE redrive.secrets SET sealed = ''`},
		"the data key is gone": {`DELETE FROM redrive.data_keys`},
	} {
		t.Run(attack, func(t *testing.T) {
			perform(t, dsn, "TRUNCATE redrive.secrets, redrive.data_keys")
			for _, integration := range []string{"one", "two"} {
				for _, name := range []string{"a", "b"} {
					mustSet(t, s, integration, name, "value of "+integration+name)
					is(t, s, integration, name, "value of "+integration+name)
				}
			}
			perform(t, dsn, statements...)
			for _, integration := range []string{"one", "two"} {
				for _, name := range []string{"a", "b"} {
					if got, err := s.Secret(t.Context(), integration, name); !errors.Is(err, seal.ErrRefused) || got != "" {
						t.Errorf("%s/%s opens: %q, %v", integration, name, got, err)
					}
				}
			}
		})
	}
}

// A replaced value does not come back by its old ciphertext.
func TestAnEarlierValueDoesNotComeBack(t *testing.T) {
	dsn := storetest.New(t)
	db := storetest.Session(t, dsn)
	s := vaultStore(t, dsn, seal.New().Text(), "", "")
	mustSet(t, s, "one", "a", "first")
	var was []byte
	if err := db.QueryRow(t.Context(), "SELECT sealed FROM redrive.secrets").Scan(&was); err != nil {
		t.Fatal(err)
	}
	mustSet(t, s, "one", "a", "second")
	perform(t, dsn, fmt.Sprintf("UPDATE redrive.secrets SET sealed = '\\x%x'", was))
	if got, err := s.Secret(t.Context(), "one", "a"); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("it came back: %q, %v", got, err)
	}
}

// No table holds a value, in any encoding that a dump would show; the audit says who set what, and nothing of the value.
func TestNoTableHoldsAValue(t *testing.T) {
	dsn := storetest.New(t)
	db := storetest.Session(t, dsn)
	dir := t.TempDir()
	s := vaultStore(t, dsn, "", "", dir)
	const value = "only-the-receiver-knows-this"
	mustSet(t, s, "one", "a", value)
	mustSet(t, s, "one", "a", value)
	for _, actor := range []string{"admin", ""} {
		if err := s.SetSecret(t.Context(), "one", "bad name", value, actor); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("a bad name: %v", err)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(t.Context(), "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'redrive'::regnamespace AND c.relkind IN ('r', 'p')")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if len(names) < 20 || rows.Err() != nil {
		t.Fatalf("tables: %v, %v", names, rows.Err())
	}
	for _, name := range names {
		var text string
		if err := db.QueryRow(t.Context(), "SELECT coalesce(string_agg(t::text, E'\n'), '') FROM "+name+" t").Scan(&text); err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{value, fmt.Sprintf("%x", value), strings.TrimSpace(string(key))} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s holds %q", name, hidden)
			}
		}
	}
	if list, err := s.Secrets(t.Context(), "one"); err != nil || len(list) != 1 || list[0].Name != "a" || list[0].SetBy != "admin" || list[0].SetAt.IsZero() {
		t.Errorf("the list: %+v, %v", list, err)
	}
	page, err := s.Audit(t.Context(), delivery.AuditFilter{Action: "secret.set"})
	if err != nil || len(page.Items) != 2 || page.Items[0].Actor != "admin" || !bytes.Contains(page.Items[0].Details, []byte(`"name": "a"`)) ||
		!bytes.Contains(page.Items[0].Details, []byte(`"replaced": true`)) {
		t.Errorf("the audit: %+v, %v", page.Items, err)
	}
}

// A rotation that was broken off goes on: what was sealed anew stays, both keys open meanwhile, and only the new one after it.
func TestRotationGoesOn(t *testing.T) {
	dsn := storetest.New(t)
	first, second := seal.New().Text(), seal.New().Text()
	s := vaultStore(t, dsn, first, "", "")
	integrations := []string{"one", "two", "three"}
	for _, integration := range integrations {
		mustSet(t, s, integration, "a", "value of "+integration)
	}
	both := vaultStore(t, dsn, second, first, "")
	perform(t, dsn, `CREATE FUNCTION public.fall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'killed'; END $$`,
		`CREATE TRIGGER fall BEFORE UPDATE ON redrive.data_keys FOR EACH ROW WHEN (old.owner = 'integration/three') EXECUTE FUNCTION public.fall()`)
	if n, err := both.Rotate(t.Context(), "admin"); err == nil || n != 1 {
		t.Fatalf("rotation was not broken off: %d, %v", n, err)
	}
	var unknown *seal.UnknownKeyError
	if err := s.CheckKeys(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("the first key alone: %v", err)
	}
	if err := vaultStore(t, dsn, second, "", "").CheckKeys(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("the second key alone: %v", err)
	}
	for _, integration := range integrations {
		is(t, both, integration, "a", "value of "+integration)
	}
	perform(t, dsn, "DROP FUNCTION public.fall CASCADE")
	if n, err := both.Rotate(t.Context(), "admin"); err != nil || n != 2 {
		t.Fatalf("it did not go on: %d, %v", n, err)
	}
	if n, err := both.Rotate(t.Context(), "admin"); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	alone := vaultStore(t, dsn, second, "", "")
	if err := alone.CheckKeys(t.Context()); err != nil {
		t.Error(err)
	}
	for _, integration := range integrations {
		is(t, alone, integration, "a", "value of "+integration)
	}
	if page, err := alone.Audit(t.Context(), delivery.AuditFilter{Action: "secret.rotate"}); err != nil || len(page.Items) != 3 {
		t.Errorf("the audit: %+v, %v", page.Items, err)
	}
}

// A key that nobody set is made with the first secret, for the owner of the directory alone; it is rotated there, also when that was broken
// off after any step, and a running process learns of it.
func TestTheGeneratedKey(t *testing.T) {
	dsn, dir := storetest.New(t), t.TempDir()
	path, old := filepath.Join(dir, "secret.key"), filepath.Join(dir, "secret.key.old")
	s := vaultStore(t, dsn, "", "", dir)
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a key although nothing is stored")
	}
	mustSet(t, s, "one", "a", "value")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key: %v, %v", info, err)
	}
	elsewhere := vaultStore(t, dsn, "", "", t.TempDir())
	var unknown *seal.UnknownKeyError
	if err := elsewhere.SetSecret(t.Context(), "two", "a", "value", "admin"); !errors.As(err, &unknown) {
		t.Errorf("a process with another directory seals what nobody else opens: %v", err)
	}
	first, _ := os.ReadFile(path)
	for killed, prepare := range map[string]func(){
		"not at all":                     func() {},
		"when the old key was set aside": func() { write(t, old, first) },
		"before a key was sealed anew": func() {
			write(t, old, first)
			write(t, path, []byte(seal.New().Text()))
		},
	} {
		first, _ = os.ReadFile(path)
		prepare()
		if n, err := vaultStore(t, dsn, "", "", dir).Rotate(t.Context(), "admin"); err != nil || n != 1 {
			t.Errorf("killed %s: %d, %v", killed, n, err)
		}
		is(t, s, "one", "a", "value")
		if now, _ := os.ReadFile(path); bytes.Equal(now, first) {
			t.Errorf("killed %s: the key is the same", killed)
		}
		if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("killed %s: the old key is kept: %v", killed, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.NewRing("", "", dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others read: %v", err)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Rooms of the program seal columns of their own rows.
func TestRoomsSealTheirRows(t *testing.T) {
	s := vaultStore(t, storetest.New(t), seal.New().Text(), "", "")
	var sealed []byte
	if err := s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		sealed, err = s.SealRow(tx, "people", "totp/1", []byte("seed"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.OpenRow(s.Gorm, "people", "totp/1", sealed); err != nil || string(got) != "seed" {
		t.Errorf("%q, %v", got, err)
	}
	for _, of := range [][2]string{{"people", "totp/2"}, {"integration/one", "totp/1"}} {
		if got, err := s.OpenRow(s.Gorm, of[0], of[1], sealed); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("%v opens it: %q, %v", of, got, err)
		}
	}
}
