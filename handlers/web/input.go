package web

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

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// Field reads one member of a JSON object into where it belongs.
type Field func(raw json.RawMessage) error

// Fields are the members that an object may have.
type Fields map[string]Field

// DecodeObject reads body, one JSON object, member by member. Unlike a decoder into a struct it refuses members that are
// unknown or given twice, names the line of a mistake, and gives each member's bytes unchanged. An empty body is an object
// without members.
func DecodeObject(body []byte, known Fields) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return DecodeMembers(body, known.Set)
}

// DecodeMembers gives take each member of the JSON object in body, in order.
func DecodeMembers(body []byte, take func(name string, raw json.RawMessage) error) error {
	if err := checkJSON(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return NewProblem(http.StatusBadRequest, "invalid_json.object")
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
			return BadField(http.StatusBadRequest, "duplicate_field", name, "field", name)
		}
		seen[name] = true
		if err := take(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// Set gives a member of an object to the field of that name; one that is not known is refused.
func (f Fields) Set(name string, raw json.RawMessage) error {
	set, ok := f[name]
	if !ok {
		return Unprocessable("unknown_field", name, "field", name)
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
	return NewProblem(http.StatusBadRequest, "invalid_json.body", "problem", syntax.Error(),
		"line", 1+bytes.Count(before, []byte("\n")), "byte", syntax.Offset)
}

// Unprocessable is a mistake in one member of a body: status 422.
func Unprocessable(key, field string, args ...any) Problem {
	return BadField(http.StatusUnprocessableEntity, key, field, args...)
}

// IsNull reports whether a member is the JSON null.
func IsNull(raw json.RawMessage) bool { return string(raw) == "null" }

// TextField takes a string of at most limit bytes; null counts as absent.
func TextField(name string, limit int, into *string) Field {
	return func(raw json.RawMessage) error {
		if IsNull(raw) {
			return nil
		}
		text, err := JsonText(name, raw)
		if err != nil {
			return err
		}
		if len(text) > limit {
			return Unprocessable("too_long.bytes", name, "field", name, "max", limit, "count", len(text))
		}
		*into = text
		return nil
	}
}

// JsonText decodes a JSON string and refuses what decoding would silently change, and NUL, which the database cannot store.
func JsonText(name string, raw json.RawMessage) (string, error) {
	var text string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", Unprocessable("invalid_field.string", name, "field", name)
	}
	changed := strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`))
	if !utf8.Valid(raw) || changed {
		return "", Unprocessable("invalid_text.field", name, "field", name)
	}
	return text, CheckText(name, text)
}

// CheckText refuses what is no UTF-8 text without NUL.
func CheckText(name, text string) error {
	switch {
	case !utf8.ValidString(text):
		return Unprocessable("invalid_text.field", name, "field", name)
	case strings.ContainsRune(text, 0):
		return Unprocessable("invalid_text.nul", name, "field", name)
	}
	return nil
}

// TimeField reads an RFC 3339 time; null is none.
func TimeField(name string, into **time.Time) Field {
	return func(raw json.RawMessage) error {
		if IsNull(raw) {
			return nil
		}
		text, err := JsonText(name, raw)
		if err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
			return Unprocessable("invalid_time", name, "field", name)
		}
		*into = &t
		return nil
	}
}

// neverFailed stands for a version 0 that was given: the delivery was looked at before it first failed. It fits none that an
// action is allowed for, while no version at all fits each.
const neverFailed = -1

// VersionField reads the version of a record, from 1.
func VersionField(into *int) Field {
	return func(raw json.RawMessage) error {
		if json.Unmarshal(raw, into) != nil || *into < 0 {
			return Unprocessable("invalid_field.version", "version")
		}
		if *into == 0 && !IsNull(raw) {
			*into = neverFailed
		}
		return nil
	}
}

// ReadJSONBody reads a body that must be JSON, or nothing.
func ReadJSONBody(r *http.Request) ([]byte, error) {
	body, err := ReadBody(r)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || !Utf8Charset(params) {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	return body, nil
}

// Utf8Charset reports whether the parameters of a content type name UTF-8, or no character set.
func Utf8Charset(params map[string]string) bool {
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// UuidParam returns a path's id in canonical form; what is no UUID names nothing.
func UuidParam(c echo.Context) (string, error) {
	id := strings.ToLower(c.Param("id"))
	if !delivery.IsUUID(id) {
		return "", delivery.ErrNotFound
	}
	return id, nil
}

// And returns both sets of members.
func (f Fields) And(more Fields) Fields {
	for name, set := range more {
		f[name] = set
	}
	return f
}
