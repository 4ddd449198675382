// Package httpsend sends deliveries to HTTP endpoints. It says what happened; what comes next is the engine's decision.
// Receivers are taken for hostile: deadlines, sizes, redirects and addresses are bounded here.
package httpsend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"redrive/delivery"
	"redrive/delivery/wire"
	"redrive/delivery/words"
)

const (
	maxRead = 64 << 10 // bytes of an answer that are read; then the connection is closed
	// Shorter than the keep-alive of common servers (Node.js: 5 s): a connection that its server closes while a request is
	// on the way leaves an unknown outcome.
	idleTimeout = 4 * time.Second
	idlePerHost = 256
)

// Sender posts messages to one endpoint.
type Sender struct {
	to        delivery.HTTPDestination
	url       *url.URL
	signers   []*standardwebhooks.Webhook // of each secret; none: unsigned
	secrets   []string                    // what an answer must not repeat to people
	transport *http.Transport
}

var _ delivery.Sender = (*Sender)(nil)

// New checks the destination; nothing is dialled yet.
func New(d delivery.HTTPDestination, dialer wire.Dialer) (*Sender, error) {
	address, err := parse(d.URL)
	if err != nil {
		return nil, err
	}
	s := &Sender{to: d, url: address}
	if s.to.Method == "" {
		s.to.Method = http.MethodPost
	}
	if s.to.Timeout <= 0 {
		s.to.Timeout = delivery.DefaultTimeout
	}
	for _, secret := range []string{d.Secret, d.Former} {
		signer, err := newSigner(secret)
		if err != nil {
			return nil, err
		}
		if signer != nil {
			s.signers = append(s.signers, signer)
		}
	}
	s.secrets = credentials(s.to, address)
	s.transport = &http.Transport{DialContext: counting(dialer), DisableCompression: true, MaxIdleConnsPerHost: idlePerHost,
		IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: maxRead, TLSClientConfig: tlsConfig(), ForceAttemptHTTP2: false}
	return s, nil
}

func parse(raw string) (*url.URL, error) {
	address, err := url.Parse(raw)
	if err != nil || address.Host == "" {
		return nil, &delivery.SettingError{
			Setting: "url",
			Err:     errors.New("it is not an address"),
		} // err would quote its credentials
	}
	return address, nil
}

// Close ends idle connections.
func (s *Sender) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Send makes one attempt within the destination's timeout.
func (s *Sender) Send(ctx context.Context, r delivery.Request) delivery.Result {
	header, err := s.header(r)
	if err != nil {
		return badRequest(err)
	}
	sent, err := s.content(header, r)
	if err != nil {
		return badRequest(err)
	}
	if err := s.sign(header, r, sent); err != nil {
		return badRequest(err)
	}
	return s.attempt(ctx, r, header, s.url, Body{Length: int64(len(sent)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sent)), nil }})
}

// attempt makes one attempt: b is sent to the address, with a header that was made of r's message's.
func (s *Sender) attempt(ctx context.Context, r delivery.Request, header http.Header, address *url.URL, b Body) (result delivery.Result) {
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	if b.Length == 0 {
		notReplayable(header)
	}
	for {
		response, written, err := s.exchange(ctx, address, header, b)
		switch {
		case err == nil:
			result = s.read(response)
		case !written.closedUnused() || ctx.Err() != nil:
			result = failure(ctx, err, written.any())
		default: // the server had closed a kept connection and not one byte was sent: a new connection is no second attempt
			continue
		}
		if r.Tells(result) {
			result.Exchange = s.told(r.Message, header, address, response, written)
		}
		return result
	}
}

// notReplayable hides from the transport that a request without a body has an idempotency key: it would send such a request again by
// itself after a lost answer. Its names are known to the transport in canonical form only; receivers do not mind the letter case.
func notReplayable(header http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := header[name]; ok {
			delete(header, name)
			header[strings.ToLower(name)] = values
		}
	}
}

func badRequest(err error) delivery.Result {
	return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassBadRequest, Error: err.Error()}
}

// exchange sends the request once and returns the response's head.
func (s *Sender) exchange(ctx context.Context, address *url.URL, header http.Header, b Body) (*http.Response, *progress, error) {
	written := &progress{}
	body, err := b.Open(ctx)
	if err != nil {
		return nil, written, err
	}
	if b.Length == 0 { // the transport would ask a body how long it is, and write it in chunks
		_, err := io.Copy(io.Discard, body)
		if _ = body.Close(); err != nil {
			return nil, written, err
		}
		body = http.NoBody
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: written.gotConn, GotFirstResponseByte: written.gotFirst})
	request := &http.Request{
		Method: s.to.Method,
		URL:    address,
		Header: header,
		Host:   header.Get("Host"), // only read from here on: all exchanges share it
		// no GetBody: the transport must not send it again by itself
		Body:          body,
		ContentLength: b.Length,
	}
	response, err := s.transport.RoundTrip(request.WithContext(ctx))
	return response, written, err
}

// read judges the answer and keeps an excerpt. The status line decides: what follows it may be cut.
func (s *Sender) read(response *http.Response) delivery.Result {
	defer response.Body.Close()
	var body []byte
	if response.Body != http.NoBody &&
		response.StatusCode != http.StatusSwitchingProtocols { // its body is the bare connection, which no deadline ends
		body, _ = io.ReadAll(io.LimitReader(response.Body, maxRead))
	}
	result := judge(response.StatusCode, response.Header)
	result.HTTPStatus = response.StatusCode
	whole := len(body) < maxRead
	if result.Outcome != delivery.OutcomeOK {
		result.Words, body = words.Read(words.Answer{Status: response.StatusCode, Reason: response.Status,
			Header: response.Header, Body: body})
		result.Words = s.redact(result.Words, whole)
	}
	body = []byte(s.redact(string(body), whole)) // before it is cut: half a secret would not be found
	result.Response = body[:min(len(body), delivery.MaxAnswer):min(len(body), delivery.MaxAnswer)]
	return result
}

// redact hides the destination's secrets in what the receiver answered, whole or cut at the end.
func (s *Sender) redact(text string, whole bool) string {
	text = delivery.HideValues(text, s.secrets)
	if !whole {
		text = delivery.HideCut(text, s.secrets)
	}
	return text
}

// newSigner takes a Standard Webhooks secret ("whsec_" and Base64) or any other text.
func newSigner(secret string) (*standardwebhooks.Webhook, error) {
	switch {
	case secret == "":
		return nil, nil
	case len(secret) > len(secretPrefix) && secret[:len(secretPrefix)] == secretPrefix:
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, &delivery.SettingError{
				Setting: "secret",
				Err:     fmt.Errorf("it starts with %s, but what follows is not Base64", secretPrefix),
			}
		}
		return signer, nil
	default:
		return standardwebhooks.NewWebhookRaw([]byte(secret))
	}
}

const secretPrefix = "whsec_"
