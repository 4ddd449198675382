// Package client is the command line of a running server: redrive failures and redrive operations. It speaks to the JSON API as
// any other program may, and knows nothing else of Redrive.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"redrive/delivery"
)

// Server is where the API is and who asks; every command takes it.
type Server struct {
	URL   string `name:"url"   env:"REDRIVE_URL"       default:"http://127.0.0.1:8080" help:"Address of the server."`
	Token string `name:"token" env:"REDRIVE_API_TOKEN"                                 help:"API token; its role decides what you may do."`
}

// UsageError is a mistake of whoever typed the command.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake itself.
func (e UsageError) Unwrap() error { return e.Err }

func misused(format string, args ...any) error { return UsageError{said(format, args...)} }

var errInterrupted = said("interrupted")

const (
	requestTimeout = 2 * time.Minute
	longestAnswer  = 64 << 20
)

// problem is the server's answer to what it does not do.
type problem struct {
	Status    int
	Code      string
	Detail    string
	RequestID string `json:"request_id"`
}

// call makes one request and returns the body of what was done. The body in is encoded as JSON; nil sends none. What is not carried out
// twice with one key is sent again where the answer was lost.
func (s Server) call(ctx context.Context, method, path string, in any, again bool) ([]byte, error) {
	base, err := s.base()
	if err != nil {
		return nil, err
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return nil, said("writing the request: %s", err)
		}
	}
	key := rand.Text()
	answer, raw, err := s.send(ctx, method, base+path, key, body)
	if err != nil && again && ctx.Err() == nil && method != http.MethodGet && !refused(err) {
		// the answer was lost on its way: with the same key it is carried out once
		answer, raw, err = s.send(ctx, method, base+path, key, body)
	}
	switch {
	case ctx.Err() != nil:
		return nil, errInterrupted
	case err != nil:
		return nil, unreachable(base, err)
	case answer.StatusCode >= 300:
		return nil, refusal(base, answer, raw)
	case len(raw) > 0 && !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json"):
		return nil, said("%s answers, but not as Redrive's API does: is --url (REDRIVE_URL) right?", base)
	}
	return raw, askedBy(answer, raw)
}

func (s Server) base() (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", misused("REDRIVE_URL (--url): an address such as http://127.0.0.1:8080 is needed")
	}
	if s.Token == "" {
		return "", misused("no API token: set REDRIVE_API_TOKEN or give --token; an admin makes tokens on the " +
			"console's page Tokens")
	}
	for _, r := range s.Token {
		if r <= ' ' || r > '~' {
			return "", misused("REDRIVE_API_TOKEN (--token): a token is made of visible ASCII characters, without " +
				"spaces or line breaks")
		}
	}
	if strings.HasPrefix(s.Token, delivery.TokenPrefix) && !delivery.IsWholeToken(s.Token) {
		return "", misused("REDRIVE_API_TOKEN (--token): the token is not whole; copy all of it")
	}
	return strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/"), nil
}

// web follows no redirect, which would carry the token elsewhere.
var web = &http.Client{
	Timeout:       requestTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (s Server) send(ctx context.Context, method, address, key string, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Language", Language())
	if method != http.MethodGet {
		r.Header.Set("Idempotency-Key", key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := web.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	return answer, raw, err
}

func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// unreachable says in one sentence why there is no answer.
func unreachable(base string, err error) error {
	var (
		untrusted x509.UnknownAuthorityError
		misnamed  x509.HostnameError
		invalid   x509.CertificateInvalidError
		notTLS    tls.RecordHeaderError
		outer     *url.Error
	)
	switch {
	case refused(err):
		return said("no server answers at %s: is redrive serve running there? Name another address by --url "+
			"(REDRIVE_URL)", base)
	case errors.As(err, &untrusted), errors.As(err, &misnamed), errors.As(err, &invalid):
		return said("the certificate of %s is not trusted (%s): correct the address, or trust its authority by "+
			"SSL_CERT_FILE", base, innermost(err))
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return said("%s does not speak HTTPS: write http:// in --url (REDRIVE_URL)", base)
	case errors.As(err, &outer) && outer.Timeout():
		return said("%s does not answer in time", base)
	}
	return said("no answer from %s: %s", base, innermost(err))
}

// innermost is an error without the address, which was said, and without what wraps it.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return visible(err.Error())
		}
		err = inner
	}
}

// refusal is what the server says instead of doing it.
func refusal(base string, answer *http.Response, raw []byte) error {
	var p problem
	if json.Unmarshal(raw, &p) != nil || p.Code == "" {
		if answer.StatusCode < 400 {
			return misused("%s leads elsewhere (%s): name that address by --url (REDRIVE_URL)",
				base, visible(answer.Header.Get("Location")))
		}
		return said("%s answers %d, but not as Redrive's API does: is --url (REDRIVE_URL) right?", base, answer.StatusCode)
	}
	text := visible(p.Detail)
	switch {
	case p.Code == "token_expired":
		return misused("%s", text)
	case answer.StatusCode == http.StatusUnauthorized:
		return misused("the server at %s does not know this token: correct REDRIVE_API_TOKEN (--token)", base)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusConflict:
		return errors.New(text)
	case answer.StatusCode >= 500:
		return said("%s (request %s)", text, visible(p.RequestID))
	}
	return UsageError{errors.New(text)}
}

// get reads an object.
func (s Server) get(ctx context.Context, path string, q url.Values, into any) ([]byte, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	raw, err := s.call(ctx, http.MethodGet, "/api/v1"+path, nil, true)
	if err != nil || into == nil {
		return raw, err
	}
	return raw, decode(raw, into)
}

// post sends an object and reads what became of it.
func (s Server) post(ctx context.Context, path string, in, into any) ([]byte, error) {
	return s.posted(ctx, path, in, into, true)
}

// postOnce is post for what would happen a second time.
func (s Server) postOnce(ctx context.Context, path string, in, into any) ([]byte, error) {
	return s.posted(ctx, path, in, into, false)
}

func (s Server) posted(ctx context.Context, path string, in, into any, again bool) ([]byte, error) {
	raw, err := s.call(ctx, http.MethodPost, "/api/v1"+path, in, again)
	if err != nil || into == nil {
		return raw, err
	}
	return raw, decode(raw, into)
}

func decode(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return said("the server's answer cannot be read: %s", err)
	}
	return nil
}

// pages reads a list to its end, or up to limit items.
func (s Server) pages(ctx context.Context, path string, q url.Values, limit int) (items []json.RawMessage, more bool, err error) {
	for len(items) < limit {
		q.Set("limit", fmt.Sprint(min(limit-len(items), delivery.MaxPage)))
		var page struct {
			Items []json.RawMessage
			Next  *string
		}
		if _, err := s.get(ctx, path, q, &page); err != nil {
			return nil, false, err
		}
		items = append(items, page.Items...)
		if page.Next == nil {
			return items, false, nil
		}
		q.Set("after", *page.Next)
	}
	return items, true, nil
}
