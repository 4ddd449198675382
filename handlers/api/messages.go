package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

func (s *API) acceptMessage(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	m, err := ReadMessage(c.Request())
	if err != nil {
		return err
	}
	m.Sender = web.Who(c).ID
	accepted, err := s.accept(c.Request().Context(), m)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !accepted.Duplicate {
		status = http.StatusAccepted
	}
	c.Response().Header().Set(echo.HeaderLocation, "/api/v1/messages/"+accepted.ID)
	return c.JSON(status, acceptedJSONOf(accepted))
}

// PoolWait is how long a request waits for room in a pool whose policy is to block.
const PoolWait = 5 * time.Second

// accept goes the integration's way: a pool takes a command in memory, everything else is durable before the answer.
func (s *API) accept(ctx context.Context, m delivery.Message) (delivery.Accepted, error) {
	if m.Kind == delivery.KindCommand && s.Config.Offer != nil && s.methodOf(m.Integration) == delivery.MethodPool {
		if !delivery.ScopeOf(ctx, delivery.PermitSend).Has(m.Integration) {
			return delivery.Accepted{}, &delivery.RightError{Missing: delivery.PermitSend, Integration: m.Integration}
		}
		ctx, cancel := context.WithTimeout(ctx, PoolWait)
		defer cancel()
		accepted, err := s.Config.Offer(ctx, m)
		if accepted.Differs != "" {
			if err := s.store.NoteKeyReuse(ctx, m, accepted); err != nil { // whoever sent it is told all the same
				s.Config.Log.WarnContext(ctx, "a key was used again for another message", "integration", m.Integration, "error", err)
			}
		}
		return accepted, err
	}
	accepted, err := s.store.Accept(ctx, m)
	if err == nil && !accepted.Duplicate {
		s.Config.Wake()
		s.Config.WakeRelay() // an event has its deliveries to come, a command of an ordered integration its place
	}
	return accepted, err
}

// ReadMessage understands our own JSON and CloudEvents in both modes.
func ReadMessage(r *http.Request) (delivery.Message, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	binary := r.Header.Get("ce-specversion") != "" && !strings.HasPrefix(kind, "application/cloudevents")
	if !binary &&
		(err != nil || !web.Utf8Charset(params) || (kind != "application/json" && kind != "application/cloudevents+json")) {
		return delivery.Message{}, web.NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type.message")
	}
	body, err := web.ReadBody(r)
	if err != nil {
		return delivery.Message{}, err
	}
	var m delivery.Message
	switch {
	case binary:
		m, err = binaryEvent(r.Header, body)
	case kind == "application/cloudevents+json":
		m, err = StructuredEvent(body)
	default:
		m, err = plainMessage(body)
	}
	if err != nil {
		return m, err
	}
	if err := idempotencyHeader(&m, r.Header.Values("Idempotency-Key"), binary || kind != "application/json"); err != nil {
		return m, err
	}
	return m.Addressed(), m.Check()
}

// idempotencyHeader takes the key from the request's header. It may replace the one that a CloudEvent's source and id make,
// but not contradict one that was written into the body.
func idempotencyHeader(m *delivery.Message, values []string, derived bool) error {
	if len(values) == 0 || values[0] == "" {
		return nil
	}
	if len(values) > 1 || (!derived && m.IdempotencyKey != "" && m.IdempotencyKey != values[0]) {
		return web.Unprocessable("idempotency_key_mismatch.different", "Idempotency-Key")
	}
	m.IdempotencyKey = values[0]
	return nil
}

// plainMessage reads our own JSON. The payload's bytes are kept exactly as they stand in the body.
func plainMessage(body []byte) (delivery.Message, error) {
	var (
		m           delivery.Message
		kind        string
		plain       json.RawMessage
		encoded     []byte
		fromEncoded bool
		null        bool
	)
	err := web.DecodeMembers(body, web.Fields{
		"integration":     web.TextField("integration", delivery.MaxType, &m.Integration),
		"kind":            web.TextField("kind", delivery.MaxType, &kind),
		"type":            web.TextField("type", delivery.MaxType, &m.Type),
		"key":             web.TextField("key", delivery.MaxKey, &m.Key),
		"idempotency_key": web.TextField("idempotency_key", delivery.MaxIdempotencyKey, &m.IdempotencyKey),
		"headers":         web.TextMapField("headers", &m.Headers),
		"deliver_after":   web.TimeField("deliver_after", &m.DeliverAfter),
		"expires_at":      web.TimeField("expires_at", &m.ExpiresAt),
		"payload":         func(raw json.RawMessage) error { plain = raw; return nil },
		"payload_base64":  base64Field("payload_base64", &encoded, &fromEncoded),
		"payload_null":    boolField("payload_null", &null),
	}.Set)
	switch {
	case err != nil:
		return m, err
	case len(ambiguous(plain != nil, fromEncoded, null)) > 0:
		return m, web.Unprocessable("payload_ambiguous", "payload", "given", ambiguous(plain != nil, fromEncoded, null))
	case plain == nil && !fromEncoded && !null:
		return m, web.Unprocessable("payload_required", "payload")
	}
	m.Payload, m.Kind = plain, delivery.Kind(kind)
	if fromEncoded {
		m.Payload = encoded
	}
	return m, nil
}

// ambiguous names the payloads, in the order of payload, payload_base64 and payload_null, when more than one of them is given.
func ambiguous(given ...bool) (names []string) {
	for i, is := range given {
		if is {
			names = append(names, []string{"payload", "payload_base64", "payload_null"}[i])
		}
	}
	if len(names) < 2 {
		return nil
	}
	return names
}

// boolField takes true or false; null counts as absent.
func boolField(name string, into *bool) web.Field {
	return func(raw json.RawMessage) error {
		if web.IsNull(raw) {
			return nil
		}
		if json.Unmarshal(raw, into) != nil {
			return web.Unprocessable("invalid_field.boolean", name, "field", name)
		}
		return nil
	}
}

func base64Field(name string, into *[]byte, present *bool) web.Field {
	return func(raw json.RawMessage) error {
		if web.IsNull(raw) {
			return nil
		}
		text, err := web.JsonText(name, raw)
		if err != nil {
			return err
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return web.Unprocessable("invalid_base64", name, "field", name)
		}
		*into, *present = decoded, true
		return nil
	}
}
