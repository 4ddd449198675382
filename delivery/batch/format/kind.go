package format

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"

	"github.com/jackc/pgx/v5/pgtype"
)

// Kind is what a column's text stands for.
type Kind uint8

// Kinds of columns. What is none of the others is text as Postgres writes it: dates, times without a zone, intervals, arrays,
// money, uuid.
const (
	KindText Kind = iota
	KindNumber
	KindBool  // t or f
	KindJSON  // one JSON value
	KindTime  // timestamptz
	KindBytes // bytea in its hex form
)

// KindOf returns the kind of a Postgres type. A result's columns of a domain carry the type below it.
func KindOf(oid uint32) Kind {
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return KindNumber
	case pgtype.BoolOID:
		return KindBool
	case pgtype.JSONOID, pgtype.JSONBOID:
		return KindJSON
	case pgtype.TimestamptzOID:
		return KindTime
	case pgtype.ByteaOID:
		return KindBytes
	}
	return KindText
}

// isNumber reports whether text is a number as JSON has them, which Postgres's are but for NaN and Infinity.
func isNumber(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("-"))
	whole := digits(text)
	if whole == 0 || whole > 1 && text[0] == '0' {
		return false
	}
	text = text[whole:]
	if len(text) > 0 && text[0] == '.' {
		decimals := digits(text[1:])
		if decimals == 0 {
			return false
		}
		text = text[1+decimals:]
	}
	if len(text) == 0 {
		return true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return false
	}
	text = text[1:]
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	return len(text) > 0 && digits(text) == len(text)
}

// digits counts those that text begins with.
func digits(text []byte) (n int) {
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}

// appendTime makes a JSON string in RFC 3339 of 2026-01-31 12:00:00.5+00. What that cannot say stays as it is: infinity, years
// before 1 or after 9999, the odd zones of old times with seconds in them.
func appendTime(dst, text []byte) []byte {
	at := zoneOf(text)
	if at < 0 {
		return appendString(dst, text)
	}
	dst = append(append(append(dst, '"'), text[:10]...), 'T')
	dst = append(dst, text[11:at]...)
	switch zone := text[at:]; {
	case string(zone) == "+00":
		dst = append(dst, 'Z')
	case len(zone) == len("+09"):
		dst = append(append(dst, zone...), ":00"...)
	default:
		dst = append(dst, zone...)
	}
	return append(dst, '"')
}

// zoneOf finds the zone of a time that RFC 3339 can say, -1 of another.
func zoneOf(text []byte) int {
	const seconds = len("2026-01-31 12:00:00")
	if len(text) <= seconds || text[4] != '-' || text[10] != ' ' {
		return -1
	}
	at := bytes.IndexAny(text[seconds:], "+-")
	if at < 0 {
		return -1
	}
	at += seconds
	if zone := text[at:]; len(zone) != len("+09") && (len(zone) != len("+05:30") || zone[3] != ':') {
		return -1
	}
	return at
}

// appendBase64 turns bytea's hex form into Base64, piece by piece.
func appendBase64(dst, text []byte) ([]byte, bool) {
	text, ok := bytes.CutPrefix(text, []byte(`\x`))
	var piece [768]byte // a multiple of 3, so that no padding stands between pieces
	for ok && len(text) > 0 {
		n, err := hex.Decode(piece[:], text[:min(len(text), 2*len(piece))])
		if err != nil {
			return dst, false
		}
		dst = base64.StdEncoding.AppendEncode(dst, piece[:n])
		text = text[2*n:]
	}
	return dst, ok
}
