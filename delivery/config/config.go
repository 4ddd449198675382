// Package config reads the integrations file: YAML in the shape of the public contract. Every mistake is one sentence that
// names the line and the setting.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/token"

	"redrive/delivery"
	"redrive/delivery/form"
	"redrive/delivery/schema"
)

// File is a checked integrations file.
type File struct {
	Allow, Deny  []netip.Prefix // network rules, checked when dialling; empty Allow: everything but link-local and metadata
	Integrations []delivery.Integration
	Schemas      map[string]schema.Checker // of payloads, by integration
	TicketURL    string                    // with {ticket}; empty: tickets are no links

	Hidden *delivery.Veil // what ${…} stood for

	name string
	data []byte // for the lines of what is found wrong later
}

// Locate names file and line of what is wrong with an integration, or with one of its settings (delivery.SettingError), in an
// error that is found after the file was read. nil stays nil.
func (f *File) Locate(integration string, err error) error {
	if err == nil {
		return nil
	}
	i := slices.IndexFunc(f.Integrations, func(in delivery.Integration) bool { return in.Name == integration })
	var setting *delivery.SettingError
	switch {
	case i < 0 || f.data == nil:
		return fmt.Errorf("integration %s: %w", integration, err)
	case errors.As(err, &setting):
		return &Error{File: f.name, Line: lineOf(f.data, at(i, setting.Setting)), Text: f.Hidden.In(setting.Error())}
	}
	return &Error{
		File: f.name,
		Line: lineOf(f.data, at(i, "name")),
		Text: f.Hidden.In(fmt.Sprintf("integration %s: %s", integration, delivery.Sentence(err))),
	}
}

// Checks are the schemas as functions that say what does not fit, by integration.
func (f *File) Checks() map[string]func(payload []byte) []string {
	checks := map[string]func([]byte) []string{}
	for name, checker := range f.Schemas {
		checks[name] = checker.Sentences
	}
	return checks
}

