package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"redrive/delivery/form"
	"redrive/delivery/kinds"
)

// pages are the lists of docs/settings.md: what every integration has, then the kinds of destinations and sources, then captured
// changes and batches with the destinations that only these have.
func pages() (list []form.Page) {
	list = append(list, general...)
	for _, kind := range kinds.Destinations() {
		if kind.Batch.Only == "" && !shared(kind.Block.Type) {
			list = append(list, kind.Pages...)
		}
	}
	for _, kind := range kinds.Sources() {
		list = append(list, kind.Pages...)
	}
	list = append(append(list, form.TLSPage, form.SASLPage, form.TokenPage), captureAndBatch...)
	for _, kind := range kinds.Destinations() {
		if kind.Batch.Only != "" {
			list = append(list, kind.Pages...)
		}
	}
	return list
}

// shared reports whether a block of destinations is one of sources too.
func shared(block reflect.Type) bool {
	return slices.ContainsFunc(kinds.Sources(), func(kind form.Source) bool { return kind.Block.Type == block })
}

var general = []form.Page{
	{Where: "the file", Of: reflect.TypeFor[rawFile](), Settings: []form.Setting{
		{Name: "ticket_url", Help: "address with `{ticket}` in it: makes links of the tickets that people note on failures"},
	}},
	{Where: "`four_eyes` (of the file; in an integration what is other there)", Of: reflect.TypeFor[rawFourEyes](), Settings: []form.Setting{
		{Name: "bulk_over", Help: "operations on more than so many failures of the integration, 0 for all operations; none: of any size go alone"},
		{Name: "edit", Standard: "false", Help: "another payload or other headers"},
		{Name: "ignore_for_good", Standard: "false", Help: "ignoring without an end"},
		{Name: "resend", Standard: "false", Help: "what may have had its effect already, runs of a batch by hand, and tables that are read anew"},
		{Name: "expires", Standard: "24h", Help: "how long a request is open, 1m to 720h"},
	}},
	{Where: "`network`", Of: reflect.TypeFor[rawNetwork](), Settings: []form.Setting{
		{
			Name: "allow",
			Help: "address ranges that may be dialled; none: all but link-local and cloud metadata addresses, which never may",
		},
		{Name: "deny", Help: "address ranges that may not be dialled, also inside `allow`"},
	}},
	{Where: "each of `integrations`", Of: reflect.TypeFor[rawIntegration](), Settings: []form.Setting{
		{Name: "name", Required: true, Help: "1 to 63 of a-z, 0-9 and hyphens"},
		{Name: "description", Help: "one line for people"},
		{Name: "method", Required: true, Help: "`pool`, `broker`, `outbox`, `batch` or `cdc`"},
		{Name: "subscribe", Help: "event types; of a broker's messages others are acknowledged and not delivered"},
		{
			Name:     "idempotent",
			Standard: "false",
			Help:     "the receiver drops duplicates by key: an unknown outcome is tried again instead of waiting for a person; a directory, an SFTP server and a table are looked at and need it not",
		},
		{Name: "ordered", Standard: "false", Help: "strictly in the order of each key; not with `pool` and `batch`"},
		{
			Name:     "on_dead",
			Standard: "block",
			Help:     "with `ordered`: `block` lets the later ones of the key wait for a person, `skip` lets them go on",
		},
		{Name: "on_failure", Standard: "dead-letter", Help: "or `ignore`: what finally fails is settled by policy"},
		{Name: "concurrency", Standard: "16", Help: "attempts at the same time, 1 to 1000"},
		{Name: "mask", Help: "what people, logs and search do not see: JSON paths such as `$.phone`, `header:NAME`, `column:NAME` of CSV, `key=value` lines and rows, `pattern:EXPRESSION` (RE2), and `detect:` with `resident`, `card`, `phone` or `email`"},
		{Name: "subject", Help: "where a message says whose data it is: a path to one value such as `$.customer.id`, or `header:NAME`; who looked at it, and what there is of it, is found by that"},
		{Name: "labels", Help: "keys like names with a value each, such as `{team: shop}`: rights can be given for all integrations that have them, and the overview folds by them what is quiet"},
		{Name: "runbook", Help: "address of a page that says what to do when it fails; linked from the integration's page"},
		{Name: "schema", Help: "JSON Schema file, beside this one, that edited payloads must fit; not with `batch`"},
	}},
	{Where: "`retry`", Of: reflect.TypeFor[rawRetry](), Settings: []form.Setting{
		{
			Name:     "attempts",
			Standard: "8",
			Help:     "in one round, 1 to 100; one more than `backoff` has entries where that is given; of a pool 2",
		},
		{
			Name:     "backoff",
			Standard: "[5s, 5m, 30m, 2h, 5h, 10h, 10h]",
			Help:     "wait after the first, second … failure, up to 720h each; the last repeats; of a pool `[500ms]`",
		},
		{Name: "jitter", Standard: "full", Help: "`full`: a random time up to the wait; `none`; of a pool `none`"},
	}},
	{Where: "`pool`", Of: reflect.TypeFor[rawPool](), Settings: []form.Setting{
		{Name: "workers", Standard: "50", Help: "1 to 10000"},
		{Name: "queue", Standard: "1000", Help: "tasks that wait for a worker, 1 to 1000000"},
		{Name: "when_full", Standard: "block", Help: "or `caller-runs`, `journal`"},
	}},
	{Where: "`outbox`", Of: reflect.TypeFor[rawOutbox](), Settings: []form.Setting{
		{
			Name:     "start",
			Standard: "now",
			Help:     "or `beginning`, or a time such as `2026-01-31T00:00:00Z`: from where on a new subscriber gets events; counts when the integration is first seen",
		},
	}},
	{Where: "`broker`", Of: brokerType(), Settings: []form.Setting{
		{
			Name:     "dead_letters",
			Standard: "false",
			Help: "the source is somebody else's dead-letter queue; then there is no destination: a retry goes back to where an entry died. " +
				"Or `{original: …}`, which is true",
		},
		{Name: "prefetch", Help: "messages held at the same time, 1 to 10000; where nothing is said 1024 of `kafka`, else 256"},
		{
			Name:     "on_gap",
			Standard: "go-on",
			Help:     "`kafka`: or `stop`: when records were lost that were not read, the integration is paused, and nothing behind them is read",
		},
	}},
	{Where: "`broker.dead_letters`", Of: reflect.TypeFor[rawOriginals](), Settings: []form.Setting{
		{
			Name: "original",
			Help: "`kafka`: `fetch` reads the record that died from its topic, `as-is` takes the dead letter for it; none: `fetch` of those who " +
				"write dead letters without headers",
		},
	}},
}

