package config

import (
	"fmt"
	"reflect"
	"strings"
)

// setting is one setting of the integrations file as docs/settings.md lists it. A test holds the defaults against the program
// and the list against the settings that there are.
type setting struct {
	name     string
	standard string // as it would be written; empty: none
	required bool   // there is no default: it must be given
	help     string
}

// block is a part of the file with settings of its own.
type block struct {
	where    string
	of       reflect.Type // as written
	settings []setting
}

var blocks = []block{
	{"the file", reflect.TypeFor[rawFile](), []setting{
		{name: "ticket_url", help: "address with `{ticket}` in it: makes links of the tickets that people note on failures"},
	}},
	{"`network`", reflect.TypeFor[rawNetwork](), []setting{
		{name: "allow", help: "address ranges that may be dialled; none: all but link-local and cloud metadata addresses, which never may"},
		{name: "deny", help: "address ranges that may not be dialled, also inside `allow`"},
	}},
	{"each of `integrations`", reflect.TypeFor[rawIntegration](), []setting{
		{name: "name", required: true, help: "1 to 63 of a-z, 0-9 and hyphens"},
		{name: "description", help: "one line for people"},
		{name: "method", required: true, help: "`pool`, `broker`, `outbox`, `batch` or `cdc`"},
		{name: "subscribe", help: "event types; of a broker's messages others are acknowledged and not delivered"},
		{name: "idempotent", standard: "false", help: "the receiver drops duplicates by key: an unknown outcome is tried again instead of waiting for a person; a directory, an SFTP server and a table are looked at and need it not"},
		{name: "ordered", standard: "false", help: "strictly in the order of each key; not with `pool` and `batch`"},
		{name: "on_dead", standard: "block", help: "with `ordered`: `block` lets the later ones of the key wait for a person, `skip` lets them go on"},
		{name: "on_failure", standard: "dead-letter", help: "or `ignore`: what finally fails is settled by policy"},
		{name: "concurrency", standard: "16", help: "attempts at the same time, 1 to 1000"},
		{name: "mask", help: "JSON paths of the payload that people, logs and search do not see"},
		{name: "schema", help: "JSON Schema file, beside this one, that edited payloads must fit; not with `batch`"},
	}},
	{"`retry`", reflect.TypeFor[rawRetry](), []setting{
		{name: "attempts", standard: "8", help: "in one round, 1 to 100; one more than `backoff` has entries where that is given; of a pool 2"},
		{name: "backoff", standard: "[5s, 5m, 30m, 2h, 5h, 10h, 10h]", help: "wait after the first, second … failure, up to 720h each; the last repeats; of a pool `[500ms]`"},
		{name: "jitter", standard: "full", help: "`full`: a random time up to the wait; `none`; of a pool `none`"},
	}},
	{"`pool`", reflect.TypeFor[rawPool](), []setting{
		{name: "workers", standard: "50", help: "1 to 10000"},
		{name: "queue", standard: "1000", help: "tasks that wait for a worker, 1 to 1000000"},
		{name: "when_full", standard: "block", help: "or `caller-runs`, `journal`"},
	}},
	{"`outbox`", reflect.TypeFor[rawOutbox](), []setting{
		{name: "start", standard: "now", help: "or `beginning`, or a time such as `2026-01-31T00:00:00Z`: from where on a new subscriber gets events; counts when the integration is first seen"},
	}},
	{"`broker`", reflect.TypeFor[rawBroker](), []setting{
		{name: "dead_letters", standard: "false", help: "the source is somebody else's dead-letter queue; then there is no destination: a retry goes back to where an entry died"},
		{name: "prefetch", standard: "256", help: "messages held at the same time, 1 to 10000"},
	}},
	{"`http` (`destination`, `destination.file.to`)", reflect.TypeFor[rawHTTP](), []setting{
		{name: "url", required: true, help: "`http://` or `https://`"},
		{name: "method", standard: "POST", help: "or `PUT`, `PATCH`, `DELETE`"},
		{name: "headers", standard: "{}", help: "sent with every request; none that begins with `Redrive-` or `Webhook-`"},
		{name: "secret", help: "signs by Standard Webhooks; not with an upload"},
		{name: "timeout", standard: "5s", help: "of a whole attempt, 10ms to 5m; of a file beside `format`"},
		{name: "format", standard: "native", help: "or `cloudevents` (binary mode), `cloudevents-structured`; not of a file's upload"},
	}},
	{"`redis` (`destination`, `broker`)", reflect.TypeFor[rawRedis](), []setting{
		{name: "addr", required: true, help: "host:port"},
		{name: "username", help: "of Redis's ACL"},
		{name: "password", help: ""},
		{name: "db", standard: "0", help: "of the connection; channels know no databases"},
		{name: "channel", required: true, help: ""},
		{name: "require_subscribers", standard: "0", help: "destination: fewer listeners are a failure"},
		{name: "format", standard: "native", help: "or `cloudevents`"},
		{name: "timeout", standard: "5s", help: "destination: of a whole attempt, 10ms to 5m"},
	}},
	{"`rabbitmq` (`destination`, `broker`)", reflect.TypeFor[rawRabbitMQ](), []setting{
		{name: "url", required: true, help: "`amqp://` or `amqps://`, with user, password and virtual host"},
		{name: "exchange", help: "destination: none is the default exchange, whose routing key is a queue"},
		{name: "routing_key", help: "destination"},
		{name: "queue", required: true, help: "source"},
		{name: "format", standard: "native", help: "or `cloudevents`"},
		{name: "timeout", standard: "5s", help: "destination: of a whole attempt, 10ms to 5m"},
	}},
	{"`kafka` (`destination`, `broker`)", reflect.TypeFor[rawKafka](), []setting{
		{name: "brokers", required: true, help: "list of host:port"},
		{name: "topic", required: true, help: ""},
		{name: "group", required: true, help: "source: the consumer group"},
		{name: "format", standard: "native", help: "or `cloudevents`"},
		{name: "timeout", standard: "5s", help: "destination: of a whole attempt, 10ms to 5m"},
	}},
	{"`tls` (of `redis`, `rabbitmq`, `kafka`)", reflect.TypeFor[rawTLS](), []setting{
		{name: "ca", help: "PEM file of authorities; none: the system's"},
		{name: "cert", help: "PEM file of the client's certificate, with `key`"},
		{name: "key", help: "PEM file of its key"},
		{name: "server_name", help: "that the certificate must have; none: the address's host"},
	}},
	{"`sasl` (of `kafka`)", reflect.TypeFor[rawSASL](), []setting{
		{name: "mechanism", required: true, help: "`plain`, `scram-sha-256` or `scram-sha-512`"},
		{name: "username", required: true, help: ""},
		{name: "password", required: true, help: ""},
	}},
	{"`cdc`", reflect.TypeFor[rawCDC](), []setting{
		{name: "url", help: "`postgres://…` of the source; none: the database of Redrive itself"},
		{name: "publication", help: "none: `redrive_` and the integration's name, hyphens as underscores"},
		{name: "slot", help: "the same"},
		{name: "snapshot", standard: "false", help: "rows that are there already come first"},
		{name: "heartbeat", standard: "10s", help: "1s to 1h: keeps an idle slot moving"},
		{name: "alarm", standard: "256MB", help: "of the source's log held back, from 1MB"},
	}},
	{"each of `cdc.tables`", reflect.TypeFor[rawCDCTable](), []setting{
		{name: "table", required: true, help: "schema.table; other letters in double quotes"},
		{name: "operations", help: "of `insert`, `update`, `delete`, `truncate`, `snapshot`; none: all"},
		{name: "columns", help: "those that travel; none: all"},
		{name: "when", help: "expression: only rows for which it is true"},
		{name: "type", help: "template of the message's type; none: `schema.table.operation`"},
		{name: "key", help: "expression; none: the row's identity"},
		{name: "payload", help: "expression; none: the whole change"},
		{name: "to", help: "integrations that get each change as a command; none: this one"},
		{name: "publish", standard: "false", help: "each change is an event instead"},
	}},
	{"`batch`", reflect.TypeFor[rawBatch](), []setting{
		{name: "schedule", required: true, help: "minute, hour, day, month, weekday as in a crontab (7, `5-7`, `mon-sun`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`"},
		{name: "time_zone", standard: "UTC", help: "such as `Asia/Seoul`"},
		{name: "query", help: "SQL; none: the events of `subscribe` since the last run"},
		{name: "url", help: "`postgres://…` that the query reads; none: the database of Redrive itself"},
		{name: "start", standard: "now", help: "or `beginning`: of the first window"},
		{name: "missed", standard: "catch-up", help: "or `skip`: runs whose time passed while nothing ran"},
		{name: "business_date", standard: "previous-day", help: "or `same-day`"},
		{name: "empty", standard: "skip", help: "or `send`: a file without rows"},
		{name: "name", standard: "'{integration}_{business_date}_{sequence}.{ext}'", help: "of files"},
		{name: "control_total", help: "column whose sum is recorded"},
		{name: "per", standard: "file", help: "or `row`: one request for each row"},
		{name: "key", help: "with `per: row`: column that is the message's key"},
	}},
	{"`batch.acknowledgement`", reflect.TypeFor[rawAcknowledgement](), []setting{
		{name: "dir", help: "where the answers lie; none: beside the files"},
		{name: "every", standard: "1m", help: "how often they are looked for, 1s to 24h"},
	}},
	{"`destination.file`", reflect.TypeFor[rawFileDestination](), []setting{
		{name: "format", required: true, help: "`csv`, `kv` or `json`"},
		{name: "columns", help: "of the query, or `{name in the file: column}`; none: all"},
		{name: "header", standard: "true", help: "csv only: the first line has the names; of other formats false"},
		{name: "delimiter", help: "csv only; none: a comma"},
		{name: "encoding", standard: "utf-8", help: "or `utf-8-bom`, `euc-kr`"},
		{name: "guard", standard: "false", help: "csv only: a spreadsheet takes no cell for a formula"},
		{name: "gzip", standard: "false", help: ""},
		{name: "array", standard: "false", help: "json only: one array instead of a line for each row"},
		{name: "manifest", standard: "false", help: "a second file with length, SHA-256, rows and sums"},
		{name: "timeout", standard: "1m", help: "of a whole file, 1s to 1h"},
	}},
	{"`destination.file.to`: one of `dir`, `sftp`, `http`", reflect.TypeFor[rawFileTarget](), []setting{
		{name: "dir", help: "directory"},
	}},
	{"`sftp` (`destination.file.to`, `batch.acknowledgement`)", reflect.TypeFor[rawSFTP](), []setting{
		{name: "addr", required: true, help: "host:port"},
		{name: "path", required: true, help: "directory on the server"},
		{name: "user", required: true, help: ""},
		{name: "password", help: "this, or `key`"},
		{name: "key", help: "file of a private key"},
		{name: "passphrase", help: "of the key"},
		{name: "known_hosts", required: true, help: "file that holds the server's key"},
	}},
	{"`destination.table`", reflect.TypeFor[rawTable](), []setting{
		{name: "url", required: true, help: "`postgres://…`"},
		{name: "table", required: true, help: "schema.table, read as SQL reads it: `public.points`, `public.\"Points\"`"},
		{name: "key", required: true, help: "columns of a unique constraint by which rows are replaced"},
		{name: "columns", help: "of the query, or `{column of the table: column}`; none: all"},
		{name: "overriding_system_value", standard: "false", help: "values of the file go into columns that are `GENERATED ALWAYS AS IDENTITY`"},
		{name: "timeout", standard: "1m", help: "of a whole run, 1s to 1h"},
	}},
}

// SettingsTable is the reference of the integrations file, in Markdown.
func SettingsTable() string {
	var out strings.Builder
	for _, b := range blocks {
		fmt.Fprintf(&out, "\n### %s%s\n\n| setting | default | meaning |\n|---|---|---|\n", strings.ToUpper(b.where[:1]), b.where[1:])
		for _, s := range b.settings {
			standard := "none"
			switch {
			case s.required:
				standard = "required"
			case s.standard != "":
				standard = "`" + s.standard + "`"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", s.name, standard, s.help)
		}
	}
	return out.String()
}
