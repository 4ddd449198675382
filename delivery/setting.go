package delivery

import "errors"

// SettingError is a setting of an integration that cannot work, found by the room that uses it.
type SettingError struct {
	Setting string // its place in the integration's part of the file, such as batch.query; inside a room from where the room's part begins
	Err     error
}

func (e *SettingError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e *SettingError) Unwrap() error { return e.Err }

// SettingOf puts the part of the file in which a room's settings stand before the setting that err speaks of. Another error
// belongs to that part as a whole, and nil stays nil.
func SettingOf(part string, err error) error {
	var inner *SettingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &inner):
		return &SettingError{Setting: part + "." + inner.Setting, Err: inner.Err}
	}
	return &SettingError{Setting: part, Err: err}
}
