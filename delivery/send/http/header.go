package httpsend

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// header makes the request's header: the message's, over them the destination's, over them ours.
func (s *Sender) header(r delivery.Request) (http.Header, error) {
	header := make(http.Header, ownHeaders+len(r.Message.Headers)+len(s.to.Headers))
	header["User-Agent"] = []string{"Redrive/1"}
	for name, value := range r.Message.Headers {
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
		if name = http.CanonicalHeaderKey(name); s.to.Passes(name) {
			header[name] = []string{value}
		}
	}
	if login := s.url.User; login != nil { // the transport would drop it
		header.Set("Authorization", basicAuth(login))
	}
	for name, value := range s.to.Headers {
		if !delivery.OwnHeader(name) {
			header.Set(name, value)
		}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", wire.ContentType(delivery.Message{Payload: r.Message.Payload}))
	}
	if err := checkHeader("Idempotency-Key", r.IdempotencyKey); err != nil {
		return nil, err
	}
	header["Idempotency-Key"] = []string{r.IdempotencyKey} // the names are in canonical form
	header["Redrive-Attempt"] = []string{strconv.Itoa(r.Attempt)}
	header["Redrive-Integration"] = []string{r.Integration}
	for _, of := range [...]struct{ name, text string }{
		{"Redrive-Type", r.Message.Type}, {"Redrive-Key", r.Message.Key}, {"Redrive-Message", r.Message.ID},
	} {
		if of.text != "" {
			header[of.name] = []string{delivery.EncodeHeader(of.text)}
		}
	}
	return header, nil
}

// ownHeaders is how many are ours, at most: a map that does not have to grow costs half.
const ownHeaders = 12

// sign adds the Standard Webhooks headers for what is sent; the id is that of the delivery and the same on every attempt.
func (s *Sender) sign(header http.Header, r delivery.Request, sent []byte) error {
	now := time.Now()
	header["Webhook-Id"] = []string{r.DeliveryID}
	header["Webhook-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	signatures := make([]string, 0, len(s.signers))
	for _, signer := range s.signers {
		signature, err := signer.Sign(r.DeliveryID, now, sent)
		if err != nil {
			return errors.New("the message cannot be signed")
		}
		signatures = append(signatures, signature)
	}
	if len(signatures) > 0 {
		header.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	return nil
}

// checkHeader refuses what would break out of its line. The value is not repeated: it may be a secret.
func checkHeader(name, value string) error {
	if !delivery.IsHeaderName(name) {
		return fmt.Errorf("the message has a header name that HTTP does not allow: %q", name)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("the value of the message's header %s has a line break or control character", name)
	}
	return nil
}

// minCredential keeps words like "1" or "no" from being hidden wherever they turn up.
const minCredential = 4

// credentials are the secrets of a destination in the forms in which a receiver may repeat them, longest first.
func credentials(to delivery.HTTPDestination, address *url.URL) []string {
	found := []string{to.Secret, strings.TrimPrefix(to.Secret, secretPrefix), to.Former, strings.TrimPrefix(to.Former, secretPrefix)}
	for name, value := range to.Headers {
		if delivery.IsCredential(name) {
			_, after, _ := strings.Cut(value, " ") // without the scheme
			found = append(found, value, after)
		}
	}
	if login := address.User; login != nil {
		password, _ := login.Password()
		found = append(found, password, strings.TrimPrefix(basicAuth(login), "Basic "))
	}
	for name, values := range address.Query() {
		if delivery.IsCredential(name) {
			found = append(found, values...)
		}
	}
	found = slices.DeleteFunc(found, func(v string) bool { return len(v) < minCredential })
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}

func basicAuth(login *url.Userinfo) string {
	password, _ := login.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username()+":"+password))
}
