package pool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/google/uuid"
)

// The journal is a directory of segments. A segment is append-only and belongs to the process that holds its lock: several
// processes can share the directory, and what a dead one left behind is anybody's. A record is its length and its CRC-32C, four
// bytes each, little endian, then JSON. The segments hold payloads, so that nobody but the owner reads them.
const (
	segmentSuffix = ".journal"
	segmentMagic  = "RDJRNL1\n"
	recordHead    = 8
	maxRecord     = 64 << 20 // a payload of 10 MiB in Base64, headers, excerpts, and room
	maxSegment    = 64 << 20
)

var (
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
	errJournalFull = errors.New("the journal has reached its limit")
)

// journal takes records that cannot be written to the store now. append and import may run at the same time.
type journal struct {
	dir   string
	limit int64
	fresh chan struct{} // something was appended

	syncing sync.Mutex // held during fsync: whoever waits for it finds most of its work done
	mu      sync.Mutex
	active  *segment
	retired []*segment // oldest first; this process holds their locks
}

// segment is one file. journal.mu guards written and entries, journal.syncing the others.
type segment struct {
	path    string
	file    *os.File
	written int64
	entries int64
	synced  int64
	broken  error
}

// openJournal makes the directory and a first segment: a disk that takes nothing is known now, not at the first failure.
func openJournal(dir string, limit int64) (*journal, error) {
	if dir == "" {
		return nil, errors.New("no directory is named")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := &journal{dir: dir, limit: limit, fresh: make(chan struct{}, 1)}
	active, err := j.create()
	j.active = active
	return j, err
}

// leftovers reports whether an earlier process left segments behind.
func leftovers(dir string) bool {
	if dir == "" {
		return false
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	return err == nil && len(names) > 0
}

func (j *journal) create() (s *segment, err error) {
	s = &segment{path: filepath.Join(j.dir, uuid.Must(uuid.NewV7()).String()+segmentSuffix)}
	if s.file, err = os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	err = syscall.Flock(int(s.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_, err = s.file.WriteAt([]byte(segmentMagic), 0)
	}
	if err == nil {
		err = errors.Join(s.file.Sync(), syncDir(j.dir))
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.path), s.file.Close())
	}
	s.written = int64(len(segmentMagic))
	s.synced = s.written
	return s, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// append returns nil when the records are on disk. Calls that come during an fsync share the next one.
func (j *journal) append(batch []record) error {
	raw, err := encode(batch)
	if err != nil {
		return err
	}
	s, end, err := j.write(raw, len(batch))
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := j.sync(s, end); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	signal(j.fresh)
	return nil
}

func encode(batch []record) (raw []byte, err error) {
	for _, r := range batch {
		body, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encoding a record: %w", err)
		}
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(body))) // bounded by the payload's limit
		raw = binary.LittleEndian.AppendUint32(raw, crc32.Checksum(body, castagnoli))
		raw = append(raw, body...)
	}
	return raw, nil
}

func (j *journal) write(raw []byte, entries int) (s *segment, end int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, bytes := j.size(); bytes+int64(len(raw)) > j.limit {
		return nil, 0, errJournalFull
	}
	if j.active != nil && j.active.written > maxSegment {
		j.retired, j.active = append(j.retired, j.active), nil
	}
	if j.active == nil {
		if j.active, err = j.create(); err != nil {
			return nil, 0, err
		}
	}
	s = j.active
	if _, err := s.file.WriteAt(raw, s.written); err != nil {
		if cut := s.file.Truncate(s.written); cut != nil { // half a record would hide all that follow it
			j.retired, j.active = append(j.retired, s), nil
		}
		return nil, 0, err
	}
	s.written += int64(len(raw))
	s.entries += int64(entries)
	return s, s.written, nil
}

// sync makes the first end bytes of a segment durable. After a failed fsync nobody knows what is on disk: nothing more is
// written to that segment.
func (j *journal) sync(s *segment, end int64) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if s.broken != nil || s.synced >= end {
		return s.broken
	}
	j.mu.Lock()
	written := s.written
	j.mu.Unlock()
	if s.broken = s.file.Sync(); s.broken == nil {
		s.synced = written
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active == s {
		j.retired, j.active = append(j.retired, s), nil
	}
	return s.broken
}

// retire ends the active segment, if it has records, so that it can be imported; what follows goes to a new one.
func (j *journal) retire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active != nil && j.active.entries > 0 {
		j.retired, j.active = append(j.retired, j.active), nil
	}
}

// oldest returns the segment to import next, nil when there is none.
func (j *journal) oldest() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.retired) == 0 {
		return nil
	}
	return j.retired[0]
}

// adopt takes over the segments whose process is gone.
func (j *journal) adopt() error {
	names, err := filepath.Glob(filepath.Join(j.dir, "*"+segmentSuffix))
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if j.owns(name) {
			continue
		}
		s, err := seize(name)
		if err != nil {
			failed = errors.Join(failed, err)
		} else if s != nil {
			j.mu.Lock()
			j.retired = append(j.retired, s)
			j.mu.Unlock()
		}
	}
	return failed
}

func (j *journal) owns(path string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range append(j.retired[:len(j.retired):len(j.retired)], j.active) {
		if s != nil && s.path == path {
			return true
		}
	}
	return false
}

// seize locks a segment; nil says that it belongs to a living process, or is gone.
func seize(path string) (*segment, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, file.Close()
	}
	mine, statErr := file.Stat()
	there, goneErr := os.Stat(path)
	if err != nil || statErr != nil {
		return nil, errors.Join(err, statErr, file.Close())
	}
	if goneErr != nil || !os.SameFile(mine, there) { // imported by somebody else between open and lock
		return nil, file.Close()
	}
	s := &segment{path: path, file: file, written: mine.Size(), synced: mine.Size()}
	s.entries, err = countRecords(s)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// settle makes sure that no append is still waiting for the fsync of a retired segment.
func (j *journal) settle(s *segment) {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if s.broken == nil {
		s.broken = s.file.Sync()
	}
	s.synced = s.written // retired: it does not grow
}

// keepRefused puts records aside that the store does not take.
func (j *journal) keepRefused(s *segment, list []record) error {
	if len(list) == 0 {
		return nil
	}
	raw, err := encode(list)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.path+".refused", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(raw)
	return errors.Join(err, file.Sync(), file.Close())
}

// drop forgets an imported segment. A crash before this only means that it is imported again.
func (j *journal) drop(s *segment, damaged bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, other := range j.retired {
		if other == s {
			j.retired = append(j.retired[:i:i], j.retired[i+1:]...)
			break
		}
	}
	if damaged {
		return errors.Join(os.Rename(s.path, s.path+".damaged"), s.file.Close())
	}
	return errors.Join(os.Remove(s.path), s.file.Close())
}

// close leaves segments with records for the next start.
func (j *journal) close() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active != nil && j.active.entries == 0 {
		err = os.Remove(j.active.path)
	}
	for _, s := range append(j.retired, j.active) {
		if s != nil {
			err = errors.Join(err, s.file.Close())
		}
	}
	j.active, j.retired = nil, nil
	return err
}

// size is what waits to be imported.
func (j *journal) size() (entries, bytes int64) {
	for _, s := range append(j.retired[:len(j.retired):len(j.retired)], j.active) {
		if s != nil && s.entries > 0 {
			entries, bytes = entries+s.entries, bytes+s.written
		}
	}
	return entries, bytes
}

func (j *journal) stats() (entries, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size()
}
