package delivery

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxSearched is how much of a payload is searched, in bytes. JSON that is larger is searched by the words of its beginning only.
const MaxSearched = 64 << 10

// MaxSearchedError is how much of an error text is searched.
const MaxSearchedError = 64 << 10

// Unindexed is an open failure with something new to search for.
type Unindexed struct {
	DeliveryID string
	ErrorClass string
	Error      string
	Type       string
	Payload    []byte // what is sent, at most MaxSearched and one byte
	Masking    Masking
}

// SearchEntry is what can be found of a failure.
type SearchEntry struct {
	Error string
	Text  string // of the payload
	JSON  bool   // Text is JSON
}

// Entry decides what can be found of a failure: its error text and its payload, without what is masked.
func (u Unindexed) Entry() SearchEntry {
	e := SearchEntry{Error: FirstBytes(u.Error, MaxSearchedError)}
	e.Error = u.Masking.Hider(u.Payload).Error(u.ErrorClass, e.Error)
	if u.Type == TypeBatchFile || u.Type == TypeBatchRun {
		return e // the payload of a file or run only says which one it is
	}
	whole := len(u.Payload) <= MaxSearched
	payload, ok := u.Masking.Payload(u.Payload)
	if !ok || !whole && u.Masking.Hides() {
		return e // nobody can tell what of it must be hidden
	}
	e.Text, e.JSON = legible(payload, whole), whole && json.Valid(payload)
	e.JSON = e.JSON && e.Text != ""
	return e
}

// legible is a payload that people can read; empty when it is none.
func legible(payload []byte, whole bool) string {
	if !whole {
		payload = payload[:MaxSearched]
		for n := 1; n < utf8.UTFMax && !utf8.Valid(payload); n++ { // the last character was cut
			payload = payload[:len(payload)-1]
		}
	}
	if !utf8.Valid(payload) || bytes.IndexByte(payload, 0) >= 0 {
		return ""
	}
	return string(payload)
}
