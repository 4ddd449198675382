package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// leastVeiled is how long a value must be, in bytes, to be looked for: shorter ones are in every text, and no secrets.
const leastVeiled = 4

// Veil keeps values that people do not see, with what they see instead: what ${…} of the integrations file stood for. nil hides nothing.
type Veil struct {
	pairs    [][2]string
	replacer *strings.Replacer
}

// Add hides a value; shown stands in its place.
func (v *Veil) Add(value, shown string) {
	quoted := strconv.Quote(value)
	for _, form := range []string{value, strings.TrimSpace(value), quoted[1 : len(quoted)-1], url.QueryEscape(value), url.PathEscape(value)} {
		if len(form) >= leastVeiled && !slices.ContainsFunc(v.pairs, func(p [2]string) bool { return p[0] == form }) {
			v.pairs = append(v.pairs, [2]string{form, shown})
		}
	}
	slices.SortStableFunc(v.pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) }) // where both would fit, the longer one
	var list []string
	for _, p := range v.pairs {
		list = append(list, p[0], p[1])
	}
	v.replacer = strings.NewReplacer(list...)
}

// In returns a text without the values.
func (v *Veil) In(text string) string {
	if v == nil || v.replacer == nil {
		return text
	}
	return v.replacer.Replace(text)
}

// Result returns a result without the values.
func (v *Veil) Result(r Result) Result {
	r.Error, r.Words, r.Exchange = v.In(r.Error), v.In(r.Words), r.Exchange.changed(v.In)
	if hidden := v.In(string(r.Response)); hidden != string(r.Response) {
		r.Response = []byte(hidden)
	}
	return r
}

// Phrase returns a phrase without the values.
func (v *Veil) Phrase(p Phrase) Phrase {
	if v == nil || v.replacer == nil {
		return p
	}
	args, of := map[string]string{}, map[string]Phrase{}
	for name, arg := range p.Args {
		args[name] = v.In(arg)
	}
	for name, inner := range p.Of {
		of[name] = v.Phrase(inner)
	}
	if p.Args != nil {
		p.Args = args
	}
	if p.Of != nil {
		p.Of = of
	}
	return p
}

// Facts returns facts without the values.
func (v *Veil) Facts(list []Fact) []Fact {
	for n := range list {
		list[n].Says = v.Phrase(list[n].Says)
	}
	return list
}

// Conditions returns conditions without the values.
func (v *Veil) Conditions(list []Condition) []Condition {
	for n := range list {
		list[n].Reason = v.Phrase(list[n].Reason)
	}
	return list
}

// Log returns a handler that writes without the values by another one.
func (v *Veil) Log(to slog.Handler) slog.Handler { return veiledLog{Handler: to, veil: v} }

type veiledLog struct {
	slog.Handler
	veil *Veil
}

// Handle implements slog.Handler.
func (l veiledLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, l.veil.In(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(l.attr(a))
		return true
	})
	return l.Handler.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (l veiledLog) WithAttrs(list []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(list))
	for n, a := range list {
		out[n] = l.attr(a)
	}
	return veiledLog{Handler: l.Handler.WithAttrs(out), veil: l.veil}
}

// WithGroup implements slog.Handler.
func (l veiledLog) WithGroup(name string) slog.Handler {
	return veiledLog{Handler: l.Handler.WithGroup(name), veil: l.veil}
}

// attr hides in texts, errors and what else has a form of its own; numbers and times stay what they are.
func (l veiledLog) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, l.veil.In(value.String()))
	case slog.KindGroup:
		var inner []any
		for _, one := range value.Group() {
			inner = append(inner, l.attr(one))
		}
		return slog.Group(a.Key, inner...)
	case slog.KindAny:
		if text := fmt.Sprint(value.Any()); l.veil.In(text) != text {
			return slog.String(a.Key, l.veil.In(text))
		}
	}
	return slog.Attr{Key: a.Key, Value: value}
}
