package search

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"redrive/delivery"
)

// Entry decides what can be found of a failure: its error text and its payload, without what is masked.
func Entry(u delivery.Unindexed) delivery.SearchEntry {
	e := delivery.SearchEntry{Error: delivery.FirstBytes(u.Error, delivery.MaxSearchedError)}
	e.Error = u.Masking.Hider(u.Payload).Error(u.ErrorClass, e.Error)
	if u.Type == delivery.TypeBatchFile || u.Type == delivery.TypeBatchRun {
		return e // the payload of a file or run only says which one it is
	}
	whole := len(u.Payload) <= delivery.MaxSearched
	payload, ok := u.Masking.Payload(u.Payload)
	if !ok || !whole && u.Masking.Hides() {
		return e // nobody can tell what of it must be hidden
	}
	e.Text, e.JSON = text(payload, whole), whole && json.Valid(payload)
	e.JSON = e.JSON && e.Text != ""
	return e
}

// text is a payload that people can read; empty when it is none.
func text(payload []byte, whole bool) string {
	if !whole {
		payload = payload[:delivery.MaxSearched]
		for n := 1; n < utf8.UTFMax && !utf8.Valid(payload); n++ { // the last character was cut
			payload = payload[:len(payload)-1]
		}
	}
	if !utf8.Valid(payload) || bytes.IndexByte(payload, 0) >= 0 {
		return ""
	}
	return string(payload)
}
