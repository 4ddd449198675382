package filesend

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"redrive/delivery"
)

const name = "points_2026-11-25_7.csv"

func TestAFileAndItsManifest(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		d.Manifest = true
		content := noise(300_000)
		f := describe(name, content)
		s := newSender(t, d, keep(f.ID, content))
		want := map[string][]byte{name: content, name + manifestSuffix: manifestOf(f)}
		for attempt := range 3 { // twice more: the same is found, nothing is added
			expect(t, s.Send(t.Context(), request(f, attempt+1)), delivery.OutcomeOK, "")
			holds(t, dir, want)
		}
		var said map[string]any
		if err := json.Unmarshal(read(t, dir, name+manifestSuffix), &said); err != nil {
			t.Fatal(err)
		}
		for field, value := range map[string]any{"name": name, "rows": 3.0, "control_total": "12.50", "bytes": 300_000.0, "sha256": f.SHA256, "sequence": 7.0,
			"previous_sha256": f.Previous, "business_date": "2026-11-25"} {
			if said[field] != value {
				t.Errorf("the manifest's %s is %v, want %v", field, said[field], value)
			}
		}
		if err := os.Remove(filepath.Join(dir, name+manifestSuffix)); err != nil { // as after a crash before it
			t.Fatal(err)
		}
		expect(t, s.Send(t.Context(), request(f, 4)), delivery.OutcomeOK, "")
		holds(t, dir, want)
	})
}

func TestWhatIsThereIsNeverReplaced(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		d.Manifest = true
		content := []byte("a,b\r\n1,2\r\n")
		f := describe(name, content)
		s := newSender(t, d, keep(f.ID, content))
		foreign := map[string]func(path string) error{
			"shorter":         func(path string) error { return os.WriteFile(path, []byte("a"), 0o600) },
			"of equal length": func(path string) error { return os.WriteFile(path, []byte("a,b\r\n1,3\r\n"), 0o600) },
			"empty":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
			"a link":          func(path string) error { return os.Symlink("/nowhere", path) },
		}
		for kind, make := range foreign {
			for _, taken := range []string{name, name + manifestSuffix} {
				path := filepath.Join(dir, taken)
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(path)
				for attempt := range 2 {
					expect(t, s.Send(t.Context(), request(f, attempt+1)), delivery.OutcomePermanent, delivery.ClassFileExists)
				}
				after, err := os.Lstat(path)
				if err != nil || !os.SameFile(before, after) || before.ModTime() != after.ModTime() || before.Size() != after.Size() {
					t.Errorf("what was there (%s) was touched: %v", kind, err)
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(filepath.Join(dir, name)) // when the manifest was the one that is taken
				holds(t, dir, nil)
			}
		}
	})
}

// Somebody puts a file there while ours is written: after the look, before the name.
func TestAFileThatAppearsMeanwhile(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		content := noise(100_000)
		f := describe(name, content)
		for other, outcome := range map[string]delivery.Outcome{"same": delivery.OutcomeOK, "other": delivery.OutcomePermanent} {
			files := keep(f.ID, content)
			there := content
			if other == "other" {
				there = noise(99_999)
			}
			files.reads = func() { write(t, dir, name, there) }
			class := map[delivery.Outcome]string{delivery.OutcomePermanent: delivery.ClassFileExists}[outcome]
			expect(t, newSender(t, d, files).Send(t.Context(), request(f, 1)), outcome, class)
			holds(t, dir, map[string][]byte{name: there})
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOnlyOurOwnRemnantsAreRemoved(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		content := []byte("x")
		f := describe(name, content)
		r := request(f, 3)
		ours := &transfer{delivery: r.DeliveryID, attempt: 1}
		others := &transfer{delivery: strings.Replace(r.DeliveryID, "d1", "d2", 1), attempt: 1}
		want := map[string][]byte{name: content, others.temporary(name): []byte("half"), ".hidden.part": nil, "." + r.DeliveryID + ".part": nil,
			name + "." + r.DeliveryID + ".1-00000000.part": []byte("not hidden")}
		for other, content := range want {
			if other != name {
				write(t, dir, other, content)
			}
		}
		write(t, dir, ours.temporary(name), []byte("half"))
		write(t, dir, ours.temporary(name+manifestSuffix), nil)
		expect(t, newSender(t, d, keep(f.ID, content)).Send(t.Context(), r), delivery.OutcomeOK, "")
		holds(t, dir, want)
	})
}

func TestWrongBytesGetNoName(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		content := noise(150_000)
		f := describe(name, content)
		flipped := append([]byte(nil), content...)
		flipped[len(flipped)-1] ^= 1
		for _, stored := range [][]byte{flipped, content[:len(content)-1], append(content[:len(content):len(content)], 'x'), nil} {
			expect(t, newSender(t, d, keep(f.ID, stored)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassCorrupt)
			holds(t, dir, nil)
		}
		expect(t, newSender(t, d, keep("another", content)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassSource)
		holds(t, dir, nil)
		empty := describe(name, nil)
		expect(t, newSender(t, d, keep(empty.ID, nil)).Send(t.Context(), request(empty, 1)), delivery.OutcomeOK, "")
		holds(t, dir, map[string][]byte{name: nil})
	})
}

func TestNamesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	content := []byte("x")
	for _, bad := range []string{"", ".", "..", ".hidden", "../x", "a/b", `a\b`, "a\x00b", "a\nb", strings.Repeat("n", 242)} {
		f := describe(bad, content)
		expect(t, newSender(t, delivery.FileDestination{Dir: dir}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomePermanent, delivery.ClassBadRequest)
	}
	for _, payload := range []string{"", "{}", "[]", `{"id":"1","name":"n","sha256":"00","bytes":1}`} {
		r := request(delivery.BatchFile{}, 1)
		r.Message.Payload = []byte(payload)
		expect(t, newSender(t, delivery.FileDestination{Dir: dir}, keep("1", content)).Send(t.Context(), r), delivery.OutcomePermanent, delivery.ClassBadRequest)
	}
	holds(t, dir, nil)
	long := strings.Repeat("포", 80) // 240 bytes: its temporary name is cut, at a letter
	f := describe(long, content)
	expect(t, newSender(t, delivery.FileDestination{Dir: dir}, keep(f.ID, content)).Send(t.Context(), request(f, 1)), delivery.OutcomeOK, "")
	holds(t, dir, map[string][]byte{long: content})
}

// The same delivery by many at once, as when a worker was taken for dead: the file is there once, and whoever lost says so.
func TestSendersOfOneDeliveryAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, d delivery.FileDestination, dir string) {
		d.Manifest = true
		content := noise(400_000)
		for round := range 4 {
			f := describe(name, content)
			s := newSender(t, d, keep(f.ID, content))
			var group sync.WaitGroup
			results := make([]delivery.Result, 6)
			for n := range results {
				group.Go(func() { results[n] = s.Send(context.Background(), request(f, 1+n*round)) })
			}
			group.Wait()
			delivered := 0
			for _, r := range results {
				switch r.Outcome {
				case delivery.OutcomeOK:
					delivered++
				case delivery.OutcomeTransient:
				default:
					t.Errorf("%s %s %s", r.Outcome, r.ErrorClass, r.Error)
				}
			}
			if delivered == 0 || round == 0 && delivered < len(results) {
				t.Errorf("round %d: %d of %d delivered it", round, delivered, len(results))
			}
			holds(t, dir, map[string][]byte{name: content, name + manifestSuffix: manifestOf(f)})
			for _, name := range names(t, dir) {
				_ = os.Remove(filepath.Join(dir, name))
			}
		}
	})
}
