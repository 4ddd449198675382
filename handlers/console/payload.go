package console

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// Bounds of what a page shows of bytes that are no text, and of a header.
const (
	maxHex         = 4 << 10
	maxHeaderShown = 4 << 10
)

// readable prepares what may be seen of a payload for people: what has a form as a tree with every number, key and duplicate as it was
// sent, other text as it is, other bytes as a hex dump.
func readable(seen web.PayloadView, size int, ask views.OutlineAsk, at views.Place) views.Payload {
	var p views.Payload
	hidden := seen.Masked && seen.Shown == nil
	switch {
	case seen.Null:
		p.Kind = "null"
	case !hidden:
		p = content(seen.Shown, ask)
	}
	p.Size, p.SHA256, p.Masked, p.Hidden, p.At = seen.Size(size), seen.SHA256, seen.Masked, hidden, at
	return p
}

// content lays out bytes.
func content(body []byte, ask views.OutlineAsk) views.Payload {
	p := views.Payload{Ask: ask}
	switch {
	case len(body) == 0:
		p.Kind = "empty"
	case utf8.Valid(body) && !bytes.ContainsRune(body, 0):
		p.Kind, p.Text = "text", string(body)
		if p.Tree = views.NewOutline(p.Text); p.Tree != nil {
			p.Kind = p.Tree.Kind
		}
	default:
		p.Kind = "binary"
		p.Truncated = len(body) > maxHex
		p.Text = hex.Dump(body[:min(len(body), maxHex)])
		if text := bytes.ToValidUTF8(body[:min(len(body), maxHex)], []byte("\uFFFD")); mostlyText(text) {
			p.Replaced = true
			p.Text = web.Printable(text) + "\n\n" + p.Text
		}
	}
	return p
}

// cut shortens text to at most n bytes without splitting a character.
func cut(text []byte, n int) (string, bool) {
	shown := delivery.FirstBytes(string(text), n)
	return strings.ToValidUTF8(shown, "\uFFFD"), len(shown) < len(text)
}

// mostlyText reports whether bytes are worth reading as text beside their dump.
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

// headersOf are the headers as people may see them, with their types where the broker has any.
func headersOf(seen web.PayloadView) []views.Header {
	if seen.List == nil {
		return slices.DeleteFunc(headerList(seen.Headers), func(h views.Header) bool { return isProperty(seen, h.Name) })
	}
	return shownFields(seen.List)
}

// isProperty reports whether a header stands for a property that is shown among those.
func isProperty(seen web.PayloadView, name string) bool {
	return slices.ContainsFunc(seen.Props, func(f delivery.Field) bool { return f.Name == delivery.PropertyOf(name) })
}

func propertiesOf(seen web.PayloadView) []views.Header { return shownFields(seen.Props) }

func shownFields(list []delivery.Field) (out []views.Header) {
	for _, f := range list {
		h := views.Header{Name: delivery.Storable(f.Name), Type: string(f.Type), Value: f.Text()}
		switch {
		case f.IsNull():
			h.Type = "null"
		case f.Type == delivery.FieldBytes || f.Text() != string(f.Value) && !f.Nested():
			h.Type, h.Value = "bytes", hex.EncodeToString(f.Value)
		}
		if len(h.Value) > maxHeaderShown {
			h.Value, _ = cut([]byte(h.Value), maxHeaderShown)
			h.Value += " …"
		}
		out = append(out, h)
	}
	return out
}
