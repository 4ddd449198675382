package handlers

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// editFailure makes a new version of what is sent, and retries.
func (s *Server) editFailure(c echo.Context) error {
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		r, err := parseEdit(body)
		if err != nil {
			return delivery.Delivery{}, err
		}
		r.ID, r.Actor, r.Token = id, who(c).Name, token
		ctx := c.Request().Context()
		d, err := s.cfg.Store.Delivery(ctx, id)
		if err != nil {
			return delivery.Delivery{}, err
		}
		if err := s.restore(d, &r); err != nil {
			return delivery.Delivery{}, err
		}
		if err := s.checkSchema(d.Integration, r); err != nil {
			return delivery.Delivery{}, err
		}
		return s.cfg.Store.Edit(ctx, r)
	})
}

// parseEdit keeps the payload's bytes exactly as they stand in the body.
func parseEdit(body []byte) (r delivery.EditRequest, err error) {
	var plain json.RawMessage
	var encoded []byte
	var fromEncoded bool
	err = decodeObject(body, fields{
		"payload":        func(raw json.RawMessage) error { plain = raw; return nil },
		"payload_base64": base64Field("payload_base64", &encoded, &fromEncoded),
		"payload_null":   boolField("payload_null", &r.PayloadNull),
		"headers":        headersField(&r.Headers),
		"reason":         textField("reason", delivery.MaxReason, &r.Reason),
		"version":        versionField(&r.Version),
	})
	r.Reason = strings.TrimSpace(r.Reason)
	switch {
	case err != nil:
		return r, err
	case len(ambiguous(plain != nil, fromEncoded, r.PayloadNull)) > 0:
		return r, unprocessable("payload_ambiguous", "payload", "given", ambiguous(plain != nil, fromEncoded, r.PayloadNull))
	case plain == nil && !fromEncoded && !r.PayloadNull && r.Headers == nil:
		return r, unprocessable("payload_required.edit", "payload")
	case r.Reason == "":
		return r, unprocessable("reason_required.edit", "reason")
	}
	r.Payload = plain
	if fromEncoded {
		r.Payload = append([]byte{}, encoded...) // never nil: an empty payload is one
	}
	return r, nil
}

// restore puts back what is hidden from people, where the request still has what is shown in its place. It also names the version
// that this is a change of: when another edit comes first, nothing of that may be mixed in.
func (s *Server) restore(d delivery.Detail, r *delivery.EditRequest) error {
	if r.Version == 0 {
		r.Version = d.Version
	}
	base := d.Sent()
	paths := s.masks.For(base, d.Integration).Paths
	if len(paths) > 0 && len(r.Payload) > 0 && json.Valid(base.Payload) {
		restored, err := delivery.Unmask(r.Payload, base.Payload, paths)
		if err != nil {
			return err
		}
		r.Payload = restored
	}
	headers, err := restoreHeaders(r.Headers, base.Headers, s.reveal(base, d.Integration).Headers)
	r.Headers = headers
	return err
}

// checkSchema says what of an edited payload does not fit the integration's schema, if it has one; nil is a payload that stays.
func (s *Server) checkSchema(integration string, r delivery.EditRequest) error {
	check, has := s.cfg.Schemas[integration]
	if !has || r.Payload == nil && !r.PayloadNull {
		return nil
	}
	wrong := check(r.Payload) // of none it is what it says of an empty one
	if len(wrong) == 0 {
		return nil
	}
	p := unprocessable("schema_violation", "payload", "integration", integration, "violations", strings.Join(wrong, "; "))
	p.Violations = wrong
	return p
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
			return nil, unprocessable("masked_value.header", "headers."+name, "header", name, "mark", delivery.Hidden)
		}
		out[name] = value
	}
	return out, nil
}

// redirectFailure retries by another integration.
func (s *Server) redirectFailure(c echo.Context) error {
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		r := delivery.RedirectRequest{ID: id, Actor: who(c).Name, Token: token}
		err := decodeObject(body, fields{
			"integration": textField("integration", delivery.MaxType, &r.Integration),
			"reason":      textField("reason", delivery.MaxReason, &r.Reason),
			"version":     versionField(&r.Version),
		})
		r.Reason = strings.TrimSpace(r.Reason)
		switch {
		case err != nil:
			return delivery.Delivery{}, err
		case r.Reason == "":
			return delivery.Delivery{}, unprocessable("reason_required.redirect", "reason")
		case !delivery.IsName(r.Integration):
			return delivery.Delivery{}, unprocessable("unknown_integration.target", "integration")
		}
		return s.cfg.Store.Redirect(c.Request().Context(), r)
	})
}

// changeFailure reads a request about one failure and answers what it is after change, by the masks of a list.
func (s *Server) changeFailure(c echo.Context, change func(id, token string, body []byte) (delivery.Delivery, error)) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	token, err := requestToken(c)
	if err != nil {
		return err
	}
	changed, err := change(id, token, body)
	if err != nil {
		return err
	}
	if changed.State == delivery.StatePending {
		s.cfg.Wake()
	}
	return c.JSON(http.StatusOK, s.deliveryJSON(changed))
}
