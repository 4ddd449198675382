package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

const problemType = "application/problem+json"

// problem is an error for people and programs (RFC 9457): Code is stable, Detail says what to do. It is an error itself, so
// that handlers can return it.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id,omitempty"`

	// Only of a conflict: who was faster, and what is now.
	Actor   string         `json:"actor,omitempty"`
	Action  string         `json:"action,omitempty"`
	At      *time.Time     `json:"at,omitempty"`
	State   delivery.State `json:"state,omitempty"`
	Version *int           `json:"version,omitempty"`
	Case    *caseJSON      `json:"case,omitempty"`

	Violations []string `json:"violations,omitempty"` // of a schema

	retryAfter time.Duration // of what is only not possible now
}

func (p problem) Error() string { return p.Code + ": " + p.Detail }

func newProblem(status int, code, detail string) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// badField is a mistake in one named field, parameter or header.
func badField(status int, code, field, format string, args ...any) problem {
	p := newProblem(status, code, fmt.Sprintf(format, args...))
	p.Field = field
	return p
}

// inputStatus lists the codes of an InputError whose status is not 422.
var inputStatus = map[string]int{
	"payload_too_large":      http.StatusRequestEntityTooLarge,
	"bad_cursor":             http.StatusBadRequest,
	"invalid_json":           http.StatusBadRequest,
	"unsupported_media_type": http.StatusUnsupportedMediaType,
	"not_yours":              http.StatusForbidden,
	"conflict":               http.StatusConflict,
}

// problemOf says what an error means to the caller. What it does not know is internal: its text is for the log only.
func problemOf(err error) problem {
	var (
		own      problem
		input    *delivery.InputError
		conflict *delivery.ConflictError
		tooLarge *http.MaxBytesError
		fromEcho *echo.HTTPError
		notNow   *delivery.UnavailableError

		aboutCase *delivery.CaseConflictError
		operation *delivery.OperationConflictError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, delivery.ErrNotFound):
		return newProblem(http.StatusNotFound, "not_found", "There is nothing here, or it is gone. Go back to the list.")
	case errors.As(err, &input):
		return problemOfInput(input)
	case errors.As(err, &conflict):
		return problemOfConflict(conflict)
	case errors.As(err, &aboutCase):
		return problemOfCase(aboutCase)
	case errors.As(err, &operation):
		return problemOfOperation(operation)
	case errors.As(err, &notNow):
		p := newProblem(http.StatusServiceUnavailable, notNow.Code, notNow.Message)
		p.retryAfter = notNow.RetryAfter
		return p
	case errors.As(err, &tooLarge):
		return problemOfSize(tooLarge.Limit)
	case errors.As(err, &fromEcho):
		return problemOfEcho(fromEcho)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "timeout", "The answer took too long. Try again in a moment.")
	}
	return newProblem(http.StatusInternalServerError, "internal", "Something went wrong here. The log has the details under this request id.")
}

func problemOfSize(limit int64) problem {
	detail := "The request has more than %d bytes. A payload may have " + delivery.PayloadLimit + "; keep larger content elsewhere and send a link."
	if limit != apiBodyLimit {
		detail = "The form has more than %d bytes, which is more than this page takes; nothing was changed. Go back: your browser still has what you typed. Larger payloads are edited by the API or the command line."
	}
	return newProblem(http.StatusRequestEntityTooLarge, "payload_too_large", fmt.Sprintf(detail, limit))
}

func problemOfInput(e *delivery.InputError) problem {
	status, special := inputStatus[e.Code]
	if !special {
		status = http.StatusUnprocessableEntity
	}
	return badField(status, e.Code, e.Field, "%s", e.Message)
}

func problemOfConflict(e *delivery.ConflictError) problem {
	p := newProblem(http.StatusConflict, "conflict", fmt.Sprintf("%s was faster (%s at %s). It is %s now, version %d. Look at it again, then decide.",
		e.Actor, e.Action, e.At.UTC().Format(time.RFC3339), e.State, e.Version))
	p.Actor, p.Action, p.State, p.Version, p.At = e.Actor, e.Action, e.State, &e.Version, utc(&e.At)
	return p
}

func problemOfOperation(e *delivery.OperationConflictError) problem {
	p := newProblem(http.StatusConflict, "conflict", fmt.Sprintf("%s was faster (%s at %s). The operation is %s now, version %d. Look at it again, then decide.",
		e.Actor, e.Action, e.At.UTC().Format(time.RFC3339), e.State, e.Version))
	p.Actor, p.Action, p.State, p.Version, p.At = e.Actor, e.Action, delivery.State(e.State), &e.Version, utc(&e.At)
	return p
}

func problemOfCase(e *delivery.CaseConflictError) problem {
	now := caseJSONOf(e.Case)
	p := newProblem(http.StatusConflict, "conflict", fmt.Sprintf("%s changed this case in the meantime; it has version %d now. Look at it again, then decide.",
		e.By, e.Case.Version))
	p.Actor, p.Version, p.Case = e.By, &now.Version, &now
	return p
}

var echoCodes = map[int][2]string{
	http.StatusNotFound:              {"not_found", "There is nothing at this address."},
	http.StatusMethodNotAllowed:      {"method_not_allowed", "This address does not take this method; see the Allow header."},
	http.StatusRequestEntityTooLarge: {"payload_too_large", "The request is too large."},
	http.StatusUnsupportedMediaType:  {"unsupported_media_type", "This content type is not understood here."},
}

func problemOfEcho(e *echo.HTTPError) problem {
	if known, ok := echoCodes[e.Code]; ok {
		return newProblem(e.Code, known[0], known[1])
	}
	if e.Code >= 400 && e.Code < 500 {
		return newProblem(e.Code, "bad_request", http.StatusText(e.Code))
	}
	return newProblem(http.StatusInternalServerError, "internal", "Something went wrong here. The log has the details under this request id.")
}

// handleError is echo's error handler: the only place that turns errors into answers.
func (s *Server) handleError(err error, c echo.Context) {
	p := problemOf(err)
	p.RequestID = requestID(c)
	if p.Status >= http.StatusInternalServerError && p.retryAfter == 0 && c.Request().Context().Err() == nil { // a caller who left is no failure
		s.cfg.Log.ErrorContext(c.Request().Context(), "request failed", "request_id", p.RequestID, "path", c.Request().URL.Path, "error", err)
	}
	if c.Response().Committed {
		return
	}
	if p.retryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="redrive"`
		if p.Code == "invalid_token" {
			challenge += `, error="invalid_token"`
		}
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
	}
	if wantsJSON(c.Request()) {
		err = writeProblem(c, p)
	} else {
		err = s.errorPage(c, p)
	}
	if err != nil && !c.Response().Committed {
		_ = c.String(p.Status, p.Title+"\n"+p.Detail+"\n") // the connection is what failed: nobody is left to tell
	}
}

func writeProblem(c echo.Context, p problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding a problem: %w", err)
	}
	c.Response().Header().Del(echo.HeaderContentType) // of an answer that failed half-way
	return c.Blob(p.Status, problemType, body)
}

// wantsJSON tells programs from browsers.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return isAPI(r) || (strings.Contains(accept, "json") && !strings.Contains(accept, "text/html"))
}

func isAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/api"
}

// utc is how the API shows times: in UTC, or not at all.
func utc(t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
