package config

import (
	"fmt"
	"strings"
	"testing"

	"redrive/delivery/kinds"
)

// Wherever a password or a token may stand in the settings of a source or a destination, as it is or by a reference, no address of it says
// so: pages, API, logs, gaps and the doctor tell sources and destinations by their address.
func TestNoAddressSaysASecret(t *testing.T) {
	const literal, looked = "hide-literal-1", "hide-looked-up-2"
	const sasl = `sasl: {mechanism: plain, username: u, password: "SECRET"}`
	const query = "method: batch\n    batch: {schedule: '0 1 * * *', query: SELECT 1 AS a}\n    "
	// with SECRET for what hides; a reference may stand in what is no secret by itself, too
	cases := map[string][]string{
		"destination http":     {`destination: {http: {url: "http://u:SECRET@h/REFERENCE?token=SECRET#SECRET", headers: {X-Api-Key: "SECRET", Authorization: "Bearer SECRET"}, secret: ["SECRET", "SECRET"]}}`},
		"destination kafka":    {`destination: {kafka: {brokers: ["h:1"], topic: "REFERENCE", ` + sasl + `}}`},
		"destination rabbitmq": {`destination: {rabbitmq: {url: "amqp://u:SECRET@h/v?token=SECRET", exchange: "REFERENCE", routing_key: r}}`},
		"destination redis":    {`destination: {redis: {addr: "h:1", username: u, password: "SECRET", channel: "REFERENCE"}}`},
		"destination table":    {query + `destination: {table: {url: "postgres://u:SECRET@h/REFERENCE?password=SECRET", table: t, key: [a], columns: [a]}}`},
		"destination file": {query + `destination: {file: {format: csv, columns: [a], to: {http: {url: "http://u:SECRET@h/REFERENCE/{name}?sig=SECRET", method: PUT}}}}`,
			query + `destination: {file: {format: csv, columns: [a], to: {dir: "/tmp/REFERENCE"}}}`},
		"source redis":    {`broker: {redis: {addr: "h:1", username: u, password: "SECRET", channel: "REFERENCE"}}`},
		"source rabbitmq": {`broker: {rabbitmq: {url: "amqp://u:SECRET@h/REFERENCE?token=SECRET", queue: "REFERENCE"}}`},
		"source kafka":    {`broker: {kafka: {brokers: ["h:1", "REFERENCE:2"], topic: t, group: g, ` + sasl + `}}`},
		"source cdc":      {`cdc: {url: "postgres://u:SECRET@h/REFERENCE?password=SECRET&sslkey=SECRET", slot: s, tables: [{table: public.a}]}`},
	}
	for _, kind := range kinds.Destinations() {
		if cases["destination "+kind.Name] == nil {
			t.Errorf("destination %s is not tried", kind.Name)
		}
	}
	for _, kind := range kinds.Sources() {
		if cases["source "+kind.Name] == nil {
			t.Errorf("source %s is not tried", kind.Name)
		}
	}
	lookup := func(name string) (string, bool) { return looked, name == "MY_TOKEN" }
	for what, blocks := range cases {
		for _, block := range blocks {
			for _, secret := range []string{literal, "${MY_TOKEN}"} {
				text := "integrations:\n  - name: a\n    " + strings.NewReplacer("SECRET", secret, "REFERENCE", "${MY_TOKEN}").Replace(block) + "\n"
				switch {
				case strings.HasPrefix(what, "source cdc"):
					text += "    method: cdc\n    destination: {http: {url: http://h/}}\n"
				case strings.HasPrefix(what, "source"):
					text += "    method: broker\n    destination: {http: {url: http://h/}}\n"
				case !strings.HasPrefix(block, "method: batch"):
					text += "    method: outbox\n"
				}
				f, err := Parse("f.yaml", []byte(text), lookup)
				if err != nil {
					t.Errorf("%s: %v\n%s", what, err, text)
					continue
				}
				in := f.Integrations[0]
				said := in.Destination.Address() + " " + fmt.Sprint(f.Locate("a", fmt.Errorf("dialling %s", in.Destination.Address())))
				if in.Broker != nil {
					said += " " + in.Broker.Address()
				}
				if in.CDC != nil {
					said += " " + in.CDC.Address()
				}
				if strings.Contains(said, literal) || strings.Contains(said, looked) || !strings.Contains(said, "${MY_TOKEN}") {
					t.Errorf("%s: %s", what, said)
				}
			}
		}
	}
	// an address is no place for a login: it would be shown as a host
	for _, addr := range []string{"u:" + literal + "@h:1", literal + "@h:1"} {
		_, err := Parse("f.yaml", []byte("integrations:\n  - name: a\n    method: outbox\n    destination: {redis: {addr: \""+addr+"\", channel: c}}\n"), lookup)
		if err == nil || strings.Contains(err.Error(), literal) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
