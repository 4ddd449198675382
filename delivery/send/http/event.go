package httpsend

import (
	"net/http"
	"strings"

	"redrive/delivery"
	"redrive/delivery/wire"
)

const (
	attributePrefix = "Ce-" // of an attribute in the binary mode of the CloudEvents HTTP binding
	structuredType  = "application/cloudevents+json; charset=utf-8"
)

// content is what is sent: the payload as it is, or the CloudEvent that has it. The attributes of a binary one go into the header.
func (s *Sender) content(header http.Header, r delivery.Request) ([]byte, error) {
	payload := r.Message.Payload
	if s.to.Format != delivery.FormatCloudEvents && s.to.Format != delivery.FormatStructured {
		return payload, nil
	}
	r.Message.Headers = map[string]string{
		"Content-Type": header.Get("Content-Type"),
	} // the others travel as headers, not as attributes
	for name, values := range header {
		if strings.HasPrefix(name, attributePrefix) {
			r.Message.Headers[name] = values[0]
			delete(header, name)
		}
	}
	attributes, err := wire.EventAttributes(r)
	if err != nil {
		return nil, err
	}
	if s.to.Format == delivery.FormatStructured {
		header["Content-Type"] = []string{structuredType}
		return wire.StructuredEvent(attributes, payload)
	}
	delete(attributes, "datacontenttype") // the header Content-Type
	for name, value := range attributes {
		header.Set(attributePrefix+name, delivery.EncodeHeader(value))
	}
	return payload, nil
}
