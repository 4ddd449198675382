package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// RevealedJSON is one value of a message, and the entry of the audit that tells of it.
type RevealedJSON struct {
	Value   json.RawMessage `json:"value"`
	AuditID string          `json:"audit_id"`
	Until   *time.Time      `json:"until,omitempty"` // it may be asked for again without a reason
}

// revealField hands out one value of what is sent for a delivery.
func (s *API) revealField(c echo.Context) error {
	if _, err := web.UuidParam(c); err != nil {
		return err
	}
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	r := s.RevealTo(c, delivery.RevealRequest{})
	if err := web.DecodeObject(body, web.Fields{
		"path":    web.TextField("path", delivery.MaxReason, &r.Path),
		"reason":  web.TextField("reason", delivery.MaxReason, &r.Reason),
		"version": web.VersionField(&r.Edit),
	}); err != nil {
		return err
	}
	shown, err := s.store.Reveal(c.Request().Context(), r)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, RevealedJSON{Value: shown.Value, AuditID: shown.AuditID, Until: web.Utc(shown.Until)})
}
