package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// editFailure makes a new version of what is sent, and retries.
func (s *API) editFailure(c echo.Context) error {
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		r, err := parseEdit(body)
		if err != nil {
			return delivery.Delivery{}, err
		}
		r.ID, r.Actor, r.Token = id, web.Who(c).ID, token
		ctx := c.Request().Context()
		d, err := s.store.Delivery(ctx, id)
		if err != nil {
			return delivery.Delivery{}, err
		}
		if err := s.restore(d, &r); err != nil {
			return delivery.Delivery{}, err
		}
		if err := s.CheckSchema(d.Integration, r); err != nil {
			return delivery.Delivery{}, err
		}
		return s.store.Edit(ctx, r)
	})
}

// parseEdit keeps the payload's bytes exactly as they stand in the body.
func parseEdit(body []byte) (r delivery.EditRequest, err error) {
	var plain json.RawMessage
	var encoded []byte
	var fromEncoded bool
	err = web.DecodeObject(body, web.Fields{
		"payload":        func(raw json.RawMessage) error { plain = raw; return nil },
		"payload_base64": base64Field("payload_base64", &encoded, &fromEncoded),
		"payload_null":   boolField("payload_null", &r.PayloadNull),
		"headers":        web.TextMapField("headers", &r.Headers),
		"reason":         web.TextField("reason", delivery.MaxReason, &r.Reason),
		"version":        web.VersionField(&r.Version),
	})
	r.Reason = strings.TrimSpace(r.Reason)
	switch {
	case err != nil:
		return r, err
	case len(ambiguous(plain != nil, fromEncoded, r.PayloadNull)) > 0:
		return r, web.Unprocessable("payload_ambiguous", "payload", "given", ambiguous(plain != nil, fromEncoded, r.PayloadNull))
	case plain == nil && !fromEncoded && !r.PayloadNull && r.Headers == nil:
		return r, web.Unprocessable("payload_required.edit", "payload")
	case r.Reason == "":
		return r, web.Unprocessable("reason_required.edit", "reason")
	}
	r.Payload = plain
	if fromEncoded {
		r.Payload = append([]byte{}, encoded...) // never nil: an empty payload is one
	}
	return r, nil
}

// restore puts back what is hidden from people, where the request still has what is shown in its place. It also names the version
// that this is a change of: when another edit comes first, nothing of that may be mixed in.
func (s *API) restore(d delivery.Detail, r *delivery.EditRequest) error {
	if r.Version == 0 {
		r.Version = d.Version
	}
	base := d.Sent()
	paths := s.Masks.For(base, d.Integration).Paths
	if len(paths) > 0 && len(r.Payload) > 0 {
		unmask := delivery.UnmaskText
		if json.Valid(base.Payload) {
			unmask = delivery.Unmask
		}
		restored, err := unmask(r.Payload, base.Payload, paths)
		if err != nil {
			return err
		}
		r.Payload, r.Typed = restored, r.Payload
	}
	headers, err := restoreHeaders(r.Headers, base.Headers, s.RevealVersion(d.Message, base, d.Integration).Headers)
	r.Headers = headers
	return err
}

func restoreHeaders(given, base, shown map[string]string) (map[string]string, error) {
	if given == nil {
		return nil, nil
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		for known, hidden := range shown {
			if strings.EqualFold(known, name) && hidden == value {
				value = base[known]
			}
		}
		if value == given[name] && strings.Contains(value, delivery.Hidden) {
			return nil, web.Unprocessable("masked_value.header", "headers."+name, "header", name, "mark", delivery.Hidden)
		}
		out[name] = value
	}
	return out, nil
}

// redirectFailure retries by another integration.
func (s *API) redirectFailure(c echo.Context) error {
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		r := delivery.RedirectRequest{ID: id, Actor: web.Who(c).ID, Token: token}
		err := web.DecodeObject(body, web.Fields{
			"integration": web.TextField("integration", delivery.MaxType, &r.Integration),
			"reason":      web.TextField("reason", delivery.MaxReason, &r.Reason),
			"version":     web.VersionField(&r.Version),
		})
		r.Reason = strings.TrimSpace(r.Reason)
		switch {
		case err != nil:
			return delivery.Delivery{}, err
		case r.Reason == "":
			return delivery.Delivery{}, web.Unprocessable("reason_required.redirect", "reason")
		case !delivery.IsName(r.Integration):
			return delivery.Delivery{}, web.Unprocessable("unknown_integration.target", "integration")
		}
		return s.store.Redirect(c.Request().Context(), r)
	})
}

// changeFailure reads a request about one failure and returns what it is after change, by the masks of a list.
func (s *API) changeFailure(c echo.Context, change func(id, token string, body []byte) (delivery.Delivery, error)) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	token, err := web.RequestToken(c)
	if err != nil {
		return err
	}
	changed, err := change(id, token, body)
	if err != nil {
		return err
	}
	if changed.State == delivery.StatePending {
		s.Config.Wake()
	}
	return c.JSON(http.StatusOK, s.deliveryJSON(changed))
}
