package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redrive/internal/cli"
)

// What only a room can know of its settings is told like any other mistake: with the file and the line.
func TestAStartErrorHasItsLine(t *testing.T) {
	database, dir := onFreshDatabase(t), t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no certificate, no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "gone")
	const batch = "    method: batch\n    batch: {schedule: \"0 0 * * *\", query: SELECT 1}\n"
	sftp := func(more string) string {
		return "    destination:\n      file:\n        format: csv\n        to:\n          sftp: {addr: \"127.0.0.1:1\", path: /, user: u, " + more + "}\n"
	}
	for name, tc := range map[string]struct{ integration, says string }{
		"a parameter of a query": {"    method: batch\n    batch:\n      schedule: \"0 0 * * *\"\n      query: SELECT :businessdate\n    destination: {table: {url: \"postgres://h/d\", table: t, key: [id]}}\n",
			"line 6: batch.query: the query names :businessdate"},
		"a start without a window": {"    method: batch\n    batch:\n      schedule: \"0 0 * * *\"\n      start: beginning\n      query: SELECT 1\n    destination: {table: {url: \"postgres://h/d\", table: t, key: [id]}}\n",
			"line 6: batch.start: "},
		"known_hosts":               {batch + sftp("password: p, known_hosts: "+gone), "line 9: destination.file.to.sftp.known_hosts: "},
		"the key of a server":       {batch + sftp("key: "+gone+", known_hosts: /dev/null"), "line 9: destination.file.to.sftp.key: "},
		"a key that is none":        {batch + sftp("key: "+text+", known_hosts: /dev/null"), "line 9: destination.file.to.sftp.key: "},
		"known_hosts of answers":    {"    method: batch\n    batch:\n      schedule: \"0 0 * * *\"\n      query: SELECT 1\n      acknowledgement:\n        sftp: {addr: \"h:1\", path: /, user: u, password: p, known_hosts: " + gone + "}\n    destination: {file: {format: csv, to: {dir: " + dir + "}}}\n", "line 8: batch.acknowledgement.sftp.known_hosts: "},
		"an upload that is signed":  {batch + "    destination:\n      file:\n        format: csv\n        to: {http: {url: \"http://h/\", secret: s}}\n", "line 8: destination.file.to.http.secret: "},
		"a batch's signed request":  {batch + "    destination:\n      http: {url: \"http://h/\", secret: s}\n", "line 6: destination.http.secret: "},
		"an upload with a manifest": {batch + "    destination:\n      file:\n        format: csv\n        manifest: true\n        to: {http: {url: \"http://h/\"}}\n", "line 9: destination.file.to.http.url: "},
		"authorities of Redis":      {"    method: outbox\n    destination:\n      redis:\n        addr: h:1\n        channel: c\n        tls: {ca: " + gone + "}\n", "line 8: destination.redis.tls.ca: "},
		"authorities of RabbitMQ":   {"    method: outbox\n    destination:\n      rabbitmq:\n        url: amqps://h\n        routing_key: c\n        tls: {ca: " + text + "}\n", "line 8: destination.rabbitmq.tls.ca: "},
		"certificate of Kafka":      {"    method: outbox\n    destination:\n      kafka:\n        brokers: [h:1]\n        topic: c\n        tls: {cert: " + gone + ", key: " + gone + "}\n", "line 8: destination.kafka.tls.cert: "},
		"authorities of a source":   {"    method: broker\n    broker:\n      redis:\n        addr: h:1\n        channel: c\n        tls: {ca: " + gone + "}\n    destination: {http: {url: \"http://h\"}}\n", "line 8: broker.redis.tls.ca: "},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "integrations.yaml")
			if err := os.WriteFile(file, []byte("integrations:\n  - name: a\n"+tc.integration), 0o600); err != nil {
				t.Fatal(err)
			}
			p := launch(t, []string{"serve"}, database, "REDRIVE_CONFIG="+file, "REDRIVE_DATA_DIR="+t.TempDir())
			if p.url == "" {
				p.wait()
			}
			code := p.cmd.ProcessState.ExitCode()
			if want := "redrive: " + file + " " + tc.says; code != cli.ExitUsage || !strings.HasPrefix(p.output(), want) {
				t.Errorf("exit code %d, said %q, want %s…", code, p.output(), want)
			}
			d := launch(t, []string{"doctor"}, database, "REDRIVE_CONFIG="+file)
			d.wait()
			if want := "bad   REDRIVE_CONFIG: " + file + " " + tc.says; d.cmd.ProcessState.ExitCode() != cli.ExitFailed || !strings.Contains(d.output(), want) || !strings.Contains(d.output(), "ok    database\n") {
				t.Errorf("doctor: exit code %d, said %q, want %s…", d.cmd.ProcessState.ExitCode(), d.output(), want)
			}
		})
	}
}
