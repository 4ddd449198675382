// Package mapping makes messages of a table's changes, by the rules and expressions of the integrations file. docs/cdc.md
// describes them for people.
package mapping

import (
	"fmt"
	"slices"
	"strings"

	"redrive/delivery"
)

var usual = []delivery.RowOperation{delivery.OpInsert, delivery.OpUpdate, delivery.OpDelete, delivery.OpSnapshot}

// Error is a mistake in a rule.
type Error struct {
	Line int    // in the integrations file
	Text string // the setting, and what is wrong
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Mapper makes messages of changes. It is safe for concurrent use.
type Mapper struct {
	integration string
	subscribe   []string
	rules       map[[2]string][]*rule // by schema and table
}

// New compiles the rules of an integration; subscribe, when not empty, names the types that it takes itself. A mistake is an *Error.
func New(integration string, source delivery.CDCSource, subscribe []string) (*Mapper, error) {
	m := &Mapper{integration: integration, subscribe: subscribe, rules: map[[2]string][]*rule{}}
	for _, given := range source.Rules {
		r, err := compileRule(given)
		if err != nil {
			return nil, err
		}
		table := [2]string{given.Schema, given.Table}
		m.rules[table] = append(m.rules[table], r)
	}
	return m, nil
}

// Check compiles the rules of every integration that has some, and notes in them what they use. A mistake is an *Error.
func Check(list []delivery.Integration) error {
	for _, in := range list {
		if in.CDC == nil {
			continue
		}
		if _, err := New(in.Name, *in.CDC, in.Subscribe); err != nil {
			return err
		}
		in.CDC.Rules = WithUses(in.CDC.Rules)
	}
	return nil
}

// WithUses returns the rules, each with what its expressions use.
func WithUses(rules []delivery.CDCRule) []delivery.CDCRule {
	rules = slices.Clone(rules)
	for n := range rules {
		rules[n].Uses = Uses(rules[n])
	}
	return rules
}

// rule is one rule of the file, ready to run.
type rule struct {
	delivery.CDCRule
	operations         []delivery.RowOperation
	when, key, payload *expression // nil: none is given
	kind               []part      // of the message type; nil: the default
}

func compileRule(given delivery.CDCRule) (*rule, error) {
	r := &rule{CDCRule: given, operations: given.Operations}
	if len(r.operations) == 0 {
		r.operations = usual
	}
	var err error
	if r.when, err = compile(given.Line, "when", given.When); err != nil {
		return nil, err
	}
	if r.key, err = compile(given.Line, "key", given.Key); err != nil {
		return nil, err
	}
	if r.payload, err = compile(given.Line, "payload", given.Payload); err != nil {
		return nil, err
	}
	r.kind, err = compileTemplate(given.Line, "type", given.Type)
	return r, err
}

// Map returns the messages that a change becomes, in the order of the rules. A rule that fails on it answers the change itself
// with the error: nothing is lost for that.
func (m *Mapper) Map(change *delivery.Change) []delivery.Captured {
	var out []delivery.Captured
	for _, r := range m.rules[[2]string{change.Schema, change.Table}] {
		if !slices.Contains(r.operations, change.Op) {
			continue
		}
		seen := view(change, r.Columns)
		captured, wanted, err := m.apply(r, &seen)
		if err != nil {
			captured, wanted = m.failed(r, &seen, err), true
		}
		if wanted {
			out = append(out, captured)
		}
	}
	return out
}

// apply returns what a rule makes of a change; wanted is false where the rule passes it over.
func (m *Mapper) apply(r *rule, c *delivery.Change) (captured delivery.Captured, wanted bool, err error) {
	env := &environment{change: c}
	if wanted, err = r.wants(env); err != nil || !wanted {
		return captured, false, err
	}
	message := delivery.Message{Kind: delivery.KindCommand, Origin: origin(c)}
	if message.Type, err = r.messageType(env); err != nil {
		return captured, false, err
	}
	to := m.addressees(r, message.Type)
	if r.Publish {
		message.Kind = delivery.KindEvent
	} else if len(to) == 0 {
		return captured, false, nil
	}
	if message.Key, err = r.messageKey(env); err != nil {
		return captured, false, err
	}
	message.Payload, err = r.messagePayload(env)
	return delivery.Captured{Message: message, To: to}, true, err
}

// addressees of a command. What the integration takes itself is filtered by its subscription.
func (m *Mapper) addressees(r *rule, messageType string) []string {
	switch unwanted := len(m.subscribe) > 0 && !slices.Contains(m.subscribe, messageType); {
	case r.Publish:
		return nil
	case len(r.To) == 0 && unwanted:
		return nil
	case len(r.To) == 0:
		return []string{m.integration}
	case unwanted:
		return slices.DeleteFunc(slices.Clone(r.To), func(name string) bool { return name == m.integration })
	}
	return r.To
}

// failed is a change whose mapping failed: a dead letter of the integration.
func (m *Mapper) failed(r *rule, c *delivery.Change, err error) delivery.Captured {
	return delivery.Captured{
		To:    []string{m.integration},
		Error: fmt.Sprintf("the rule in line %d of the integrations file: %v", r.Line, err),
		Message: delivery.Message{
			Kind:    delivery.KindCommand,
			Type:    delivery.FirstBytes(standardType(c), delivery.MaxType),
			Key:     delivery.FirstBytes(standardKey(c), delivery.MaxKey),
			Payload: document(c),
			Origin:  origin(c),
		},
	}
}

func origin(c *delivery.Change) *delivery.Origin {
	return &delivery.Origin{
		Broker: delivery.OriginPostgres,
		Place:  c.Schema + "." + c.Table,
		ID:     fmt.Sprintf("%s/%d", c.LSN, c.Index),
		At:     c.CommitTime,
	}
}

func (r *rule) wants(env *environment) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	switch value, err := r.when.run(env); value := value.(type) {
	case bool:
		return value, err
	case nil: // as in SQL: what is not known does not hold
		return false, err
	default:
		return false, fmt.Errorf("when: it must be true or false, not %s", describe(value))
	}
}

func standardType(c *delivery.Change) string { return c.Schema + "." + c.Table + "." + string(c.Op) }

func (r *rule) messageType(env *environment) (string, error) {
	text := standardType(env.change)
	if r.kind != nil {
		var b strings.Builder
		for _, p := range r.kind {
			piece, err := p.text(env)
			if err != nil {
				return "", err
			}
			b.WriteString(piece)
		}
		text = b.String()
	}
	if text == "" || len(text) > delivery.MaxType {
		return "", fmt.Errorf("type: it has %d bytes, and must have 1 to %d", len(text), delivery.MaxType)
	}
	return text, nil
}

// standardKey is the values that identify the row, joined by /.
func standardKey(c *delivery.Change) string {
	parts := make([]string, len(c.Key))
	for i, name := range c.Key {
		parts[i] = plain(c.Row[name])
	}
	return strings.Join(parts, "/")
}

func (r *rule) messageKey(env *environment) (string, error) {
	text := standardKey(env.change)
	if r.key != nil {
		value, err := r.key.run(env)
		if err != nil {
			return "", err
		}
		if text, err = scalar(value); err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
	}
	if len(text) > delivery.MaxKey {
		return "", fmt.Errorf("key: it has %d bytes, and may have %d", len(text), delivery.MaxKey)
	}
	return text, nil
}

func (r *rule) messagePayload(env *environment) ([]byte, error) {
	if r.payload == nil {
		return document(env.change), nil
	}
	value, err := r.payload.run(env)
	if err != nil {
		return nil, err
	}
	payload, err := encode(value, env.fields().Row)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return payload, nil
}
