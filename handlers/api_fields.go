package handlers

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// numberField takes a number; null counts as absent.
func numberField(name string, into *float64) field {
	return func(raw json.RawMessage) error {
		if !isNull(raw) && json.Unmarshal(raw, into) != nil {
			return unprocessable("invalid_field.number", name, "field", name)
		}
		return nil
	}
}

// wholeField takes a whole number; null counts as absent.
func wholeField(name string, into *int) field {
	return func(raw json.RawMessage) error {
		if !isNull(raw) && json.Unmarshal(raw, into) != nil {
			return unprocessable("invalid_field.integer", name, "field", name)
		}
		return nil
	}
}

// truthField takes true or false; null counts as absent.
func truthField(name string, into *bool) field {
	return func(raw json.RawMessage) error {
		if !isNull(raw) && json.Unmarshal(raw, into) != nil {
			return unprocessable("invalid_field.boolean", name, "field", name)
		}
		return nil
	}
}

// patchField takes a new value by means of set; null puts back the zero value.
func patchField[T any](into **T, set func(*T) field) field {
	return func(raw json.RawMessage) error {
		var value T
		*into = &value
		if isNull(raw) {
			return nil
		}
		return set(&value)(raw)
	}
}

// textsField takes a list of texts.
func textsField(name string, limit int, into *[]string) field {
	return func(raw json.RawMessage) error {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return unprocessable("invalid_field.texts", name, "field", name)
		}
		for _, item := range list {
			var text string
			if err := textField(name, limit, &text)(item); err != nil {
				return err
			}
			*into = append(*into, text)
		}
		return nil
	}
}

// listField gives take each item of a list.
func listField(name string, most int, take func(raw json.RawMessage) error) field {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return unprocessable("invalid_field.list", name, "field", name)
		}
		if len(list) > most {
			return unprocessable("too_many.items", name, "field", name, "max", most, "count", len(list))
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

// requestToken names a request that may be sent twice: by its caller, its address and the key that it carries, so that one key may
// serve for several failures. It is empty without a key.
func requestToken(c echo.Context) (string, error) {
	key, err := requestKey(c)
	if key == "" || err != nil {
		return "", err
	}
	return keyedID(who(c).Name, c.Request().URL.Path, key), nil
}

func requestKey(c echo.Context) (string, error) {
	values := c.Request().Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0 || values[0] == "":
		return "", nil
	case len(values) > 1:
		return "", unprocessable("idempotency_key_mismatch", "Idempotency-Key")
	case len(values[0]) > delivery.MaxIdempotencyKey:
		return "", unprocessable("too_long.idempotency_key", "Idempotency-Key", "max", delivery.MaxIdempotencyKey)
	}
	return values[0], nil
}

func keyedID(parts ...string) string {
	return uuid.NewSHA1(requestSpace, []byte(strings.Join(parts, "\x00"))).String()
}
