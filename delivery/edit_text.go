package delivery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// How a form shows a payload for editing.
const (
	EditJSON   = "json"   // laid out; an object or an array
	EditPlain  = "text"   // as it is
	EditBase64 = "base64" // everything that a text field of a browser would change
)

// Bounds of laying out: deep nesting makes indentation grow with its square.
const (
	maxEditDepth = 40
	base64Line   = 76
)

// EditFormat says how EditText shows a payload. A lone number or word is text, although it is JSON too.
func EditFormat(payload []byte) string {
	if !utf8.Valid(payload) {
		return EditBase64
	}
	if start := bytes.TrimLeft(payload, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[') &&
		json.Valid(payload) {
		return EditJSON
	}
	bare, pairs := bytes.Count(payload, []byte("\n")), bytes.Count(payload, []byte("\r\n"))
	odd := bytes.ContainsFunc(payload, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\x7f' })
	if odd || bytes.Count(payload, []byte("\r")) != pairs || pairs > 0 && pairs != bare {
		return EditBase64
	}
	return EditPlain
}

// EditText is what a form shows of a payload: masked fields as Hidden, JSON laid out with every number, key and duplicate as it
// is. ok is false when fields are masked in what is not JSON: then nothing of it may be shown, and a new payload replaces it whole.
func EditText(payload []byte, paths []string) (text string, ok bool) {
	format := EditFormat(payload)
	if len(paths) > 0 {
		if payload, ok = Mask(payload, paths); !ok || format == EditBase64 {
			return "", false
		}
	}
	switch format {
	case EditBase64:
		return wrapped(base64.StdEncoding.EncodeToString(payload)), true
	case EditPlain:
		return string(payload), true
	}
	var out bytes.Buffer
	if JSONDepth(payload) > maxEditDepth || json.Indent(&out, payload, "", "  ") != nil {
		return string(payload), true
	}
	return out.String(), true
}

// FromEditText is the payload that a form's text makes of base, which EditText showed. Unchanged text is base, byte by byte. Of
// changed JSON hidden values come back, and it is written without spaces when base was. A mistake is an *InputError.
func FromEditText(text string, base []byte, paths []string) ([]byte, error) {
	shown, ok := EditText(base, paths)
	if ok && newlines(text) == newlines(shown) {
		return base, nil
	}
	format := EditFormat(base)
	switch {
	case !utf8.ValidString(text):
		return nil, Mistake("invalid_text.payload", "payload")
	case format == EditBase64 && ok:
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, Mistake("invalid_base64.payload", "payload")
		}
		return raw, nil
	case format == EditJSON:
		edited, err := Unmask([]byte(newlines(text)), base, paths)
		if err != nil {
			return nil, err
		}
		return inStyle(edited, base), nil
	}
	return UnmaskText(inNewlines([]byte(newlines(text)), base), base, paths)
}

// inStyle writes JSON without spaces if base has none between its parts; what stands around it stays.
func inStyle(edited, base []byte) []byte {
	inner := bytes.TrimSpace(base)
	if compacted(inner) != string(inner) {
		return inNewlines(edited, base)
	}
	before, after, _ := bytes.Cut(base, inner)
	return append(append(append([]byte{}, before...), compacted(edited)...), after...)
}

// newlines makes line ends one character: browsers send two, whatever was shown.
func newlines(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

func inNewlines(text, base []byte) []byte {
	if bytes.Contains(base, []byte("\r\n")) {
		return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	return text
}

func wrapped(text string) string {
	var out strings.Builder
	for len(text) > base64Line {
		out.WriteString(text[:base64Line] + "\n")
		text = text[base64Line:]
	}
	return out.String() + text
}

// JSONDepth counts the nesting of valid JSON.
func JSONDepth(body []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			now++
			deepest = max(deepest, now)
		case b == '}' || b == ']':
			now--
		}
	}
	return deepest
}
