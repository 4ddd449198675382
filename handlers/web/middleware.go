package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"redrive/delivery"
	"redrive/views"
)

const (
	requestIDKey  = "redrive.request-id"
	SessionLoaded = "redrive.session"

	apiBodyLimit  = 15 << 20 // a payload of 10 MiB in base64, and what is around it
	FormBodyLimit = 1 << 20
	EditBodyLimit = 8 << 20 // a payload as large as a page edits, as forms write it

	ContentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; report-uri " + PolicyReports
)

// Use installs what every request passes, outermost first.
func (s *Core) use() {
	s.Echo.Use(compress(), s.identify, s.logAccess, s.recoverPanic, s.secureHeaders, s.refuseCrossOrigin(),
		s.setApart, s.loadSession, limitBody)
}

// compress packs what browsers and programs read. A page never has a lasting secret beside what its address said (BREACH): the session
// is in a cookie, tokens of forms are new on each page, a new API token is shown once.
func compress() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{MinLength: 1 << 10, Skipper: func(c echo.Context) bool {
		r := c.Request()
		return r.Header.Get("Range") != "" || r.URL.Path == "/metrics" || r.URL.Path == views.FailuresLive || strings.HasPrefix(r.URL.Path, "/demo") ||
			strings.HasSuffix(r.URL.Path, "/payload") ||
			strings.HasSuffix(r.URL.Path, "/content") // exact bytes
	}})
}

// headAsGet serves HEAD wherever GET is served; the server leaves the body out by itself, because its own request is not
// changed.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

func requestID(c echo.Context) string {
	id, _ := c.Get(requestIDKey).(string)
	return id
}

// GoodRequestID is what a caller's own request id may look like.
var GoodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identify gives each request an id; a caller's own is kept when it is harmless.
func (s *Core) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !GoodRequestID.MatchString(id) {
			raw := make([]byte, 12)
			_, _ = rand.Read(raw) // never fails, see crypto/rand
			id = hex.EncodeToString(raw)
		}
		c.Set(requestIDKey, id)
		c.Set(settingLang, s.Config.Lang)
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

// logAccess writes one line for each request: no query (it holds search texts), no body, no header.
func (s *Core) logAccess(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		if err := next(c); err != nil {
			s.handleError(err, c)
		}
		r := c.Request()
		s.Config.Log.Log(r.Context(), accessLevel(r.URL.Path, c.Response().Status), "request", "method", r.Method,
			"path", r.URL.Path, "status", c.Response().Status, "bytes", c.Response().Size, "took", time.Since(started),
			"request_id", requestID(c), "actor", Who(c).Name, "actor_id", Who(c).ID, "from", c.RealIP())
		return nil
	}
}

// accessLevel keeps the requests that machines repeat all day out of an ordinary log.
func accessLevel(path string, status int) slog.Level {
	for _, prefix := range []string{"/healthz", "/readyz", "/metrics", "/static/", "/demo/"} {
		if status < http.StatusInternalServerError && strings.HasPrefix(path, prefix) {
			return slog.LevelDebug
		}
	}
	return slog.LevelInfo
}

func (s *Core) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			s.Config.Log.ErrorContext(c.Request().Context(), "panic", "request_id", requestID(c), "cause", cause,
				"stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", cause)
		}()
		return next(c)
	}
}

func (s *Core) secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", ContentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "private, no-cache") // handlers of what may be kept say so themselves
		if isAPI(c.Request()) {
			h.Set("Cache-Control", "no-store")
		}
		if s.Config.SecureCookies {
			h.Set("Strict-Transport-Security", "max-age=31536000")
			reportsTo(h)
		}
		return next(c)
	}
}

// refuseCrossOrigin stops forms and scripts of other sites. A bearer token is nothing that a browser sends by itself, and the
// demo's receivers are called by the engine.
func (s *Core) refuseCrossOrigin() echo.MiddlewareFunc {
	protection := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			_, viaToken := bearerToken(r.Header.Get(echo.HeaderAuthorization))
			if viaToken || isDemoReceiver(r.URL.Path) {
				return next(c)
			}
			if protection.Check(r) != nil {
				return NewProblem(http.StatusForbidden, "cross_origin")
			}
			return next(c)
		}
	}
}

func isDemoReceiver(path string) bool {
	return strings.HasPrefix(path, "/demo/receivers/") && strings.HasSuffix(path, "/deliver")
}

// loadSession reads the session and saves it with the answer's header. Tokens, machines and files need none.
func (s *Core) loadSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Header.Get(echo.HeaderAuthorization) != "" || sessionless(r.URL.Path) {
			return next(c)
		}
		var token string
		if cookie, err := r.Cookie(s.Sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := s.Sessions.Load(r.Context(), token)
		if err != nil {
			return fmt.Errorf("loading a session: %w", err)
		}
		c.SetRequest(r.WithContext(ctx))
		c.Set(SessionLoaded, true)
		c.Response().Header().Add(echo.HeaderVary, "Cookie")
		if !isQuiet(r.URL.Path) {
			c.Response().Before(func() { s.saveSession(c) })
		}
		return next(c)
	}
}

// isQuiet recognises what an open page asks by itself: it does not keep anybody signed in.
func isQuiet(path string) bool {
	return strings.HasSuffix(path, "/news") || path == views.FailuresLive || path == views.FailuresSuggest
}

func sessionless(path string) bool {
	for _, prefix := range []string{"/healthz", "/readyz", "/metrics", "/static/", "/demo", "/api/openapi.json", PolicyReports} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// saveSession runs when the header is about to be written. An answer without its cookie leaves the person signed out, which
// is safe; the log says why.
func (s *Core) saveSession(c echo.Context) {
	ctx := c.Request().Context()
	switch s.Sessions.Status(ctx) {
	case scs.Modified:
		ctx = delivery.WithSession(ctx, sessionOf(c))
		token, expiry, err := s.Sessions.Commit(ctx)
		if err != nil {
			s.Config.Log.ErrorContext(ctx, "saving a session", "request_id", requestID(c), "error", err)
			return
		}
		s.Sessions.WriteSessionCookie(ctx, c.Response(), token, expiry)
	case scs.Destroyed:
		s.Sessions.WriteSessionCookie(ctx, c.Response(), "", time.Time{})
	case scs.Unmodified:
	}
}

// bodyLimit is how many bytes a request may send.
func bodyLimit(c echo.Context) int64 {
	r := c.Request()
	switch {
	case isAPI(r) || isDemoReceiver(r.URL.Path):
		return apiBodyLimit
	case c.Path() == EditRoute:
		return EditBodyLimit
	case strings.HasPrefix(c.Path(), views.SignIn):
		return KeptBodyLimit
	}
	return FormBodyLimit
}

// limitBody bounds what a request may send.
func limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, limit := c.Request(), bodyLimit(c)
		if r.ContentLength > limit {
			c.Response().Header().Set(echo.HeaderConnection, "close") // the rest is not worth reading
			return &http.MaxBytesError{Limit: limit}
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(c.Response(), r.Body, limit)
		}
		return next(c)
	}
}

// ReadBody reads a request to its end; a body that stops early is the caller's mistake.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, &tooLarge) {
		return body, err
	}
	return nil, NewProblem(http.StatusBadRequest, "incomplete_body")
}

// EditRoute edits a failure; its forms are larger than others.
const EditRoute = views.Failures + "/:id/edit"
