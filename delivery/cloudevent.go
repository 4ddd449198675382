package delivery

import (
	"mime"
	"strings"
)

const (
	// EventPrefix begins the headers of HTTP that are attributes of a CloudEvent.
	EventPrefix = "ce-"
	// EventVersion is the specversion of CloudEvents that are understood.
	EventVersion = "1.0"
)

// eventAttributes are those that every CloudEvent has.
var eventAttributes = []string{"specversion", "id", "source", "type"}

// MissingAttribute names an attribute that every CloudEvent has and this one has not; empty when there is none.
func MissingAttribute(attributes map[string]string) string {
	for _, name := range eventAttributes {
		if attributes[name] == "" {
			return name
		}
	}
	return ""
}

// EventKey is the idempotency key of a CloudEvent: source and id together tell it from all others, since a source has no space.
func EventKey(attributes map[string]string) string {
	return IdempotencyKeyOf(attributes["source"] + " " + attributes["id"])
}

// IsJSON reports whether a content type says that the content is JSON.
func IsJSON(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

// IsAttributeName reports whether a text can name an attribute of a CloudEvent.
func IsAttributeName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z') })
}
