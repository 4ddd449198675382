package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"redrive/delivery"
	"redrive/delivery/schema"
)

// What people at the desk work with: the schema that an edited payload must fit, and where tickets are.

const (
	maxSchema   = 1 << 20
	ticketPlace = "{ticket}"
)

// schema reads the file beside the integrations file.
func (c *checker) schema(i int, r rawIntegration) schema.Checker {
	at, path := at(i, "schema"), c.Expand(at(i, "schema"), r.Schema)
	if r.Method == string(delivery.MethodBatch) {
		c.Fail(at, "schema: what a batch sends is not edited; leave it out")
		return schema.Checker{}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(c.name), path)
	}
	raw, err := readSchema(path)
	if err != nil {
		c.Fail(at, "schema: %s cannot be read: %s", r.Schema, err)
		return schema.Checker{}
	}
	checker, err := schema.Compile(raw)
	if err != nil {
		c.Fail(at, "schema: %s: %s", r.Schema, err)
	}
	return checker
}

func readSchema(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	case err == nil && info.Size() > maxSchema:
		return nil, errors.New("it has more than 1 MiB")
	}
	raw, err := os.ReadFile(path)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err // the path is named already
	}
	return raw, err
}

func (c *checker) ticketURL(text string) string {
	if text == "" {
		return ""
	}
	address := c.Expand("$.ticket_url", text)
	parsed, err := url.Parse(address) // refuses braces in a host
	switch {
	case !strings.Contains(address, ticketPlace):
		c.Fail("$.ticket_url", "ticket_url: %q has no {ticket} in it, such as https://tracker.example/browse/{ticket}", text)
	case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil:
		c.Fail("$.ticket_url", "ticket_url: %q is no address such as https://tracker.example/browse/{ticket}", text)
	}
	return address
}
