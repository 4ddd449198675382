package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"redrive/delivery"
)

// form is how a type's text becomes JSON.
type form uint8

const (
	asString  form = iota
	asNumber       // NaN and the infinities become strings
	asBool         // t and f
	asJSON         // embedded
	asInstant      // RFC 3339 in UTC with microseconds; what that cannot say (infinity, years before 1 or after 9999) is a string
	asBase64       // bytes
)

// valueType is what must be known of a type to read its text.
type valueType struct {
	form  form // of the elements, for an array
	array bool
	delim byte // between an array's elements
}

// builtin are the types that a source need not be asked for.
var builtin = builtinTypes()

func builtinTypes() map[uint32]valueType {
	types := map[uint32]valueType{pgtype.BoxArrayOID: {array: true, delim: ';'}}
	for form, oids := range map[form][][2]uint32{
		asNumber: {{pgtype.Int2OID, pgtype.Int2ArrayOID}, {pgtype.Int4OID, pgtype.Int4ArrayOID}, {pgtype.Int8OID, pgtype.Int8ArrayOID},
			{pgtype.OIDOID, pgtype.OIDArrayOID}, {pgtype.NumericOID, pgtype.NumericArrayOID}, {pgtype.Float4OID, pgtype.Float4ArrayOID},
			{pgtype.Float8OID, pgtype.Float8ArrayOID}},
		asBool:    {{pgtype.BoolOID, pgtype.BoolArrayOID}},
		asJSON:    {{pgtype.JSONOID, pgtype.JSONArrayOID}, {pgtype.JSONBOID, pgtype.JSONBArrayOID}},
		asInstant: {{pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID}},
		asBase64:  {{pgtype.ByteaOID, pgtype.ByteaArrayOID}},
		asString: {{pgtype.TextOID, pgtype.TextArrayOID}, {pgtype.VarcharOID, pgtype.VarcharArrayOID}, {pgtype.BPCharOID, pgtype.BPCharArrayOID},
			{pgtype.UUIDOID, pgtype.UUIDArrayOID}, {pgtype.TimestampOID, pgtype.TimestampArrayOID}, {pgtype.DateOID, pgtype.DateArrayOID},
			{pgtype.TimeOID, pgtype.TimeArrayOID}, {pgtype.IntervalOID, pgtype.IntervalArrayOID}, {pgtype.InetOID, pgtype.InetArrayOID}},
	} {
		for _, pair := range oids {
			types[pair[0]] = valueType{form: form}
			types[pair[1]] = valueType{form: form, array: true, delim: ','}
		}
	}
	return types
}

// typeOf finds out about a type. A domain is read as what it is over, anything unknown as a string.
func (s *Source) typeOf(ctx context.Context, oid uint32) (valueType, error) {
	if known, ok := builtin[oid]; ok {
		return known, nil
	}
	s.mu.Lock()
	known, ok := s.types[oid]
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := s.askType(ctx, oid)
	if err != nil {
		return found, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[oid] = found
	return found, nil
}

func (s *Source) askType(ctx context.Context, oid uint32) (found valueType, err error) {
	var base, element uint32
	var delim string
	err = s.pool.QueryRow(ctx, `SELECT typbasetype, CASE WHEN typsubscript = 'array_subscript_handler'::regproc THEN typelem ELSE 0 END, typdelim::text
		FROM pg_type WHERE oid = $1`, oid).
		Scan(&base, &element, &delim)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // dropped since
		return found, nil
	case err != nil:
		return found, delivery.Fault("asking.type", "type", oid, "why", err)
	case base != 0:
		return s.typeOf(ctx, base)
	case element == 0:
		return found, nil
	}
	if found, err = s.typeOf(ctx, element); err != nil || found.array { // an array of a domain over arrays stays text
		return valueType{}, err
	}
	return valueType{form: found.form, array: true, delim: delim[0]}, nil
}

var null = json.RawMessage("null")

// appendValue appends a value's text as JSON.
func appendValue(to, text []byte, t valueType) []byte {
	if !t.array {
		return appendScalar(to, text, t.form)
	}
	p := arrayParser{text: text, delim: t.delim, form: t.form}
	if len(text) > 0 && text[0] == '[' { // bounds that do not begin at 1: [0:1]={…}
		p.at = bytes.IndexByte(text, '=') + 1
	}
	if out, ok := p.appendArray(to); ok && p.at == len(text) {
		return out
	}
	return appendString(to, text)
}

