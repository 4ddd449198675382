package words

import (
	"bytes"
	"mime"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

// aliases are names of encodings that receivers use and the WHATWG does not list.
var aliases = map[string]string{
	"cp949":         "euc-kr",
	"ms949":         "euc-kr",
	"uhc":           "euc-kr",
	"x-windows-949": "euc-kr",
	"cp932":         "shift_jis",
	"ms932":         "shift_jis",
	"cp936":         "gbk",
	"cp1252":        "windows-1252",
	"utf8mb4":       "utf-8",
	"latin-1":       "iso-8859-1",
}

var (
	declaredXML = regexp.MustCompile(`^\s*<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']`)
	declared    = regexp.MustCompile(`(?i)charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})`)
)

// decode returns a body in UTF-8: from the encoding that it declares by a byte order mark, in its type, or in itself.
func decode(contentType string, body []byte) []byte {
	e := encodingOf(contentType, body)
	if e == nil {
		return body
	}
	text, err := e.NewDecoder().Bytes(body)
	if err != nil {
		return body
	}
	return bytes.TrimPrefix(text, []byte("\ufeff"))
}

// encodingOf is nil for UTF-8, and where nothing is declared.
func encodingOf(contentType string, body []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(body, []byte{0xEF, 0xBB, 0xBF}):
		return nil
	case bytes.HasPrefix(body, []byte{0xFE, 0xFF}):
		return lookUp("utf-16be")
	case bytes.HasPrefix(body, []byte{0xFF, 0xFE}):
		return lookUp("utf-16le")
	}
	if _, parameters, err := mime.ParseMediaType(contentType); err == nil && parameters["charset"] != "" {
		return lookUp(parameters["charset"])
	}
	if found := declared.FindStringSubmatch(contentType); found != nil {
		return lookUp(found[1])
	}
	if utf8.Valid(body) {
		return nil
	}
	if found := declaredXML.FindSubmatch(body); found != nil {
		return lookUp(string(found[1]))
	}
	if found := declared.FindSubmatch(body[:min(len(body), 1024)]); found != nil &&
		bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) { // <meta charset=…>
		return lookUp(string(found[1]))
	}
	return nil
}

func lookUp(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	if other := aliases[name]; other != "" {
		name = other
	}
	e, canonical := charset.Lookup(name)
	if canonical == "utf-8" || canonical == "replacement" {
		return nil
	}
	return e
}
