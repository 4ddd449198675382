package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// proofHeader is the first line of a proof: C2SP tlog-proof.
const proofHeader = "c2sp.org/tlog-proof@v1"

// Proof shows that an entry is in the log of a checkpoint. Its text needs nothing but the log's key to be checked.
type Proof struct {
	Index      int64  // of the leaf: the entry's number less one
	Entry      []byte // the line of the entry, see [Line]; nil: whoever checks has it
	Hashes     tlog.RecordProof
	Checkpoint string // signed
}

// String is the proof as it is kept in files.
func (p Proof) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, proofHeader)
	if p.Entry != nil {
		fmt.Fprintln(&b, "extra", base64.StdEncoding.EncodeToString(p.Entry))
	}
	fmt.Fprintln(&b, "index", p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintln(&b, h)
	}
	return b.String() + "\n" + p.Checkpoint
}

var errProof = errors.New("this is no proof that redrive audit prove wrote")

// ParseProof reads what [Proof.String] wrote.
func ParseProof(text string) (p Proof, err error) {
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != proofHeader {
		return p, errProof
	}
	lines, p.Checkpoint = lines[1:], signed
	if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
		if p.Entry, err = base64.StdEncoding.DecodeString(extra); err != nil {
			return p, errProof
		}
		lines = lines[1:]
	}
	index, ok := "", len(lines) > 0
	if ok {
		index, ok = strings.CutPrefix(lines[0], "index ")
	}
	if p.Index, err = strconv.ParseInt(index, 10, 64); err != nil || !ok {
		return p, errProof
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return p, errProof
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// Check reports whether the proof shows that the entry with a hash is in the log that one of the keys has signed.
func (p Proof) Check(entryHash []byte, keys Keys) error {
	c, err := Open(p.Checkpoint, keys)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, Leaf(entryHash))
}