func appendScalar(to, text []byte, f form) []byte {
	switch f {
	case asNumber:
		if last := len(text) - 1; last >= 0 && text[last] >= '0' && text[last] <= '9' {
			return append(to, text...)
		}
	case asBool:
		if len(text) == 1 && text[0] == 't' {
			return append(to, "true"...)
		}
		return append(to, "false"...)
	case asJSON:
		var compact bytes.Buffer
		if json.Compact(&compact, text) == nil {
			return append(to, compact.Bytes()...)
		}
	case asInstant:
		if out, ok := appendInstant(to, text); ok {
			return out
		}
	case asBase64:
		if raw, err := hex.DecodeString(strings.TrimPrefix(string(text), `\x`)); err == nil {
			to = append(to, '"')
			to = base64.StdEncoding.AppendEncode(to, raw)
			return append(to, '"')
		}
	}
	return appendString(to, text)
}

const second = len("2006-01-02 15:04:05")

// appendInstant rewrites "2006-01-02 15:04:05.123+00", which the session's time zone and date style make sure of.
func appendInstant(to, text []byte) ([]byte, bool) {
	plain, ok := bytes.CutSuffix(text, []byte("+00"))
	if !ok || len(plain) < second || plain[4] != '-' || plain[10] != ' ' {
		return to, false
	}
	fraction := "000000"
	if len(plain) > second {
		fraction = (string(plain[second+1:]) + fraction)[:6]
	}
	to = append(append(append(to, '"'), plain[:10]...), 'T')
	to = append(append(to, plain[11:second]...), '.')
	return append(append(to, fraction...), 'Z', '"'), true
}

// appendString quotes text as a JSON string, and leaves every character readable that may be.
func appendString(to, text []byte) []byte {
	if !utf8.Valid(text) { // a database of encoding SQL_ASCII
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	to = append(to, '"')
	begin := 0
	for n, b := range text {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		to = append(to, text[begin:n]...)
		begin = n + 1
		switch b {
		case '"', '\\':
			to = append(to, '\\', b)
		case '\n':
			to = append(to, '\\', 'n')
		default:
			to = fmt.Appendf(to, `\u%04x`, b)
		}
	}
	return append(append(to, text[begin:]...), '"')
}

// arrayParser reads Postgres's text of an array, such as {1,NULL,"a b",{2}}.
type arrayParser struct {
	text  []byte
	at    int
	delim byte
	form  form
}

func (p *arrayParser) appendArray(to []byte) ([]byte, bool) {
	if !p.take('{') {
		return to, false
	}
	to = append(to, '[')
	if p.take('}') {
		return append(to, ']'), true
	}
	for {
		var ok bool
		if to, ok = p.appendElement(to); !ok {
			return to, false
		}
		switch {
		case p.take(p.delim):
			to = append(to, ',')
		case p.take('}'):
			return append(to, ']'), true
		default:
			return to, false
		}
	}
}

func (p *arrayParser) take(b byte) bool {
	if p.at < len(p.text) && p.text[p.at] == b {
		p.at++
		return true
	}
	return false
}

func (p *arrayParser) appendElement(to []byte) ([]byte, bool) {
	if p.at < len(p.text) && p.text[p.at] == '{' {
		return p.appendArray(to)
	}
	if p.take('"') {
		text, ok := p.quoted()
		return appendScalar(to, text, p.form), ok
	}
	begin := p.at
	for p.at < len(p.text) && p.text[p.at] != p.delim && p.text[p.at] != '}' {
		p.at++
	}
	if text := p.text[begin:p.at]; string(text) != "NULL" {
		return appendScalar(to, text, p.form), true
	}
	return append(to, null...), true
}

// quoted reads to the closing quote; a backslash stands before what is meant literally.
func (p *arrayParser) quoted() (text []byte, ok bool) {
	for ; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '"':
			p.at++
			return text, true
		case '\\':
			p.at++
			if p.at == len(p.text) {
				return nil, false
			}
		}
		text = append(text, p.text[p.at])
	}
	return nil, false
}

// row collects values in one buffer. The buffer may move while it grows, so the values are cut out at the end.
type row struct {
	buffer []byte
	names  []string
	ends   []int
}

func newRow(columns, size int) *row {
	return &row{buffer: make([]byte, 0, size), names: make([]string, 0, columns), ends: make([]int, 0, columns)}
}

// add appends a value; nil text is NULL.
func (r *row) add(name string, text []byte, t valueType) {
	if text == nil {
		r.buffer = append(r.buffer, null...)
	} else {
		r.buffer = appendValue(r.buffer, text, t)
	}
	r.names, r.ends = append(r.names, name), append(r.ends, len(r.buffer))
}

func (r *row) values() map[string]json.RawMessage {
	values := make(map[string]json.RawMessage, len(r.names))
	begin := 0
	for n, name := range r.names {
		values[name] = r.buffer[begin:r.ends[n]:r.ends[n]]
		begin = r.ends[n]
	}
	return values
}
