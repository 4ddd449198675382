package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"redrive/store/storetest/patience"
)

const order = `{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["id", "mail"],
	"additionalProperties": false, "properties": {
		"id": {"type": "integer", "minimum": 1, "maximum": 99999999999999999999},
		"mail": {"type": "string", "format": "email"}, "code": {"type": "string", "pattern": "^[0-9]{4}$"},
		"state": {"enum": ["new", "paid"]}, "price": {"multipleOf": 0.05}, "0": {"type": "null"},
		"lines": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"$ref": "#/$defs/line"}},
		"ship to": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["zip"]}]}},
	"$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "minLength": 2, "maxLength": 4}}}}}`

func TestCheckSaysWhatDoesNotFit(t *testing.T) {
	c, err := Compile([]byte(order))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ payload, want string }{
		{`{"id":1,"mail":"a@b.example","code":"1234","state":"new","price":1.10,"lines":[{"sku":"ab"}],"ship to":null}`, "[]"},
		{`{"id":99999999999999999999,"mail":"a@b.example"}`, "[]"},
		{`{"id":100000000000000000000,"mail":"a@b.example"}`, "[$.id: must be at most 99999999999999999999]"},
		{`{}`, `[$: lacks "id", "mail"]`},
		{`{"id":"1","mail":"secret","x":1}`, `[$: has "x", which is not foreseen $.id: must be integer, not string $.mail: is no valid email]`},
		{`{"id":1.5e400,"mail":"a@b.example","code":"secret"}`, `[$.code: does not fit the pattern ^[0-9]{4}$ $.id: must be at most 99999999999999999999]`},
		{`{"id":0,"mail":"a@b.example","price":0.07,"0":1}`, "[$.0: must be null, not number $.id: must be at least 1 $.price: must be a multiple of 0.05]"},
		{`{"id":1,"mail":"a@b.example","lines":[]}`, "[$.lines: must have at least 1 elements]"},
		{`{"id":1,"mail":"a@b.example","lines":[{"sku":"ab"},{"sku":"a"},{},{"sku":"ab"}]}`, `[$.lines: has the same element at [0] and [3] $.lines[1].sku: must have at least 2 characters $.lines[2]: lacks "sku"]`},
		{`{"id":1,"mail":"a@b.example","state":"secret"}`, "[$.state: value must be one of 'new', 'paid']"},
		{`{"id":1,"mail":"a@b.example","ship to":{}}`, "[$['ship to']: has none of the allowed shapes, or more than one of them]"},
		{`[`, "[$: this is not JSON]"},
		// of what is hidden, and of what follows from it, nothing is said; of the rest, as ever
		{`{"id":"•••","mail":"•••","code":"•••","state":"•••","price":"•••","lines":"•••","ship to":"•••"}`, "[]"},
		{`{"id":0,"mail":"•••","lines":[{"sku":"•••"},{"sku":"•••"},{}],"x":1}`, `[$: has "x", which is not foreseen $.id: must be at least 1 $.lines[2]: lacks "sku"]`},
		{`{"id":1,"mail":"a@b.example","ship to":{"a":"•••"}}`, "[]"},
	} {
		got := fmt.Sprint(c.Sentences([]byte(tc.payload)))
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.payload, got, tc.want)
		}
		if strings.Contains(got, "secret") {
			t.Errorf("%s quotes a value", got)
		}
	}
}

func TestCheckIsBounded(t *testing.T) {
	c, err := Compile([]byte(`{"items": {"type": "integer", "multipleOf": 3, "maximum": 7}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Check([]byte("[" + strings.Repeat(`"x",`, 1000) + `"x"]`)); len(got) != maxViolations {
		t.Errorf("%d violations", len(got))
	}
	begin := time.Now()
	for _, n := range []string{"1e999999999", "-1e999999999", "1e-999999999", "1e99999999999999999999"} {
		c.Check([]byte("[" + n + "]"))
	}
	if took := time.Since(begin); took > patience.Prompt {
		t.Errorf("enormous numbers took %s", took)
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	for raw, want := range map[string]string{
		`{`:                               "it is not JSON",
		`{"type": "intger"}`:              "it is no schema: $.type:",
		`{"pattern": "("}`:                "it is no schema: $.pattern",
		`{"$ref": "#/$defs/line"}`:        "it is no schema:",
		`{"$ref": "other.json"}`:          "it refers to redrive:///other.json: other files and addresses are not read",
		`{"$ref": "http://127.0.0.1:1/"}`: "it refers to http://127.0.0.1:1/: other files",
		`{"$ref": "file:///etc/passwd"}`:  "it refers to file:///etc/passwd: other files",
		`7`:                               "it is no schema",
	} {
		if _, err := Compile([]byte(raw)); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
	}
	for _, draft := range []string{"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema"} {
		if _, err := Compile([]byte(`{"$schema": "` + draft + `", "$id": "https://shop.example/order", "type": "object"}`)); err != nil {
			t.Errorf("%s: %v", draft, err)
		}
	}
}

// Which part of a condition counts follows from values: where one of them may be hidden, nothing is said of it.
func TestConditionsOnHiddenValues(t *testing.T) {
	c, err := Compile([]byte(`{"$defs": {"named": {"required": ["name"]}}, "if": {"properties": {"code": {"const": "x"}}}, "then": {"$ref": "#/$defs/named"},
		"else": {"properties": {"other": {"type": "integer"}}, "unevaluatedProperties": false}}`))
	if err != nil {
		t.Fatal(err)
	}
	for payload, told := range map[string]bool{`{"code":"x"}`: true, `{"code":"y","other":"z"}`: true, `{"code":"y","more":1}`: true, `{"code":"•••"}`: false, `{"code":"•••","other":"z"}`: false,
		`{"code":"•••","more":1}`: false} {
		if got := c.Sentences([]byte(payload)); (len(got) > 0) != told {
			t.Errorf("%s: %q", payload, got)
		}
	}
}
