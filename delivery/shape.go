package delivery

import (
	"regexp"
	"strings"
)

// Patterns of names, as the OpenAPI document and the checks of the database repeat them.
const (
	NamePattern     = `^[a-z0-9-]{1,63}$`             // of an integration
	CategoryPattern = `^[A-Za-z0-9][A-Za-z0-9 _.-]*$` // of an ignore: those of one's own beside IgnoreCategories
	TagPattern      = `^[a-z0-9][a-z0-9._-]{0,39}$`   // of a case
	SlotPattern     = `^[a-z0-9_]{1,63}$`             // of a replication slot
	credentialWords = `(?i)cookie|key|token|secret|password|signature|auth([^oe]|ori[sz]|enti|$)`
	plainKeys       = `(?i)^(ce-)?(idempotency|partition|redrive|x-(original-)?routing|routing|message)[-_]?key$|^kafka_`
)

var (
	nameShape      = regexp.MustCompile(NamePattern)
	categoryShape  = regexp.MustCompile(CategoryPattern)
	tagShape       = regexp.MustCompile(TagPattern)
	slotShape      = regexp.MustCompile(SlotPattern)
	credentialName = regexp.MustCompile(credentialWords)
	plainKey       = regexp.MustCompile(plainKeys)
)

// IsName reports whether a text can name an integration.
func IsName(text string) bool { return nameShape.MatchString(text) }

// IsCategory reports whether a text can be the category of an ignore.
func IsCategory(text string) bool { return categoryShape.MatchString(text) }

// IsSlotName reports whether a text can name a replication slot.
func IsSlotName(text string) bool { return slotShape.MatchString(text) }

// uuidPattern is for shaped.
const (
	uuidPattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	uuidLen     = len(uuidPattern)
)

// IsUUID reports whether a text is a UUID in the form with four hyphens, in any letter case.
func IsUUID(text string) bool { return len(text) == uuidLen && shaped(text, uuidPattern) }

// tokenMarks are what a header's name may have beside letters and digits.
const tokenMarks = "!#$%&'*+.^_`|~-"

// IsHeaderName reports whether a text can name a header of HTTP.
func IsHeaderName(text string) bool {
	return text != "" &&
		!strings.ContainsFunc(text, func(r rune) bool { return !isASCIILetterOrDigit(r) && !strings.ContainsRune(tokenMarks, r) })
}

// IsCredential reports whether the value of a header or of a parameter of an address is a secret, by its name: people do not see
// it, and it is hidden where a receiver repeats it. Keys by which messages are ordered, routed or recognised are none.
func IsCredential(name string) bool {
	return credentialName.MatchString(name) && !plainKey.MatchString(name)
}