var captureAndBatch = []form.Page{
	{Where: "`cdc`", Of: reflect.TypeFor[rawCDC](), Settings: []form.Setting{
		{Name: "url", Help: "`postgres://…` of the source; none: the database of Redrive itself"},
		{Name: "publication", Help: "none: `redrive_` and the integration's name, hyphens as underscores"},
		{Name: "slot", Help: "the same"},
		{Name: "snapshot", Standard: "false", Help: "rows that are there already come first"},
		{Name: "heartbeat", Standard: "10s", Help: "1s to 1h: keeps an idle slot moving"},
		{Name: "alarm", Standard: "256MB", Help: "of the source's log held back, from 1MB"},
	}},
	{Where: "each of `cdc.tables`", Of: reflect.TypeFor[rawCDCTable](), Settings: []form.Setting{
		{Name: "table", Required: true, Help: "schema.table; other letters in double quotes"},
		{Name: "operations", Help: "of `insert`, `update`, `delete`, `truncate`, `snapshot`; none: all"},
		{Name: "columns", Help: "those that travel; none: all"},
		{Name: "when", Help: "expression: only rows for which it is true"},
		{Name: "type", Help: "template of the message's type; none: `schema.table.operation`"},
		{Name: "key", Help: "expression; none: the row's identity"},
		{Name: "payload", Help: "expression; none: the whole change"},
		{Name: "to", Help: "integrations that get each change as a command; none: this one"},
		{Name: "publish", Standard: "false", Help: "each change is an event instead"},
	}},
	{Where: "`batch`", Of: reflect.TypeFor[rawBatch](), Settings: []form.Setting{
		{
			Name:     "schedule",
			Required: true,
			Help:     "minute, hour, day, month, weekday as in a crontab (7, `5-7`, `mon-sun`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`",
		},
		{Name: "time_zone", Standard: "UTC", Help: "such as `Asia/Seoul`"},
		{Name: "query", Help: "SQL; none: the events of `subscribe` since the last run"},
		{Name: "url", Help: "`postgres://…` that the query reads; none: the database of Redrive itself"},
		{Name: "start", Standard: "now", Help: "or `beginning`: of the first window"},
		{Name: "missed", Standard: "catch-up", Help: "or `skip`: runs whose time passed while nothing ran"},
		{Name: "business_date", Standard: "previous-day", Help: "or `same-day`"},
		{Name: "empty", Standard: "skip", Help: "or `send`: a file without rows"},
		{Name: "name", Standard: "'{integration}_{business_date}_{sequence}.{ext}'", Help: "of files"},
		{Name: "control_total", Help: "column whose sum is recorded"},
		{Name: "per", Standard: "file", Help: "or `row`: one request for each row"},
		{Name: "key", Help: "with `per: row`: column that is the message's key"},
	}},
	{Where: "`batch.acknowledgement`", Of: reflect.TypeFor[rawAcknowledgement](), Settings: []form.Setting{
		{Name: "dir", Help: "where the answers lie; none: beside the files"},
		{Name: "every", Standard: "1m", Help: "how often they are looked for, 1s to 24h"},
	}},
}

// SettingsTable is the reference of the integrations file, in Markdown.
func SettingsTable() string {
	var out strings.Builder
	for _, b := range pages() {
		fmt.Fprintf(&out, "\n### %s%s\n\n| setting | default | meaning |\n|---|---|---|\n",
			strings.ToUpper(b.Where[:1]), b.Where[1:])
		for _, s := range b.Settings {
			standard := "none"
			switch {
			case s.Required:
				standard = "required"
			case s.Standard != "":
				standard = "`" + s.Standard + "`"
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", s.Name, standard, s.Help)
		}
	}
	return out.String()
}