// Captured are the cdc integrations with these names, in this order; without names all of them. The file's name goes before
// the error.
func (f *File) Captured(names ...string) ([]delivery.Integration, error) {
	all := slices.DeleteFunc(slices.Clone(f.Integrations), func(in delivery.Integration) bool { return in.CDC == nil })
	if len(names) == 0 {
		return all, nil
	}
	var out []delivery.Integration
	for _, name := range names {
		i := slices.IndexFunc(all, func(in delivery.Integration) bool { return in.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("has no cdc integration named %q", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// Error is a mistake in the file.
type Error struct {
	File string
	Line int // from 1; 0 when it belongs to no line
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("%s line %d: %s", e.File, e.Line, e.Text)
}

// Load reads the file at path; refs answers what ${…} stands for.
func Load(path string, refs *References) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the integrations file: %w", err)
	}
	return ParseWith(path, data, refs)
}

// Parse is ParseWith for a file that stores no secrets; lookup (usually os.LookupEnv) answers ${NAME}.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*File, error) {
	return ParseWith(name, data, &References{Env: lookup})
}

// ParseWith checks data and fills in defaults. name is used in errors, and other files are looked for beside it.
func ParseWith(name string, data []byte, refs *References) (*File, error) {
	data = bytes.TrimPrefix(data, byteOrderMark)
	raw, err := read(name, data)
	if err != nil {
		return nil, err
	}
	if raw.Integrations == nil {
		return nil, &Error{
			File: name,
			Text: "it names no integrations; write integrations: and below it what goes where, or integrations: [] for none",
		}
	}
	c := newChecker(name, data, raw, refs)
	f := &File{
		Hidden:    &c.hidden,
		Allow:     c.prefixes("allow", raw.Network.Allow),
		Deny:      c.prefixes("deny", raw.Network.Deny),
		TicketURL: c.ticketURL(raw.TicketURL),
		Schemas:   map[string]schema.Checker{},
		name:      name,
		data:      data,
	}
	seen, written := map[string]bool{}, asWritten(name, data)
	for i, r := range raw.Integrations {
		in := c.integration(i, r)
		in.FourEyes = c.fourEyes(at(i, "four_eyes"), raw.FourEyes, r.FourEyes)
		if i < len(written) {
			in.Settings = written[i]
		}
		if seen[in.Name] {
			c.Fail(at(i, "name"), "the name %q is used twice", in.Name)
		}
		seen[in.Name] = true
		in.Destination.Veil = &c.hidden
		if in.Broker != nil {
			in.Broker.Veil = &c.hidden
		}
		if in.CDC != nil {
			in.CDC.Veil = &c.hidden
		}
		f.Integrations = append(f.Integrations, in)
		if r.Schema != "" {
			f.Schemas[in.Name] = c.schema(i, r)
		}
	}
	c.cdcTogether(f.Integrations)
	if c.err != nil {
		return nil, c.err
	}
	return f, nil
}

// read returns the file as written.
func read(name string, data []byte) (raw rawFile, err error) {
	body, err := document(name, data)
	if err != nil {
		return raw, err
	}
	if err := yaml.NodeToValue(body, &raw, yaml.Strict()); err != nil {
		return raw, syntaxError(name, err)
	}
	return raw, nil
}

func syntaxError(name string, err error) error {
	var wrong *form.ScalarError
	if errors.As(err, &wrong) {
		return &Error{File: name, Line: wrong.At.Position.Line, Text: settingBefore(wrong.At) + wrong.Text}
	}
	var positioned yaml.Error
	if !errors.As(err, &positioned) {
		return &Error{File: name, Text: err.Error()}
	}
	line, at := 0, positioned.GetToken()
	if at != nil && at.Position != nil {
		line = at.Position.Line
	}
	text := goType.ReplaceAllString(positioned.GetMessage(), "$1 was used where $2 is expected")
	if strings.Contains(text, " was used where ") {
		text = settingBefore(at) + text
	}
	return &Error{File: name, Line: line, Text: text}
}

// goType is how the YAML library tells of a value of the wrong type.
var goType = regexp.MustCompile(`^cannot unmarshal (\w+)\S*(?: \{\})? into Go .* of type (\S+)$`)

// settingBefore names the setting whose value stands at a token.
func settingBefore(at *token.Token) string {
	for ; at != nil && at.Prev != nil; at = at.Prev {
		if at.Type == token.MappingValueType {
			return at.Prev.Value + ": "
		}
	}
	return ""
}

// checker collects the first mistake and knows the line of each setting.
type checker struct {
	form.Reader
	name   string
	data   []byte
	hidden delivery.Veil
	err    error
}

func newChecker(name string, data []byte, raw rawFile, refs *References) *checker {
	c := &checker{name: name, data: data}
	c.Wrong = func(path, text string) {
		if c.err == nil {
			c.err = &Error{File: name, Line: lineOf(data, path), Text: c.hidden.In(text)}
		}
	}
	c.Resolve = func(path, reference string) (string, error) {
		value, err := refs.resolve(reference, integrationAt(raw, path), name)
		switch {
		case errors.Is(err, ErrStored) && c.err == nil:
			c.err = ErrStored
		case err == nil && isSecret(reference):
			c.hidden.Add(value, shown(reference))
		case strings.Contains(reference, ":"):
			err = fmt.Errorf("%s: %w", shown(reference), err)
		}
		return value, err
	}
	return c
}

// isSecret reports whether a reference stands for something that people do not see: all but variables of the environment whose names
// say nothing of a secret, such as a host.
func isSecret(reference string) bool {
	return strings.Contains(reference, ":") || delivery.IsCredential(reference)
}

// integrationAt is the name of the integration in whose part of the file a path is.
func integrationAt(raw rawFile, path string) string {
	for i, in := range raw.Integrations {
		if strings.HasPrefix(path, at(i, "")) {
			return in.Name
		}
	}
	return ""
}

func at(integration int, field string) string {
	return fmt.Sprintf("$.integrations[%d].%s", integration, field)
}

// lineOf finds the line of a setting, or of the nearest part of its path that is in the file.
func lineOf(data []byte, path string) int {
	for path != "$" && path != "" {
		if p, err := yaml.PathString(path); err == nil {
			if node, err := p.ReadNode(strings.NewReader(string(data))); err == nil && node.GetToken() != nil {
				return node.GetToken().Position.Line
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

func (c *checker) prefixes(field string, texts []string) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range texts {
		p, err := ParsePrefix(text)
		if err != nil {
			c.Fail(fmt.Sprintf("$.network.%s[%d]", field, i),
				"network.%s: %q is no address range such as 10.0.0.0/8", field, text)
			continue
		}
		out = append(out, p)
	}
	return out
}

// ParsePrefix reads a range of addresses such as 10.0.0.0/8, or one address.
func ParsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return p.Masked(), err
}
