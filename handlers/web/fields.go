package web

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// NumberField takes a number; null counts as absent.
func NumberField(name string, into *float64) Field {
	return func(raw json.RawMessage) error {
		if !IsNull(raw) && json.Unmarshal(raw, into) != nil {
			return Unprocessable("invalid_field.number", name, "field", name)
		}
		return nil
	}
}

// WholeField takes a whole number; null counts as absent.
func WholeField(name string, into *int) Field {
	return func(raw json.RawMessage) error {
		if !IsNull(raw) && json.Unmarshal(raw, into) != nil {
			return Unprocessable("invalid_field.integer", name, "field", name)
		}
		return nil
	}
}

// TruthField takes true or false; null counts as absent.
func TruthField(name string, into *bool) Field {
	return func(raw json.RawMessage) error {
		if !IsNull(raw) && json.Unmarshal(raw, into) != nil {
			return Unprocessable("invalid_field.boolean", name, "field", name)
		}
		return nil
	}
}

// PatchField takes a new value by means of set; null puts back the zero value.
func PatchField[T any](into **T, set func(*T) Field) Field {
	return func(raw json.RawMessage) error {
		var value T
		*into = &value
		if IsNull(raw) {
			return nil
		}
		return set(&value)(raw)
	}
}

// TextsField takes a list of texts.
func TextsField(name string, limit int, into *[]string) Field {
	return func(raw json.RawMessage) error {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return Unprocessable("invalid_field.texts", name, "field", name)
		}
		for _, item := range list {
			var text string
			if err := TextField(name, limit, &text)(item); err != nil {
				return err
			}
			*into = append(*into, text)
		}
		return nil
	}
}

// TextMapField takes an object of texts; null counts as absent.
func TextMapField(name string, into *map[string]string) Field {
	return func(raw json.RawMessage) error {
		if IsNull(raw) {
			return nil
		}
		if raw[0] != '{' {
			return Unprocessable("invalid_field.texts_by_name", name, "field", name)
		}
		texts := map[string]string{}
		err := DecodeMembers(raw, func(member string, value json.RawMessage) (err error) {
			texts[member], err = JsonText(name+"."+member, value)
			return err
		})
		if err == nil {
			*into = texts
		}
		return err
	}
}

// ListField gives take each item of a list.
func ListField(name string, most int, take func(raw json.RawMessage) error) Field {
	return func(raw json.RawMessage) error {
		if IsNull(raw) {
			return nil
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return Unprocessable("invalid_field.list", name, "field", name)
		}
		if len(list) > most {
			return Unprocessable("too_many.items", name, "field", name, "max", most, "count", len(list))
		}
		for _, item := range list {
			if err := take(item); err != nil {
				return err
			}
		}
		return nil
	}
}

// requestSpace is the name space of the ids that are made of idempotency keys.
var requestSpace = uuid.MustParse("0b6a3ae4-7a5c-4a39-9d0b-6f1a4c7f2f6e")

// RequestToken names a request that may be sent twice: by its caller, its address and the key that it carries, so that one key may
// serve for several failures. It is empty without a key.
func RequestToken(c echo.Context) (string, error) {
	key, err := RequestKey(c)
	if key == "" || err != nil {
		return "", err
	}
	return KeyedID(Who(c).ID, c.Request().URL.Path, key), nil
}

// RequestKey returns the Idempotency-Key of a request, empty without one. The error is a Problem.
func RequestKey(c echo.Context) (string, error) {
	values := c.Request().Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0 || values[0] == "":
		return "", nil
	case len(values) > 1:
		return "", Unprocessable("idempotency_key_mismatch", "Idempotency-Key")
	case len(values[0]) > delivery.MaxIdempotencyKey:
		return "", Unprocessable("too_long.idempotency_key", "Idempotency-Key", "max", delivery.MaxIdempotencyKey)
	}
	return values[0], nil
}

// KeyedID returns the UUID that stands for these texts together, always the same.
func KeyedID(parts ...string) string {
	return uuid.NewSHA1(requestSpace, []byte(strings.Join(parts, "\x00"))).String()
}
