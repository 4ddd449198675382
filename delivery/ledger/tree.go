// Package ledger makes a Merkle log of the audit: leaves and tree (RFC 6962), checkpoints that are signed and cosigned (C2SP), proofs, and the
// room that takes checkpoints and entries outside. docs/audit-format.md is its format.
package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of tiles: each has 256 hashes of a level.
const TileHeight = 8

// TileWidth is how many hashes a full tile has.
const TileWidth = 1 << TileHeight

// Leaf is the hash of the leaf of an entry. The leaf is the entry's own hash, of 32 bytes, which covers all of its columns and the entry before.
func Leaf(entryHash []byte) tlog.Hash { return tlog.RecordHash(entryHash) }

// Tree is a tree that is built leaf by leaf, with all its hashes: level k has the roots of the complete subtrees of 2^k leaves.
type Tree struct{ levels [][]tlog.Hash }

// Size is the number of leaves.
func (t *Tree) Size() int64 {
	if len(t.levels) == 0 {
		return 0
	}
	return int64(len(t.levels[0]))
}

// Append adds the next leaf.
func (t *Tree) Append(leaf tlog.Hash) {
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		row := append(t.levels[level], leaf)
		t.levels[level] = row
		if len(row)%2 != 0 {
			return
		}
		leaf = tlog.NodeHash(row[len(row)-2], row[len(row)-1])
	}
}

// ReadHashes returns hashes by their number among stored ones: a Tree is a [tlog.HashReader].
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if level >= len(t.levels) || n >= int64(len(t.levels[level])) {
			return nil, fmt.Errorf("the tree has %d leaves: no hash %d of level %d", t.Size(), n, level)
		}
		list[i] = t.levels[level][n]
	}
	return list, nil
}

// Root is the root of the tree of the first leaves.
func (t *Tree) Root(size int64) (tlog.Hash, error) {
	if size > t.Size() {
		return tlog.Hash{}, fmt.Errorf("the tree has %d leaves, not %d", t.Size(), size)
	}
	return tlog.TreeHash(size, t)
}

// TileReader reads the hashes of a tile, at least as many as its width says.
type TileReader func(level int, n int64) ([]byte, error)

// ReadHashes returns hashes by their number among stored ones: tiles are a [tlog.HashReader].
func (read TileReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	type place struct {
		level int
		n     int64
	}
	known := map[place][]byte{}
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		tile := tlog.TileForIndex(TileHeight, index)
		at := place{tile.L, tile.N}
		if known[at] == nil {
			data, err := read(tile.L, tile.N)
			if err != nil {
				return nil, err
			}
			known[at] = data
		}
		if len(known[at]) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %d of level %d has %d hashes, not %d", tile.N, tile.L, len(known[at])/tlog.HashSize, tile.W)
		}
		var err error
		if list[i], err = tlog.HashFromTile(tile, known[at][:tile.W*tlog.HashSize], index); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Tile is what a tile becomes.
type Tile struct {
	Level  int
	N      int64
	Hashes []byte
}

// Grow returns the tiles of a tree that has more leaves than the first size ones, which are read from tiles.
func Grow(size int64, tiles TileReader, leaves []tlog.Hash) ([]Tile, error) {
	fresh := map[int64]tlog.Hash{}
	both := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return overlaid(fresh, tiles, indexes) })
	for i, leaf := range leaves {
		n := size + int64(i)
		stored, err := tlog.StoredHashesForRecordHash(n, leaf, both)
		if err != nil {
			return nil, err
		}
		at := tlog.StoredHashIndex(0, n)
		for k, h := range stored {
			fresh[at+int64(k)] = h
		}
	}
	var list []Tile
	for _, t := range tlog.NewTiles(TileHeight, size, size+int64(len(leaves))) {
		data, err := tlog.ReadTileData(t, both)
		if err != nil {
			return nil, err
		}
		list = append(list, Tile{t.L, t.N, data})
	}
	return list, nil
}

// overlaid reads what is new from memory, and the rest from tiles.
func overlaid(fresh map[int64]tlog.Hash, tiles TileReader, indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	var missing []int64
	var where []int
	for i, index := range indexes {
		h, ok := fresh[index]
		if list[i] = h; !ok {
			missing, where = append(missing, index), append(where, i)
		}
	}
	if len(missing) == 0 {
		return list, nil
	}
	old, err := tiles.ReadHashes(missing)
	if err != nil {
		return nil, err
	}
	for i, h := range old {
		list[where[i]] = h
	}
	return list, nil
}
