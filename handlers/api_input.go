package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// field reads one member of a JSON object into where it belongs.
type field func(raw json.RawMessage) error

// fields are the members that an object may have.
type fields map[string]field

// decodeObject reads body, one JSON object, member by member. Unlike a decoder into a struct it refuses members that are
// unknown or given twice, names the line of a mistake, and gives each member's bytes unchanged. An empty body is an object
// without members.
func decodeObject(body []byte, known fields) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return decodeMembers(body, known.set)
}

// decodeMembers gives take each member of the JSON object in body, in order.
func decodeMembers(body []byte, take func(name string, raw json.RawMessage) error) error {
	if err := checkJSON(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return newProblem(http.StatusBadRequest, "invalid_json.object")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, _ := dec.Token() // valid JSON: a name
		name, _ := token.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("reading member %q: %w", name, err)
		}
		if seen[name] {
			return badField(http.StatusBadRequest, "duplicate_field", name, "field", name)
		}
		seen[name] = true
		if err := take(name, raw); err != nil {
			return err
		}
	}
	return nil
}

func (f fields) set(name string, raw json.RawMessage) error {
	set, ok := f[name]
	if !ok {
		return unprocessable("unknown_field", name, "field", name)
	}
	return set(raw)
}

// checkJSON says where a text stops being JSON.
func checkJSON(body []byte) error {
	var all json.RawMessage
	err := json.Unmarshal(body, &all)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := body[:min(max(int(syntax.Offset), 0), len(body))]
	return newProblem(http.StatusBadRequest, "invalid_json.body", "problem", syntax.Error(), "line", 1+bytes.Count(before, []byte("\n")), "byte", syntax.Offset)
}

func unprocessable(key, field string, args ...any) problem {
	return badField(http.StatusUnprocessableEntity, key, field, args...)
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// textField takes a string of at most limit bytes; null counts as absent.
func textField(name string, limit int, into *string) field {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		text, err := jsonText(name, raw)
		if err != nil {
			return err
		}
		if len(text) > limit {
			return unprocessable("too_long.bytes", name, "field", name, "max", limit, "count", len(text))
		}
		*into = text
		return nil
	}
}

// jsonText decodes a JSON string and refuses what decoding would silently change, and NUL, which the database cannot store.
func jsonText(name string, raw json.RawMessage) (string, error) {
	var text string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", unprocessable("invalid_field.string", name, "field", name)
	}
	changed := strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`))
	if !utf8.Valid(raw) || changed {
		return "", unprocessable("invalid_text.field", name, "field", name)
	}
	return text, checkText(name, text)
}

func checkText(name, text string) error {
	switch {
	case !utf8.ValidString(text):
		return unprocessable("invalid_text.field", name, "field", name)
	case strings.ContainsRune(text, 0):
		return unprocessable("invalid_text.nul", name, "field", name)
	}
	return nil
}

func timeField(name string, into **time.Time) field {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		text, err := jsonText(name, raw)
		if err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
			return unprocessable("invalid_time", name, "field", name)
		}
		*into = &t
		return nil
	}
}

// neverFailed stands for a version 0 that was given: the delivery was looked at before it first failed. It fits none that an
// action is allowed for, while no version at all fits each.
const neverFailed = -1

func versionField(into *int) field {
	return func(raw json.RawMessage) error {
		if json.Unmarshal(raw, into) != nil || *into < 0 {
			return unprocessable("invalid_field.version", "version")
		}
		if *into == 0 && !isNull(raw) {
			*into = neverFailed
		}
		return nil
	}
}

// readJSONBody reads a body that must be JSON, or nothing.
func readJSONBody(r *http.Request) ([]byte, error) {
	body, err := readBody(r)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || !utf8Charset(params) {
		return nil, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	return body, nil
}

func utf8Charset(params map[string]string) bool {
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}
