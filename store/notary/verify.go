package notary

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/store/audit"
	"redrive/store/pg"
)

// Verification is the result of recomputing the audit's log.
type Verification struct {
	Chain       audit.Report
	Gone        int64     // entries that have left and are known by their hashes
	Root        tlog.Hash // of the tree of all entries
	Checkpoints int       // signed ones that the log continues
	Problem     error     // what is wrong with the tree or with a checkpoint
}

// OK reports whether everything fits.
func (v Verification) OK() bool { return v.Chain.OK() && v.Problem == nil }

// VerifyLog recomputes chain and tree from the rows and compares them with what is kept of the tree, with the checkpoints that are kept, and
// with those from outside. Keys are those that may have signed them; none: those of the database, which whoever rewrote the audit could have
// replaced too.
func (n *Notary) VerifyLog(ctx context.Context, outside []string, keys ledger.Keys) (v Verification, err error) {
	if len(keys) == 0 {
		if keys, err = n.ownKeys(ctx); err != nil {
			return v, err
		}
	}
	inside, err := n.Checkpoints(ctx)
	if err != nil {
		return v, err
	}
	tree := &ledger.Tree{}
	if v.Gone, err = n.gone(ctx, tree); err != nil {
		return v, err
	}
	v.Chain, err = n.trail.Walk(ctx, func(e *delivery.AuditEntry) error {
		if e.Seq == v.Gone+1 && v.Gone > 0 && !n.lastGone(tree, e.PrevHash) {
			v.Problem = fmt.Errorf("entry %d does not continue the hashes of what has left", e.Seq)
		}
		tree.Append(ledger.Leaf(e.Hash))
		return nil
	})
	if err != nil || !v.OK() {
		return v, err
	}
	if v.Root, err = tree.Root(tree.Size()); err != nil {
		return v, err
	}
	if v.Problem, err = n.compareTiles(ctx, tree); err != nil || v.Problem != nil {
		return v, err
	}
	for _, signed := range append(inside, outside...) {
		if v.Problem = compare(tree, signed, keys); v.Problem != nil {
			return v, nil
		}
		v.Checkpoints++
	}
	return v, nil
}

func (n *Notary) ownKeys(ctx context.Context) (ledger.Keys, error) {
	list, err := n.AuditKeys(ctx)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(list))
	for i, k := range list {
		texts[i] = k.Public
	}
	return ledger.ParseKeys(texts...)
}

// gone puts the leaves of what has left into a tree.
func (n *Notary) gone(ctx context.Context, tree *ledger.Tree) (upto int64, err error) {
	upto, err = pg.ReadOne(n.Gorm.WithContext(ctx), pg.Single[int64], "SELECT coalesce(max(upto), 0) FROM redrive.audit_gone")
	if err != nil {
		return 0, err
	}
	read := tiles(n.Gorm.WithContext(ctx))
	for at := int64(0); at < upto; at += ledger.TileWidth {
		data, err := read(0, at/ledger.TileWidth)
		if err != nil {
			return 0, err
		}
		if len(data) != ledger.TileWidth*tlog.HashSize {
			return 0, fmt.Errorf("hashes of entries after %d that have left are missing", at)
		}
		for ; len(data) > 0; data = data[tlog.HashSize:] {
			tree.Append(tlog.Hash(data[:tlog.HashSize]))
		}
	}
	return upto, nil
}

func (n *Notary) lastGone(tree *ledger.Tree, hash []byte) bool {
	leaf, err := tree.ReadHashes([]int64{tlog.StoredHashIndex(0, tree.Size()-1)})
	return err == nil && leaf[0] == ledger.Leaf(hash)
}

// compareTiles compares what is kept of the tree with what the entries make of it, so that proofs are made of the right hashes.
func (n *Notary) compareTiles(ctx context.Context, tree *ledger.Tree) (problem, err error) {
	rows, err := n.Gorm.WithContext(ctx).Raw("SELECT level, n, hashes FROM redrive.audit_tiles ORDER BY level, n").Rows()
	if err != nil {
		return nil, fmt.Errorf("reading the tree of the audit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r ledger.Tile
		if err := rows.Scan(&r.Level, &r.N, &r.Hashes); err != nil {
			return nil, err
		}
		want, err := tlog.ReadTileData(tlog.Tile{H: ledger.TileHeight, L: r.Level, N: r.N, W: len(r.Hashes) / tlog.HashSize}, tree)
		if err != nil || string(want) != string(r.Hashes) {
			return fmt.Errorf("the tree that is kept is not that of the entries: hashes from %d of level %d", r.N*ledger.TileWidth, r.Level), nil
		}
	}
	return nil, rows.Err()
}

// compare says what is wrong with a checkpoint.
func compare(tree *ledger.Tree, signed string, keys ledger.Keys) error {
	c, err := ledger.Open(signed, keys)
	if err != nil {
		return err
	}
	if c.Size > tree.Size() {
		return fmt.Errorf("the checkpoint of %s has %d entries, the audit %d: entries are missing at the end", c.Origin, c.Size, tree.Size())
	}
	root, err := tree.Root(c.Size)
	if err == nil && root != c.Root {
		err = fmt.Errorf("the audit does not continue the checkpoint of %s with %d entries: something in them was changed", c.Origin, c.Size)
	}
	return err
}
