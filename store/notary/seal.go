package notary

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/store/audit"
	"redrive/store/pg"
)

// sealedAtOnce is how many entries one transaction puts into the tree.
const sealedAtOnce = 8192

// oneAtATime lets one transaction at a time grow the tree or sign it, whichever process or command it is of.
const oneAtATime = "SELECT pg_advisory_xact_lock(hashtextextended('redrive.audit_tiles', 0))"

// seal puts every entry that is committed into the tree. Each step is a transaction that goes on where the tree ends: after a kill the next
// one does what that left. Entries of an earlier version are leaves like all others.
func (n *Notary) seal(ctx context.Context) error {
	for {
		more := false
		err := n.transact(ctx, func(tx *gorm.DB) (err error) {
			more, err = sealSome(tx)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

// transact runs work while nobody else grows or signs the tree.
func (n *Notary) transact(ctx context.Context, work func(tx *gorm.DB) error) error {
	return n.Transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec(oneAtATime).Error; err != nil {
			return err
		}
		return work(tx)
	})
}

func sealSome(tx *gorm.DB) (more bool, err error) {
	size, err := sealed(tx)
	if err != nil {
		return false, err
	}
	type entry struct {
		Seq  int64
		Hash []byte
	}
	list, err := pg.Scan[entry](tx, "SELECT seq, hash FROM redrive.audit WHERE seq > ? ORDER BY seq LIMIT ?", size, sealedAtOnce)
	if err != nil || len(list) == 0 {
		return false, err
	}
	leaves := make([]tlog.Hash, len(list))
	for i, e := range list {
		if e.Seq != size+int64(i)+1 {
			return false, fmt.Errorf("entry %d of the audit is missing: the tree ends before it", size+int64(i)+1)
		}
		leaves[i] = ledger.Leaf(e.Hash)
	}
	grown, err := ledger.Grow(size, tiles(tx), leaves)
	if err != nil {
		return false, err
	}
	for _, t := range grown {
		err := tx.Exec(`INSERT INTO redrive.audit_tiles (level, n, hashes) VALUES (?, ?, ?)
			ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`, t.Level, t.N, t.Hashes).Error
		if err != nil {
			return false, fmt.Errorf("keeping the tree of the audit: %w", err)
		}
	}
	return len(list) == sealedAtOnce, nil
}

// sealed is the size of the tree.
func sealed(db *gorm.DB) (int64, error) {
	size, err := pg.ReadOne(db, pg.Single[int64], `SELECT n * ? + octet_length(hashes) / ? FROM redrive.audit_tiles
		WHERE level = 0 ORDER BY n DESC LIMIT 1`, ledger.TileWidth, tlog.HashSize)
	if errors.Is(err, delivery.ErrNotFound) {
		return 0, nil
	}
	return size, err
}

// tiles reads the tree.
func tiles(db *gorm.DB) ledger.TileReader {
	return func(level int, n int64) ([]byte, error) {
		data, err := pg.ReadOne(db, pg.Single[[]byte], "SELECT hashes FROM redrive.audit_tiles WHERE level = ? AND n = ?", level, n)
		if err != nil {
			return nil, fmt.Errorf("reading tile %d of level %d of the audit's tree: %w", n, level, err)
		}
		return data, nil
	}
}

// Checkpoint puts everything that is committed into the tree and returns the signed checkpoint of it: a new one where the log has grown, or
// its key changed, else the one that there is. An empty log has none: delivery.ErrNotFound.
func (n *Notary) Checkpoint(ctx context.Context) (signed string, err error) {
	if err = n.ensureKey(ctx); err != nil {
		return "", err
	}
	if err = n.seal(ctx); err != nil {
		return "", err
	}
	err = n.transact(ctx, func(tx *gorm.DB) error {
		signed, err = n.sign(tx)
		return err
	})
	return signed, err
}

func (n *Notary) sign(tx *gorm.DB) (string, error) {
	size, err := sealed(tx)
	if err != nil || size == 0 {
		return "", errors.Join(err, delivery.ErrNotFound)
	}
	keys, err := currentKeys(tx)
	if err != nil {
		return "", err
	}
	root, err := tlog.TreeHash(size, tiles(tx))
	if err != nil {
		return "", err
	}
	c := ledger.Checkpoint{Origin: keys[0].Origin, Size: size, Root: root}
	last, err := lastNote(tx)
	if err == nil {
		var same bool
		if same, err = continues(tx, last, c, keys); err != nil || same {
			return last, err
		}
	}
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return "", err
	}
	privates, err := n.open(tx, keys)
	if err != nil {
		return "", err
	}
	signed, err := c.Sign(privates...)
	if err != nil {
		return "", err
	}
	if err := tx.Exec("INSERT INTO redrive.audit_checkpoints (size, note) VALUES (?, ?)", c.Size, signed).Error; err != nil {
		return "", fmt.Errorf("keeping a checkpoint: %w", err)
	}
	return signed, retireKeys(tx, keys)
}

// continues reports whether the last checkpoint says what the next one would, and refuses to sign what it does not continue.
func continues(tx *gorm.DB, last string, next ledger.Checkpoint, keys []key) (same bool, err error) {
	before, err := ledger.Unsigned(last)
	if err != nil {
		return false, err
	}
	if before.Size > next.Size {
		return false, fmt.Errorf("the audit has %d entries, its last checkpoint has %d: it was rolled back", next.Size, before.Size)
	}
	root, err := tlog.TreeHash(before.Size, tiles(tx))
	if err == nil && root != before.Root {
		err = fmt.Errorf("the tree of the audit does not continue its checkpoint of %d entries", before.Size)
	}
	if err != nil || before != next {
		return false, err
	}
	newest, err := ledger.ParseKeys(keys[len(keys)-1].Public)
	if err != nil {
		return false, err
	}
	_, unsigned := ledger.Open(last, newest)
	return unsigned == nil, nil
}

func lastNote(db *gorm.DB) (string, error) {
	return pg.ReadOne(db, pg.Single[string], "SELECT note FROM redrive.audit_checkpoints ORDER BY size DESC, at DESC LIMIT 1")
}

// LastCheckpoint is the newest checkpoint with its cosignatures: delivery.ErrNotFound before the first.
func (n *Notary) LastCheckpoint(ctx context.Context) (string, error) {
	db := n.Gorm.WithContext(ctx)
	signed, err := lastNote(db)
	if err != nil {
		return "", err
	}
	return cosigned(db, signed)
}

func cosigned(db *gorm.DB, signed string) (string, error) {
	c, err := ledger.Unsigned(signed)
	if err != nil {
		return "", err
	}
	lines, err := pg.Read(db, pg.Single[string], "SELECT signature FROM redrive.audit_cosignatures WHERE size = ? ORDER BY witness", c.Size)
	for _, line := range lines {
		signed += line
	}
	return signed, err
}

// Checkpoints are all checkpoints that were signed, the oldest first, without cosignatures.
func (n *Notary) Checkpoints(ctx context.Context) ([]string, error) {
	list, err := pg.Read(n.Gorm.WithContext(ctx), pg.Single[string], "SELECT note FROM redrive.audit_checkpoints ORDER BY size, at")
	if err != nil {
		return nil, fmt.Errorf("reading the audit's checkpoints: %w", err)
	}
	return list, nil
}

// Consistency proves that the log of new entries continues that of old ones.
func (n *Notary) Consistency(ctx context.Context, old, new int64) ([]tlog.Hash, error) {
	if old == 0 {
		return nil, nil
	}
	return tlog.ProveTree(new, old, tiles(n.Gorm.WithContext(ctx)))
}

// Prove returns the proof that an entry is in the log, after a new checkpoint where none covers it: delivery.ErrNotFound where there is no such
// entry, or whoever asks does not see it. The entry itself goes with it if the reader sees all of it.
func (n *Notary) Prove(ctx context.Context, seq int64) (p ledger.Proof, err error) {
	seen, err := n.trail.Entry(ctx, seq)
	if err != nil {
		return p, err
	}
	signed, err := n.LastCheckpoint(ctx)
	if errors.Is(err, delivery.ErrNotFound) || err == nil && !covers(signed, seq) {
		signed, err = n.Checkpoint(ctx)
	}
	if err != nil {
		return p, err
	}
	c, err := ledger.Unsigned(signed)
	if err != nil {
		return p, err
	}
	p = ledger.Proof{Index: seq - 1, Checkpoint: signed}
	if bytes.Equal(audit.Hash(seen.PrevHash, seen), seen.Hash) {
		p.Entry = ledger.Line(seen)
	}
	p.Hashes, err = tlog.ProveRecord(c.Size, p.Index, tiles(n.Gorm.WithContext(ctx)))
	return p, err
}

func covers(signed string, seq int64) bool {
	c, err := ledger.Unsigned(signed)
	return err == nil && c.Size >= seq
}
