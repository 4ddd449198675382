package web

import (
	"cmp"
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
	"redrive/views/words"
)

// ProblemType is the media type of errors (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is an error for people and programs (RFC 9457): Code is stable, Detail says what to do. It is an error itself, so
// that handlers can return it.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id,omitempty"`

	// Only of a conflict: who was faster, and what is now.
	Actor   string         `json:"actor,omitempty"`
	ActorID string         `json:"actor_id,omitempty"`
	Action  string         `json:"action,omitempty"`
	At      *time.Time     `json:"at,omitempty"`
	State   delivery.State `json:"state,omitempty"`
	Version *int           `json:"version,omitempty"`
	Case    *CaseJSON      `json:"case,omitempty"`

	Violations []string            `json:"violations,omitempty"` // of a schema
	Permission delivery.Permission `json:"permission,omitempty"` // that is missing

	Says       delivery.Phrase `json:"-"` // Detail says it
	RetryAfter time.Duration   `json:"-"` // of what is only not possible now
}

// Error returns the phrase for logs.
func (p Problem) Error() string { return p.Says.String() }

// NewProblem takes the key of a phrase, which begins with the code, and arguments as delivery.Say does.
func NewProblem(status int, key string, args ...any) Problem {
	return BadField(status, key, "", args...)
}

// BadField is a mistake in one named field, parameter or header.
func BadField(status int, key, field string, args ...any) Problem {
	mistake := delivery.Mistake(key, field, args...)
	return ProblemSaying(status, mistake.Code, field, mistake.Says)
}

// ProblemSaying is a problem about one field with a phrase.
func ProblemSaying(status int, code, field string, says delivery.Phrase) Problem {
	return Problem{
		Type:   "about:blank",
		Title:  http.StatusText(status),
		Status: status,
		Code:   code,
		Field:  field,
		Detail: English(says),
		Says:   says,
	}
}

// inputStatus lists the codes of an InputError whose status is not 422.
var inputStatus = map[string]int{
	"payload_too_large":      http.StatusRequestEntityTooLarge,
	"bad_cursor":             http.StatusBadRequest,
	"invalid_json":           http.StatusBadRequest,
	"unsupported_media_type": http.StatusUnsupportedMediaType,
	"not_yours":              http.StatusForbidden,
	"conflict":               http.StatusConflict,
	"own_approval":           http.StatusForbidden,
	"robot_approval":         http.StatusForbidden,
}

// ProblemOf says what an error means to the caller. What it does not know is internal: its text is for the log only.
func ProblemOf(err error) Problem {
	var (
		own      Problem
		input    *delivery.InputError
		conflict *delivery.ConflictError
		tooLarge *http.MaxBytesError
		fromEcho *echo.HTTPError
		notNow   *delivery.UnavailableError
		ended    *delivery.RightError

		aboutCase *delivery.CaseConflictError
		operation *delivery.OperationConflictError
		void      *delivery.VoidError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, delivery.ErrNotFound):
		return NewProblem(http.StatusNotFound, "not_found")
	case errors.As(err, &input):
		return problemOfInput(input)
	case errors.As(err, &ended):
		return problemOfRight(ended)
	case errors.As(err, &conflict):
		return problemOfConflict(conflict)
	case errors.As(err, &aboutCase):
		return problemOfCase(aboutCase)
	case errors.As(err, &operation):
		return problemOfOperation(operation)
	case errors.As(err, &void):
		return ProblemSaying(http.StatusConflict, "approval_void", "", void.Phrase())
	case errors.As(err, &notNow):
		p := ProblemSaying(http.StatusServiceUnavailable, notNow.Code, "", notNow.Phrase())
		p.RetryAfter = notNow.RetryAfter
		return p
	case errors.As(err, &tooLarge):
		return problemOfSize(tooLarge.Limit)
	case errors.As(err, &fromEcho):
		return problemOfEcho(fromEcho)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return NewProblem(http.StatusServiceUnavailable, "timeout")
	}
	return NewProblem(http.StatusInternalServerError, "internal")
}

