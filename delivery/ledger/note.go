package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"redrive/delivery"
)

// ErrUnsigned says that there are no checkpoints, since the key that signs them could not be kept.
var ErrUnsigned = fmt.Errorf("the audit is not signed: set REDRIVE_SECRET_KEY, which its key is kept with: %w", delivery.ErrNotFound)

// Checkpoint is what a checkpoint says: C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string // of the log
	Size   int64  // entries
	Root   tlog.Hash
}

// Text is the body that is signed.
func (c Checkpoint) Text() string { return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root) }

var errCheckpoint = errors.New("this is no checkpoint: origin, size and root, one a line")

// ParseCheckpoint reads the body of a checkpoint. Whether it is signed is another question, see [Open].
func ParseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return c, errCheckpoint
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, errCheckpoint
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return c, errCheckpoint
	}
	return c, nil
}

// Keys are the keys that one believes.
type Keys []note.Verifier

// ParseKeys reads keys as verifiers write them, name+hash+key: Ed25519 keys of logs and of witnesses.
func ParseKeys(texts ...string) (list Keys, err error) {
	for _, text := range texts {
		v, err := parseKey(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is no key such as example.com/log+1a2b3c4d+AQ…: %w", text, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// Algorithms of signatures of notes.
const (
	algorithmEd25519   = 1
	algorithmCosignage = 4
)

func parseKey(text string) (note.Verifier, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) == 3 {
		raw, err := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && len(raw) == 1+ed25519.PublicKeySize && raw[0] == algorithmCosignage {
			return newCosigner(parts[0], parts[1], raw)
		}
	}
	return note.NewVerifier(text)
}

// cosigner checks the signatures of a witness: C2SP cosignature/v1.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(name, hash string, raw []byte) (*cosigner, error) {
	sum := sha256.Sum256([]byte(name + "\n" + string(raw)))
	id := binary.BigEndian.Uint32(sum[:])
	if name == "" || fmt.Sprintf("%08x", id) != hash {
		return nil, errors.New("its hash is of another key")
	}
	return &cosigner{name, id, raw[1:]}, nil
}

// Name is the name of the witness.
func (c *cosigner) Name() string { return c.name }

// KeyHash is the id of its key.
func (c *cosigner) KeyHash() uint32 { return c.hash }

// Verify reports whether sig, a time and a signature, is of the body msg.
func (c *cosigner) Verify(msg, sig []byte) bool {
	const stamp = 8
	if len(sig) != stamp+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.key, signed, sig[stamp:])
}

// Open returns what a signed checkpoint says, if one of the keys has signed it.
func Open(signed string, keys Keys) (c Checkpoint, err error) {
	opened, err := note.Open([]byte(signed), note.VerifierList(keys...))
	if err != nil {
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &unknown) {
			err = errors.New("no key that is known has signed this checkpoint")
		}
		return c, err
	}
	return ParseCheckpoint(opened.Text)
}

// Unsigned returns what a signed checkpoint says, whoever signed it.
func Unsigned(signed string) (Checkpoint, error) {
	body, _, found := strings.Cut(signed, "\n\n")
	if !found {
		return Checkpoint{}, errCheckpoint
	}
	return ParseCheckpoint(body + "\n")
}

// NewKey makes a key pair of a log: the private half as [Sign] takes it, the public one as [ParseKeys] does.
func NewKey(origin string) (private, public string, err error) {
	return note.GenerateKey(rand.Reader, origin)
}

// CheckOrigin refuses what cannot be the name of a log.
func CheckOrigin(origin string) error {
	if origin == "" || strings.ContainsAny(origin, "+ \t\r\n") || len(origin) > 200 {
		return errors.New("an origin is a name such as example.com/redrive, without blanks and +")
	}
	return nil
}

// Sign returns the signed note of a checkpoint.
func (c Checkpoint) Sign(privates ...string) (string, error) {
	var signers []note.Signer
	for _, text := range privates {
		s, err := note.NewSigner(text)
		if err != nil {
			return "", err
		}
		signers = append(signers, s)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	return string(signed), err
}

// Cosignature returns the line of a witness among lines of signatures, if it is of the body of a signed checkpoint.
func Cosignature(signed, lines string, witness note.Verifier) (string, error) {
	body, _, _ := strings.Cut(signed, "\n\n")
	for line := range strings.Lines(lines) {
		_, err := note.Open([]byte(body+"\n\n"+strings.TrimRight(line, "\n")+"\n"), note.VerifierList(witness))
		if err == nil {
			return strings.TrimRight(line, "\n") + "\n", nil
		}
	}
	return "", fmt.Errorf("the answer has no cosignature of %s for this checkpoint", witness.Name())
}
