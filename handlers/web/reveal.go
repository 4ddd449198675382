package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// PayloadView is what people may see of a message: the payload with its masked fields hidden, the headers without credentials.
type PayloadView struct {
	Shown   []byte // with masked fields hidden; nil when all of it is hidden, or there is none
	Null    bool   // there is no payload, which hides nothing
	IsJSON  bool   // Shown is JSON
	Masked  bool   // something may be hidden: Shown is not what was sent
	SHA256  string // of the payload; empty when masked, because a short secret can be guessed from it
	Headers map[string]string
	List    []delivery.Field // headers in order and with their types, where Headers cannot say it
	Props   []delivery.Field // of RabbitMQ

	Hide delivery.Hider // what is hidden, wherever it turns up
}

// Reveal decides what is shown of a message in the context of the integrations named.
func (s *Core) Reveal(m delivery.Message, integrations ...string) PayloadView {
	masking := s.Masks.For(m, integrations...)
	return reveal(m, masking, masking.HiderOf(m))
}

func reveal(m delivery.Message, masking delivery.Masking, hide delivery.Hider) PayloadView {
	view := PayloadView{Headers: map[string]string{}, Hide: hide}
	switch shown, ok := masking.Payload(m.Payload); {
	case m.Payload == nil && !m.Dropped:
		view.Null = true
	case !masking.Hides():
		sum := sha256.Sum256(m.Payload)
		view.Shown, view.SHA256 = m.Payload, hex.EncodeToString(sum[:])
		view.IsJSON = json.Valid(m.Payload) && utf8.Valid(m.Payload)
	case ok:
		view.Masked, view.Shown, view.IsJSON = true, bytes.ToValidUTF8(shown, []byte("\uFFFD")), json.Valid(shown)
	default:
		view.Masked = true
	}
	for name, value := range m.Headers {
		view.Headers[name] = view.Hide.Text(value)
		if m.Withheld || hide.HidesHeader(name) {
			view.Headers[name] = delivery.Hidden
		}
	}
	if m.Withheld {
		return view
	}
	view.List = view.fields(m.HeaderList())
	if m.Typed() {
		view.Props, _ = m.Wire()
		view.Props = view.fields(view.Props)
	}
	return view
}

// hiddenUnit is to how many bytes the size is told of what is hidden as a whole.
const hiddenUnit = 1 << 10

// Size is what is told of a size: of what is shown where something is hidden in it, else the length would tell true from false.
func (v PayloadView) Size(exact int) int {
	switch {
	case !v.Masked:
		return exact
	case v.Shown != nil:
		return len(v.Shown)
	}
	return (exact + hiddenUnit - 1) / hiddenUnit * hiddenUnit
}

// RevealVersion decides what is shown of an edited version of a message. Headers that a person wrote are hidden where anything is: if only
// those were that repeat a masked value, whoever writes a guess into one would learn whether it is right. The others may repeat what the
// accepted payload hid, whatever stands in its place now.
func (s *Core) RevealVersion(accepted, version delivery.Message, integrations ...string) PayloadView {
	masking := s.Masks.For(version, integrations...)
	if !masking.Hides() {
		return s.Reveal(version, integrations...)
	}
	view := reveal(version, masking, masking.HiderOf(version).And(masking.HiderOf(accepted)))
	for name, value := range version.Headers {
		if before, had := accepted.Headers[name]; !had || before != value {
			view.Headers[name] = delivery.Hidden
			for n, f := range view.List {
				if f.Name == name {
					view.List[n].Value = []byte(delivery.Hidden)
				}
			}
		}
	}
	return view
}

// fields hides in headers and properties what Headers hides.
func (v PayloadView) fields(list []delivery.Field) []delivery.Field {
	out := slices.Clone(list)
	for n, f := range out {
		switch {
		case v.Hide.HidesHeader(f.Name):
			out[n] = delivery.Field{Name: f.Name, Value: []byte(delivery.Hidden), Shown: f.Shown}
		case f.Nested():
			out[n].Fields = v.fields(f.Fields)
		case !f.IsNull():
			out[n].Value = []byte(v.Hide.Text(string(f.Value)))
		}
	}
	return out
}

// RevealAll decides what is shown of a delivery: of the message as it was accepted, and of each edited version of it. What is hidden
// in one of them is hidden wherever the others' attempts repeat it.
func (s *Core) RevealAll(d delivery.Detail) (accepted PayloadView, versions []PayloadView) {
	accepted = s.Reveal(d.Message, d.Integration)
	var hide []delivery.Hider
	for _, e := range d.Edits {
		view := s.RevealVersion(d.Message, VersionOf(d.Message, e), d.Integration)
		versions, hide = append(versions, view), append(hide, view.Hide)
	}
	accepted.Hide = accepted.Hide.And(hide...)
	return accepted, versions
}

// VersionOf is the message as one version of it was sent. A payload that was not read is not null.
func VersionOf(m delivery.Message, e delivery.Edit) delivery.Message {
	m.Payload, m.Headers, m.Dropped = e.Payload, e.Headers, e.Dropped
	if !e.Null && m.Payload == nil {
		m.Payload = []byte{}
	}
	return m
}

// Response is an answer's excerpt.
func (v PayloadView) Response(excerpt []byte) string { return v.Hide.Answer(Printable(excerpt)) }

// Encoded is the exact payload, or what is shown of it where something is hidden.
func (v PayloadView) Encoded() (exact, shown *string) {
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

// Printable makes text of bytes that came from outside.
func Printable(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// Listed is the list of headers without what is only for us.
func (v PayloadView) Listed() []delivery.Field {
	out := slices.Clone(v.List)
	for n := range out {
		out[n].Shown = ""
	}
	return out
}

// RevealTo asks for one value for whoever makes the request.
func (s *Core) RevealTo(c echo.Context, r delivery.RevealRequest) delivery.RevealRequest {
	r.ID, r.Actor, r.From, r.For = c.Param("id"), Who(c).ID, c.RealIP(), s.Config.RevealFor
	return r
}

// HashSubject makes the hash of the data subject that a filter was given as it is typed; a hash stays.
func (s *Core) HashSubject(ctx context.Context, f *delivery.AuditFilter) (err error) {
	if f.DataSubject == "" || isHash(f.DataSubject) {
		return nil
	}
	f.DataSubject, err = s.store.HashSubject(ctx, f.DataSubject)
	return err
}

func isHash(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size
}

// DataSubject is the hash of whose data a message is, of several with commas between, as a pair for Record; nothing where the integrations do
// not say it. Whoever hands out a payload writes it down.
func (s *Core) DataSubject(ctx context.Context, m delivery.Message, integrations ...string) (pair []string, err error) {
	var hashes []string
	for _, subject := range s.Masks.Subjects(m, integrations...) {
		hash, err := s.store.HashSubject(ctx, subject)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	if len(hashes) == 0 {
		return nil, nil
	}
	return []string{"data_subject", strings.Join(hashes, ",")}, nil
}