func problemOfSize(limit int64) Problem {
	if limit != apiBodyLimit {
		return NewProblem(http.StatusRequestEntityTooLarge, "payload_too_large.page", "max", limit)
	}
	return NewProblem(http.StatusRequestEntityTooLarge, "payload_too_large.body", "max", limit, "limit", delivery.PayloadLimit)
}

// English is a phrase as the API says it.
func English(p delivery.Phrase) string { return words.Say(words.English, p) }

func problemOfInput(e *delivery.InputError) Problem {
	status, special := inputStatus[e.Code]
	if !special {
		status = http.StatusUnprocessableEntity
	}
	return ProblemSaying(status, e.Code, e.Field, e.Phrase())
}

func problemOfRight(e *delivery.RightError) Problem {
	status := http.StatusUnauthorized
	if e.Missing != "" {
		status = http.StatusForbidden
	}
	code, _, _ := strings.Cut(e.Phrase().Key, ".")
	p := ProblemSaying(status, code, "", e.Phrase())
	p.Permission = e.Missing
	return p
}

func problemOfConflict(e *delivery.ConflictError) Problem {
	p := ProblemSaying(http.StatusConflict, "conflict", "", e.Phrase())
	p.Actor, p.ActorID, p.Action, p.State, p.Version, p.At = e.Actor, e.ActorID, e.Action, e.State, &e.Version, Utc(&e.At)
	return p
}

func problemOfOperation(e *delivery.OperationConflictError) Problem {
	p := ProblemSaying(http.StatusConflict, "conflict", "", e.Phrase())
	p.Actor, p.Action, p.State, p.Version, p.At = e.Actor, e.Action, delivery.State(e.State), &e.Version, Utc(&e.At)
	return p
}

func problemOfCase(e *delivery.CaseConflictError) Problem {
	now := CaseJSONOf(e.Case)
	p := ProblemSaying(http.StatusConflict, "conflict", "", e.Phrase())
	p.Actor, p.ActorID, p.Version, p.Case = e.By, e.ByID, &now.Version, &now
	return p
}

// echoKeys are what echo's own errors say.
var echoKeys = map[int]string{http.StatusNotFound: "not_found.address", http.StatusMethodNotAllowed: "method_not_allowed",
	http.StatusRequestEntityTooLarge: "payload_too_large.request", http.StatusUnsupportedMediaType: "unsupported_media_type.here"}

func problemOfEcho(e *echo.HTTPError) Problem {
	if key, ok := echoKeys[e.Code]; ok {
		return NewProblem(e.Code, key)
	}
	if e.Code >= 400 && e.Code < 500 {
		return ProblemSaying(e.Code, "bad_request", "", delivery.Verbatim(http.StatusText(e.Code)))
	}
	return NewProblem(http.StatusInternalServerError, "internal")
}

// handleError is echo's error handler: the only place that turns errors into answers.
func (s *Core) handleError(err error, c echo.Context) {
	p := ProblemOf(err)
	p.RequestID = requestID(c)
	if p.Status >= http.StatusInternalServerError && p.RetryAfter == 0 &&
		c.Request().Context().Err() == nil { // a caller who left is no failure
		s.Config.Log.ErrorContext(c.Request().Context(), "request failed", "request_id", p.RequestID,
			"path", c.Request().URL.Path, "error", err)
	}
	if c.Response().Committed {
		return
	}
	if p.RetryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="redrive"`
		if p.Code == "invalid_token" || p.Code == "token_expired" {
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

// writeProblem answers a program. Only what its request says counts for the language of the detail; all else is for machines.
func writeProblem(c echo.Context, p Problem) error {
	lang := cmp.Or(words.Accepted(c.Request().Header.Get(acceptLanguage)), words.English)
	if !p.Says.IsZero() {
		p.Detail = words.Say(lang, p.Says)
	}
	inLanguage(c, lang)
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding a problem: %w", err)
	}
	c.Response().Header().Del(echo.HeaderContentType) // of an answer that failed half-way
	return c.Blob(p.Status, ProblemType, body)
}

// wantsJSON reports whether a program asks, and no browser.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return isAPI(r) || (strings.Contains(accept, "json") && !strings.Contains(accept, "text/html"))
}

func isAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/api" || r.URL.Path == "/metrics"
}

// Utc is how the API shows times: in UTC, or not at all.
func Utc(t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
