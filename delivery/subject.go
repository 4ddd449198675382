package delivery

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// MaxSubject is the longest name of a data subject, in bytes; longer ones name nobody.
const MaxSubject = 200

// CheckSubject reports whether a text says where a message names its data subject: a path of one value, or header:NAME.
func CheckSubject(path string) bool {
	kind, what := maskKind(path)
	return kind == maskHeader && IsHeaderName(what) || kind == "" && isOneValue(path)
}

// isOneValue reports whether a path leads to one value at most.
func isOneValue(path string) bool {
	steps, ok := parsePath(path)
	return ok && !slices.ContainsFunc(steps, func(s step) bool { return s.any || s.deep })
}

// Subjects are whose data a message is, as the integrations say that get it: the first that a path leads to of each. Whoever lets somebody look
// at a payload, and whoever writes that down, asks here.
func (m Masks) Subjects(message Message, integrations ...string) (subjects []string) {
	for _, r := range m.rules {
		if r.Subject == "" || !r.gets(message, integrations) {
			continue
		}
		if s := subjectAt(message, r.Subject); s != "" && !slices.Contains(subjects, s) {
			subjects = append(subjects, s)
		}
	}
	return subjects
}

// HasSubjects reports whether an integration says where its messages name whose data they are.
func (m Masks) HasSubjects() bool {
	return slices.ContainsFunc(m.rules, func(r MaskRule) bool { return r.Subject != "" })
}

// gets reports whether an integration gets a message: by its name, or because it subscribes to it.
func (r MaskRule) gets(m Message, integrations []string) bool {
	return r.Integration == m.Integration || slices.Contains(integrations, r.Integration) ||
		m.Kind == KindEvent && slices.Contains(r.Subscribe, m.Type)
}

func subjectAt(m Message, path string) string {
	value, err := FieldOf(m, path)
	if err != nil {
		return ""
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		if text = string(value); strings.ContainsAny(text, "{[") || text == "null" {
			return ""
		}
	}
	if text = strings.TrimSpace(text); len(text) > MaxSubject {
		return ""
	}
	return text
}

// RevealRequest asks for one value of what is sent for a delivery.
type RevealRequest struct {
	ID     string // of the delivery
	Edit   int    // number of the version; 0: the one that is sent
	Path   string // $.a.b[0], header:NAME, or $ for a payload that is no JSON
	Reason string
	Actor  string
	From   string        // where the request comes from
	For    time.Duration // how long it may be looked at again without another reason; 0: not
}

// Check refuses a request that names no value, or more than one. The error is an *InputError.
func (r RevealRequest) Check() error {
	switch {
	case r.Path != "$" && !CheckSubject(r.Path):
		return Mistake("no_such_value.path", "path")
	case strings.TrimSpace(r.Reason) != "":
		return CheckReason(r.Reason)
	}
	return nil
}

// Revealed is a value, and the entry of the audit that tells of it.
type Revealed struct {
	Value   json.RawMessage // as it stands in the payload; of a header or text a string
	AuditID string
	Until   *time.Time // it may be looked at again without another reason
}

// FieldOf returns the value at a path as it stands in a message: $.a[0], header:NAME, and $ for a payload that is no JSON. Of members with the
// same name it is the last. An *InputError says that nothing is there, or that it is a credential, which nobody gets.
func FieldOf(m Message, path string) (json.RawMessage, error) {
	if kind, name := maskKind(path); kind == maskHeader {
		return headerOf(m, name)
	}
	root, isJSON := parseTree(m.Payload, nil)
	switch {
	case path == "$" && isJSON:
		return nil, Mistake("no_such_value.whole", "path")
	case path == "$" && m.Payload != nil:
		return json.Marshal(strings.ToValidUTF8(string(m.Payload), "\uFFFD"))
	case !isJSON || !isOneValue(path):
		return nil, Mistake("no_such_value.nothing", "path")
	}
	steps, _ := parsePath(path)
	for _, s := range steps {
		if root = root.at(s); root == nil {
			return nil, Mistake("no_such_value.nothing", "path")
		}
	}
	return slices.Clone(m.Payload[root.start:root.end]), nil
}

func headerOf(m Message, name string) (json.RawMessage, error) {
	for known, value := range m.Headers {
		switch {
		case !strings.EqualFold(known, name):
		case IsCredential(known):
			return nil, Mistake("no_such_value.credential", "path")
		default:
			return json.Marshal(value)
		}
	}
	return nil, Mistake("no_such_value.nothing", "path")
}

// at is the last of the children that a step leads to; nil where there is none.
func (n *node) at(s step) (found *node) {
	for _, c := range n.children {
		if c.key.inside == '{' && s.matches(c.key.name, -1) || c.key.inside == '[' && s.matches("", c.key.index) {
			found = c
		}
	}
	return found
}

// maxPlaces bounds how many hidden places are listed.
const maxPlaces = 100

// Places are where something is hidden of a message, as RevealRequest names them: at most 100, in their order.
func (k Masking) Places(m Message) (list []string) {
	r, _ := readRules(k.Paths)
	for name := range m.Headers {
		if slices.Contains(r.headers, strings.ToLower(name)) && !IsCredential(name) {
			list = append(list, maskHeader+name)
		}
	}
	slices.Sort(list)
	switch root, isJSON := parseTree(m.Payload, k.Paths); {
	case m.Payload == nil || m.Dropped || m.Withheld:
		return nil
	case isJSON && !k.Unknown:
		list = root.places("$", list)
	case !json.Valid(m.Payload):
		list = append(list, "$")
	}
	return list
}

func (n *node) places(path string, list []string) []string {
	if n.masked && path != "$" && len(list) < maxPlaces {
		return append(list, path)
	}
	for _, c := range n.children {
		if c.masked || c.hides {
			list = c.places(path+c.key.String(), list)
		}
	}
	return list
}
