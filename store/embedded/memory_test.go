package embedded

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryIsRead(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]uint64{"MemTotal:       24683656 kB\nMemFree: 1 kB\n": 24683656 << 10, "MemFree: 1 kB\n": 0, "": 0} {
		if got := meminfo(file(text)); got != want {
			t.Errorf("%q is %d bytes, want %d", text, got, want)
		}
	}
	for text, want := range map[string]uint64{"536870912\n": 512 << 20, "max\n": 0, "": 0} {
		if got := limitOf(file(text)); got != want {
			t.Errorf("%q limits to %d bytes, want %d", text, got, want)
		}
	}
	if meminfo("/none")+limitOf("/none") != 0 {
		t.Error("a file that is not there limits something")
	}
}
