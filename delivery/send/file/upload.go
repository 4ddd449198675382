package filesend

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"redrive/delivery"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
)

// namePlace in an upload's URL stands for the file's name.
const namePlace = "{name}"

// Upload sends each file as one request.
type Upload struct {
	to       delivery.HTTPDestination
	manifest bool
	files    Files
	http     *httpsend.Sender
}

var _ delivery.Sender = (*Upload)(nil)

// NewUpload makes the sender of a destination with an upload. A *delivery.SettingError names a setting of the upload.
func NewUpload(d delivery.FileDestination, files Files, dialer wire.Dialer) (*Upload, error) {
	to := *d.Upload
	if to.Timeout = d.Timeout; to.Timeout <= 0 {
		to.Timeout = delivery.DefaultTimeout
	}
	switch {
	case to.Secret != "":
		return nil, &delivery.SettingError{
			Setting: "secret",
			Err: errors.New("an upload cannot be signed: a signature goes before the body, " +
				"which is sent while it is read; use an authorization header"),
		}
	case d.Manifest && !strings.Contains(to.URL, namePlace):
		return nil, &delivery.SettingError{
			Setting: "url",
			Err:     errors.New("an upload with a manifest needs {name} in it, so that the two have different addresses"),
		}
	}
	sender, err := httpsend.New(to, dialer)
	if err != nil {
		return nil, err
	}
	return &Upload{to: to, manifest: d.Manifest, files: files, http: sender}, nil
}

// Close ends idle connections.
func (u *Upload) Close() error { return u.http.Close() }

// Send makes one attempt within the destination's timeout: the file's request, then the manifest's. It is judged as any
// request is: without an answer its effect is unknown.
func (u *Upload) Send(ctx context.Context, r delivery.Request) delivery.Result {
	ctx, cancel := context.WithTimeout(ctx, u.to.Timeout)
	defer cancel()
	f, err := parse(r.Message.Payload)
	if err != nil {
		return permanent(delivery.ClassBadRequest, err.Error())
	}
	result := u.post(ctx, r, f, content(u.files, f))
	if result.Outcome != delivery.OutcomeOK || !u.manifest {
		return result
	}
	r.IdempotencyKey += manifestSuffix // another request than the file's
	return u.post(ctx, r, f, manifest(f))
}

func (u *Upload) post(ctx context.Context, r delivery.Request, f delivery.BatchFile, it item) delivery.Result {
	var mu sync.Mutex
	var body *checked // of the last connection
	var openErr error
	result := u.http.SendBody(ctx, r, httpsend.Body{URL: u.address(it.name), Header: u.header(f, it), Length: it.bytes,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			body, openErr = it.open(ctx)
			return body, openErr
		}})
	mu.Lock()
	defer mu.Unlock()
	complete, err := false, openErr
	if body != nil {
		complete, err = body.outcome()
	}
	switch {
	case err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded): // the request was broken off by us: what the receiver has is not complete
		return judge(ctx, err)
	case result.Outcome == delivery.OutcomeOK && !complete:
		return delivery.Result{
			Outcome:    delivery.OutcomeUnknown,
			ErrorClass: delivery.ClassProtocol,
			HTTPStatus: result.HTTPStatus,
			Response:   result.Response,
			Error:      "the receiver confirmed before it had the whole file",
		}
	}
	return result
}

func (u *Upload) address(name string) string {
	return strings.ReplaceAll(u.to.URL, namePlace, escape(name))
}

// escape suits a path, a query and a header.
func escape(name string) string { return strings.ReplaceAll(url.QueryEscape(name), "+", "%20") }

const contentType = "Content-Type"

// types are the content types of the formats, by extension.
var types = map[string]string{
	".csv":   "text/csv",
	".kv":    "text/plain",
	".json":  "application/json",
	".jsonl": "application/jsonl",
	".gz":    "application/gzip",
}

// header has the digest of RFC 9530. A content type of the destination's own stands.
func (u *Upload) header(f delivery.BatchFile, it item) map[string]string {
	sum, _ := hex.DecodeString(it.sha256) // it was parsed before
	header := map[string]string{
		"Content-Digest":        "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":",
		"Redrive-File":          escape(it.name),
		"Redrive-Sequence":      strconv.FormatInt(f.Sequence, 10),
		"Redrive-Rows":          strconv.FormatInt(f.Rows, 10),
		"Redrive-Business-Date": f.BusinessDate,
	}
	for name := range u.to.Headers {
		if strings.EqualFold(name, contentType) {
			return header
		}
	}
	header[contentType] = cmp.Or(types[path.Ext(it.name)], "application/octet-stream")
	return header
}
