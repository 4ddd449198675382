package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"redrive/delivery"
)

// payloadView is what people may see of a message: the payload with its masked fields hidden, the headers without credentials.
type payloadView struct {
	Shown   []byte // with masked fields hidden; nil when all of it is hidden, or there is none
	Null    bool   // there is no payload, which hides nothing
	IsJSON  bool   // Shown is JSON
	Masked  bool   // something may be hidden: Shown is not what was sent
	SHA256  string // of the payload; empty when masked, because a short secret can be guessed from it
	Headers map[string]string
	List    []delivery.Field // headers in order and with their types, where Headers cannot say it
	Props   []delivery.Field // of RabbitMQ

	hidden []string // masked values, wherever they turn up
	unread bool     // something is masked that was not read: nobody knows which values
}

// reveal decides what is shown of a message in the context of the integrations named. Paths of every integration that gets the
// message apply: what one of them hides is not shown by way of another.
func (s *Server) reveal(m delivery.Message, integrations ...string) payloadView {
	view := payloadView{Headers: map[string]string{}}
	paths, known := s.maskPaths(m, integrations)
	switch {
	case m.Payload == nil && !m.Dropped:
		view.Null = true
	case !known:
		view.Masked = true
	case len(paths) == 0:
		sum := sha256.Sum256(m.Payload)
		view.Shown, view.SHA256 = m.Payload, hex.EncodeToString(sum[:])
		view.IsJSON = json.Valid(m.Payload) && utf8.Valid(m.Payload)
	default:
		view.Masked = true
		if shown, ok := delivery.Mask(m.Payload, paths); ok {
			view.Shown, view.IsJSON = bytes.ToValidUTF8(shown, []byte("\uFFFD")), true
		}
		view.hidden = delivery.MaskedValues(m.Payload, paths)
	}
	for name, value := range m.Headers {
		view.Headers[name] = view.hide(value)
		if credential.MatchString(name) {
			view.Headers[name] = delivery.Hidden
		}
	}
	view.List = view.fields(m.HeaderList())
	if m.Typed() {
		view.Props, _ = m.Wire()
		view.Props = view.fields(view.Props)
	}
	return view
}

// fields hides in headers and properties what Headers hides.
func (v payloadView) fields(list []delivery.Field) []delivery.Field {
	out := slices.Clone(list)
	for n, f := range out {
		switch {
		case credential.MatchString(f.Name):
			out[n] = delivery.Field{Name: f.Name, Value: []byte(delivery.Hidden), Shown: f.Shown}
		case f.Nested():
			out[n].Fields = v.fields(f.Fields)
		case !f.IsNull():
			out[n].Value = []byte(v.hide(string(f.Value)))
		}
	}
	return out
}

// revealAll decides what is shown of a delivery: of the message as it was accepted, and of each edited version of it. What is hidden
// in one of them is hidden wherever the others' attempts repeat it.
func (s *Server) revealAll(d delivery.Detail) (accepted payloadView, versions []payloadView) {
	accepted = s.reveal(d.Message, d.Integration)
	for _, e := range d.Edits {
		m := d.Message
		m = versionOf(m, e)
		view := s.reveal(m, d.Integration)
		versions = append(versions, view)
		accepted.hidden = append(accepted.hidden, view.hidden...)
		accepted.unread = accepted.unread || view.Masked && (e.Omitted || view.Shown == nil)
	}
	slices.SortStableFunc(accepted.hidden, func(a, b string) int { return len(b) - len(a) })
	accepted.hidden = slices.Compact(accepted.hidden)
	return accepted, versions
}

// versionOf is the message as one version of it was sent. A payload that was not read is not null.
func versionOf(m delivery.Message, e delivery.Edit) delivery.Message {
	m.Payload, m.Headers, m.Dropped = e.Payload, e.Headers, e.Dropped
	if !e.Null && m.Payload == nil {
		m.Payload = []byte{}
	}
	return m
}

// credential is the shape of header names whose values are not shown.
var credential = regexp.MustCompile(`(?i)^(proxy-)?authorization$|cookie|api-?key|token|secret|password|signature`)

// maskPaths is not known when an integration left the file: its paths left with it.
func (s *Server) maskPaths(m delivery.Message, integrations []string) (paths []string, known bool) {
	names := map[string]bool{}
	for _, name := range append(integrations, m.Integration) {
		names[name] = name != ""
	}
	if m.Kind == delivery.KindEvent {
		for _, i := range s.cfg.Integrations {
			names[i.Name] = names[i.Name] || slices.Contains(i.Subscribe, m.Type)
		}
	}
	known = true
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !names[name] {
			continue
		}
		mask, listed := s.masks[name]
		known = known && listed
		paths = append(paths, mask...)
	}
	return paths, known
}

// hide takes masked values out of a text that may repeat them.
func (v payloadView) hide(text string) string { return delivery.HideValues(text, v.hidden) }

// response is an answer's excerpt. Where the payload cannot be shown at all, nobody knows what to look for in the answer.
func (v payloadView) response(excerpt []byte) string {
	if v.Masked && (v.Shown == nil || v.unread) && len(excerpt) > 0 {
		return delivery.Hidden
	}
	return v.hide(printable(excerpt))
}

// encoded is the exact payload, or what is shown of it where something is hidden.
func (v payloadView) encoded() (exact, shown *string) {
	text := base64.StdEncoding.EncodeToString(v.Shown)
	switch {
	case v.Null:
		return nil, nil
	case !v.Masked:
		return &text, nil
	case v.Shown != nil:
		return nil, &text
	}
	return nil, nil
}
