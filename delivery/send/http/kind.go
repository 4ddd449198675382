package httpsend

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"redrive/delivery"
	"redrive/delivery/form"
)

// Kind is the destination http.
var Kind = form.Destination{
	Name:  "http",
	Block: form.Reads(func(r *form.Reader, path string, b *Block) delivery.Target { return b.Read(r, path) }),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.HTTPDestination), m.Dialer)
	},
	Batch: form.Batch{As: "http", Rows: true},
	Least: `{url: "http://h"}`,
	Pages: []form.Page{
		{Where: "`http` (`destination`, `destination.file.to`)", Of: reflect.TypeFor[Block](), Settings: []form.Setting{
			{Name: "url", Required: true, Help: "`http://` or `https://`"},
			{Name: "method", Standard: "POST", Help: "or `PUT`, `PATCH`, `DELETE`"},
			{Name: "headers", Standard: "{}", Help: "sent with every request; none that begins with `Redrive-` or `Webhook-`"},
			{
				Name: "pass_headers", Standard: "[]",
				Help: "of `Authorization`, `Cookie` and `Proxy-Authorization`: those that a message may set; not of a file's upload",
			},
			{Name: "secret", Help: "signs by Standard Webhooks; `[new, former]` signs with both while the receiver changes over; not with an upload"},
			{Name: "timeout", Standard: "5s", Help: "of a whole attempt, 10ms to 5m; of a file beside `format`"},
			{
				Name:     "format",
				Standard: "native",
				Help:     "or `cloudevents` (binary mode), `cloudevents-structured`; not of a file's upload",
			},
		}},
	},
}

var verbs = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Block is an HTTP endpoint as written.
type Block struct {
	Format  string            `yaml:"format"`
	URL     string            `yaml:"url"`
	Method  string            `yaml:"method"`
	Headers map[string]string `yaml:"headers"`
	Pass    []string          `yaml:"pass_headers"`
	Secret  secrets           `yaml:"secret"`
	Timeout string            `yaml:"timeout"`
}

// Read checks the block that stands at path.
func (b *Block) Read(r *form.Reader, path string) *delivery.HTTPDestination {
	h := &delivery.HTTPDestination{
		URL:     readURL(r, path+"url", b.URL),
		Method:  readVerb(r, path+"method", b.Method),
		Headers: map[string]string{},
		Format:  readFormat(r, path+"format", b.Format),
		Timeout: r.Timeout(path+"timeout", b.Timeout),
	}
	h.Secret, h.Former = readSecrets(r, path+"secret", b.Secret)
	for name, value := range b.Headers {
		value = r.Expand(path+"headers", value)
		if !delivery.IsHeaderName(name) || !delivery.CanBeHeader(value) {
			r.Fail(path+"headers",
				"headers: %q is no header name, or its value is not one line of text without blanks at its ends", name)
		}
		refuseOurs(r, path, http.CanonicalHeaderKey(name), h.Format)
		h.Headers[http.CanonicalHeaderKey(name)] = value
	}
	for _, name := range b.Pass {
		if !delivery.LoginHeader(name) {
			r.Fail(path+"pass_headers", "pass_headers: %q passes always, or never; name Authorization, Cookie or Proxy-Authorization", name)
		}
		h.Pass = append(h.Pass, http.CanonicalHeaderKey(name))
	}
	return h
}

// refuseOurs refuses a header that would not be sent as it is set.
func refuseOurs(r *form.Reader, path, name string, format delivery.WireFormat) {
	switch {
	case delivery.OwnHeader(name):
		r.Fail(path+"headers", "headers: %s is set by Redrive, leave it out", name)
	case format == delivery.FormatStructured && name == "Content-Type":
		r.Fail(path+"headers", "headers: with format %s the Content-Type is application/cloudevents+json, leave it out", format)
	case format != delivery.FormatNative && strings.HasPrefix(name, "Ce-"):
		r.Fail(path+"headers", "headers: %s is an attribute of the CloudEvent, which is made of the message", name)
	}
}

func readFormat(r *form.Reader, path, text string) delivery.WireFormat {
	if delivery.WireFormat(text) == delivery.FormatStructured {
		return delivery.FormatStructured
	}
	if text != "" && delivery.WireFormat(text) != delivery.FormatNative &&
		delivery.WireFormat(text) != delivery.FormatCloudEvents {
		r.Fail(path, "format: %q is none of %s, %s and %s", text, delivery.FormatNative, delivery.FormatCloudEvents,
			delivery.FormatStructured)
		return delivery.FormatNative
	}
	return r.Format(path, text)
}

func readURL(r *form.Reader, path, text string) string {
	text = r.Expand(path, text)
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		r.Fail(path, "url: an http:// or https:// address is needed")
	} else if port, err := strconv.ParseUint("0"+u.Port(), 10, 16); err != nil || port == 0 && u.Port() != "" {
		r.Fail(path, "url: the port must be 1 to 65535")
	}
	return text
}

// secrets is one, or the present and the former one.
type secrets []string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (s *secrets) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		if one != "" {
			*s = secrets{one}
		}
		return nil
	}
	return unmarshal((*[]string)(s))
}

func readSecrets(r *form.Reader, path string, list secrets) (present, former string) {
	if len(list) > 2 {
		r.Fail(path, "secret: there are %d; the present one signs, and beside it one former one", len(list))
		return "", ""
	}
	if len(list) > 0 {
		present = readSecret(r, path, list[0])
	}
	if len(list) == 2 {
		if former = readSecret(r, path, list[1]); present == "" || former == "" {
			r.Fail(path, "secret: one of the two is empty; leave it out")
		}
	}
	return present, former
}

// readSecret refuses what would sign nothing, or not with the key that was meant.
func readSecret(r *form.Reader, path, text string) string {
	secret := r.Expand(path, text)
	if secret == "" && text != "" {
		r.Fail(path, "secret: %s is empty, so nothing would be signed", text)
	}
	if encoded, prefixed := strings.CutPrefix(secret, secretPrefix); prefixed {
		if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
			r.Fail(path, "secret: it starts with %s, but what follows is not Base64", secretPrefix)
		}
	}
	return secret
}

func readVerb(r *form.Reader, path, verb string) string {
	if verb == "" {
		return http.MethodPost
	}
	if !slices.Contains(verbs, verb) {
		r.Fail(path, "method: %q is none of %s", verb, strings.Join(verbs, ", "))
	}
	return verb
}
