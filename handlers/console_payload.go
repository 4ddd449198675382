package handlers

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/views"
)

// Bounds of what a page shows of a payload. Deep nesting makes indentation grow with its square.
const (
	maxShown  = 64 << 10
	maxHex    = 16 << 10
	maxIndent = 40
)

// readable prepares what may be seen of a payload for people: JSON indented with every number, key and duplicate as it was
// sent, other text as it is, other bytes as a hex dump.
func readable(seen payloadView, size int) views.Payload {
	p := views.Payload{Size: size, SHA256: seen.SHA256, Masked: seen.Masked, Hidden: seen.Masked && seen.Shown == nil}
	body := seen.Shown
	switch {
	case p.Hidden:
	case len(body) == 0:
		p.Kind = "empty"
	case seen.IsJSON:
		p.Kind = "json"
		p.Text, p.Truncated = cut(indented(body), maxShown)
	case utf8.Valid(body) && !bytes.ContainsRune(body, 0):
		p.Kind = "text"
		p.Text, p.Truncated = cut(body, maxShown)
	default:
		p.Kind = "binary"
		p.Truncated = len(body) > maxHex
		p.Text = hex.Dump(body[:min(len(body), maxHex)])
		if text := bytes.ToValidUTF8(body[:min(len(body), maxHex)], []byte("\uFFFD")); mostlyText(text) {
			p.Replaced = true
			p.Text = printable(text) + "\n\n" + p.Text
		}
	}
	return p
}

// indented lays JSON out without touching a token of it.
func indented(body []byte) []byte {
	if len(body) > maxShown || delivery.JSONDepth(body) > maxIndent {
		return body
	}
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return body
	}
	return out.Bytes()
}

// cut shortens text to at most n bytes without splitting a character.
func cut(text []byte, n int) (string, bool) {
	if len(text) <= n {
		return strings.ToValidUTF8(string(text), "\uFFFD"), false
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.ToValidUTF8(string(text[:n]), "\uFFFD"), true
}

// mostlyText says whether bytes are worth reading as text beside their dump.
func mostlyText(text []byte) bool {
	odd := 0
	for _, r := range string(text) {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			odd++
		}
	}
	return odd*10 < len(text)
}

func headerList(headers map[string]string) []views.Header {
	var out []views.Header
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		out = append(out, views.Header{Name: name, Value: headers[name]})
	}
	return out
}
