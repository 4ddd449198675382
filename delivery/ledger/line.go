package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"

	"redrive/delivery"
)

// timeLayout is how times of entries are hashed and exported: UTC, microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// line is an entry in an export. Details are the text that was hashed, not JSON within JSON.
type line struct {
	Seq         int64  `json:"seq"`
	At          string `json:"at"`
	Actor       string `json:"actor"`
	Action      string `json:"action"`
	SubjectType string `json:"subject_type"`
	Subject     string `json:"subject"`
	Reason      string `json:"reason"`
	Details     string `json:"details"`
	PrevHash    string `json:"prev_hash"`
	Hash        string `json:"hash"`
}

// Line is an entry as one line of JSON, with all that its hash covers.
func Line(e delivery.AuditEntry) []byte {
	return asLine(line{e.Seq, e.At.UTC().Format(timeLayout), e.Actor, e.Action, e.SubjectType, e.Subject, e.Reason, string(e.Details),
		hex.EncodeToString(e.PrevHash), hex.EncodeToString(e.Hash)})
}

// Leaves are entries of which only the hashes of their leaves are told, as one line of JSON: from is the number of the first.
func Leaves(from int64, hashes []byte) []byte {
	return asLine(struct {
		From   int64  `json:"from"`
		Leaves []byte `json:"leaves"` // 32 bytes each, base64
	}{from, hashes})
}

func asLine(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts, numbers and bytes only
	return b.Bytes()
}
