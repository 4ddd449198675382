package demo

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"redrive/delivery/scratch"
)

const (
	filesShown = 10
	linesShown = 12
)

// MakeFiles makes the directory below dataDir that the batch sends to, as senders make none, and returns its path.
func MakeFiles(dataDir string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(dataDir, "demo-files"))
	if err != nil {
		return "", err
	}
	if err := scratch.Data(dataDir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o700) // earlier versions left it open
}

// pointsFile is a file that the batch has sent.
type pointsFile struct {
	Name string
	Size int64
	At   time.Time
	Head string // its first lines; of the newest only
}

// latestFiles are the newest files of the batch, as the receiver finds them. A directory that cannot be read shows none.
func latestFiles(dir string) (list []pointsFile) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".csv") {
			list = append(list, pointsFile{Name: e.Name(), Size: info.Size(), At: info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b pointsFile) int { return b.At.Compare(a.At) })
	if len(list) > 0 {
		list[0].Head = head(filepath.Join(dir, list[0].Name))
	}
	return list[:min(len(list), filesShown)]
}

func head(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var text strings.Builder
	lines := bufio.NewScanner(io.LimitReader(f, maxForm))
	for n := 0; n < linesShown && lines.Scan(); n++ {
		text.WriteString(lines.Text() + "\n")
	}
	return text.String()
}
