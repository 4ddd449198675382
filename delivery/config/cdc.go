package config

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/form"
)

const (
	defaultHeartbeat = 10 * time.Second
	defaultAlarm     = 256 << 20
	minAlarm         = 1 << 20
)

var (
	sizeShape  = regexp.MustCompile(`^([0-9]+) ?([kMGT]?B)$`)
	sizeUnits  = map[string]float64{"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
	operations = []delivery.RowOperation{
		delivery.OpInsert,
		delivery.OpUpdate,
		delivery.OpDelete,
		delivery.OpTruncate,
		delivery.OpSnapshot,
	}
)

type rawCDC struct {
	URL         string        `yaml:"url"`
	Publication string        `yaml:"publication"`
	Slot        string        `yaml:"slot"`
	Snapshot    form.Truth    `yaml:"snapshot"`
	Heartbeat   string        `yaml:"heartbeat"`
	Alarm       string        `yaml:"alarm"` // bytes, such as 256MB
	Tables      []rawCDCTable `yaml:"tables"`
}

type rawCDCTable struct {
	Table      string     `yaml:"table"`
	Operations []string   `yaml:"operations"`
	Columns    []string   `yaml:"columns"`
	When       string     `yaml:"when"`
	Type       string     `yaml:"type"`
	Key        string     `yaml:"key"`
	Payload    string     `yaml:"payload"`
	To         []string   `yaml:"to"`
	Publish    form.Truth `yaml:"publish"`
}

func (c *checker) cdc(i int, in rawIntegration) *delivery.CDCSource {
	if in.Method != string(delivery.MethodCDC) {
		return nil
	}
	r, path := in.CDC, at(i, "cdc.")
	if r == nil {
		c.Fail(at(i, "method"), "cdc: missing; write cdc: {tables: [{table: public.orders}]}")
		return nil
	}
	standard := "redrive_" + strings.ReplaceAll(in.Name, "-", "_")
	s := &delivery.CDCSource{
		URL:         c.postgresURL(path+"url", r.URL),
		Snapshot:    bool(r.Snapshot),
		Heartbeat:   defaultHeartbeat,
		Publication: c.slotName(path+"publication", "cdc.publication", r.Publication, standard),
		Slot:        c.slotName(path+"slot", "cdc.slot", r.Slot, standard),
		AlarmBytes:  c.size(path+"alarm", "cdc.alarm", r.Alarm, defaultAlarm),
	}
	if r.Heartbeat != "" {
		s.Heartbeat = c.Duration(path+"heartbeat", "cdc.heartbeat", r.Heartbeat, time.Second, time.Hour)
	}
	if len(r.Tables) == 0 {
		c.Fail(at(i, "cdc"), "cdc.tables: missing; write tables: [{table: public.orders}]")
	}
	for n, table := range r.Tables {
		s.Rules = append(s.Rules, c.cdcRule(fmt.Sprintf("%stables[%d]", path, n), table, bool(r.Snapshot)))
	}
	return s
}

func (c *checker) postgresURL(path, text string) string {
	text = c.Expand(path, text)
	if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
		c.Fail(path, "cdc.url: a postgres:// address is needed; without one the source is the database of Redrive itself")
	}
	return text
}

// slotName checks what Postgres takes as the name of a slot; publications follow the same rule, so that nothing need be quoted.
func (c *checker) slotName(path, setting, text, standard string) string {
	if text == "" {
		if len(standard) > delivery.MaxIdentifier {
			c.Fail(path, "%s: the name made of the integration's is longer than %d characters; write a shorter one",
				setting, delivery.MaxIdentifier)
		}
		return standard
	}
	if !delivery.IsSlotName(text) {
		c.Fail(path, "%s: %q must be 1 to 63 lower-case letters, digits or underscores", setting, text)
	}
	return text
}

// size reads bytes with one of Postgres's units.
func (c *checker) size(path, setting, text string, standard int64) int64 {
	if text == "" {
		return standard
	}
	parts := sizeShape.FindStringSubmatch(text)
	if parts == nil {
		c.Fail(path, "%s: %q is no size such as 512MB or 2GB", setting, text)
		return standard
	}
	number, _ := strconv.ParseFloat(parts[1], 64) // digits only
	bytes := number * sizeUnits[parts[2]]
	if bytes < minAlarm || bytes > math.MaxInt64/2 {
		c.Fail(path, "%s: %s is less than 1MB, or more than any disk holds", setting, text)
		return standard
	}
	return int64(bytes)
}

func (c *checker) cdcRule(path string, r rawCDCTable, snapshot bool) delivery.CDCRule {
	rule := delivery.CDCRule{
		Columns: r.Columns,
		When:    r.When,
		Type:    r.Type,
		Key:     r.Key,
		Payload: r.Payload,
		To:      r.To,
		Publish: bool(r.Publish),
		Line:    lineOf(c.data, path+".table"),
	}
	var ok bool
	if rule.Schema, rule.Table, ok = delivery.ParseTableName(r.Table); !ok || rule.Schema == "" {
		c.Fail(path+".table",
			"cdc.tables: %q is no table such as public.orders; quote a name of other letters, as in public.\"Order\"",
			r.Table)
	}
	for n, text := range r.Operations {
		op := delivery.RowOperation(text)
		switch {
		case !slices.Contains(operations, op):
			c.Fail(fmt.Sprintf("%s.operations[%d]", path, n),
				"operations: %q is none of insert, update, delete, truncate, snapshot", text)
		case op == delivery.OpSnapshot && !snapshot:
			c.Fail(fmt.Sprintf("%s.operations[%d]", path, n),
				"operations: there is no snapshot operation without cdc.snapshot: true")
		}
		rule.Operations = append(rule.Operations, op)
	}
	for n, column := range r.Columns {
		if column == "" || len(column) > delivery.MaxIdentifier {
			c.Fail(fmt.Sprintf("%s.columns[%d]", path, n), "columns: %q is no column's name", column)
		}
	}
	if bool(r.Publish) && len(r.To) > 0 {
		c.Fail(path+".publish", "publish and to exclude each other: an event goes to all that subscribe to its type")
	}
	return rule
}

// cdcTogether checks what needs all integrations: addressees and slots.
func (c *checker) cdcTogether(list []delivery.Integration) {
	slots := map[[2]string]string{}
	for i, in := range list {
		if in.CDC == nil {
			continue
		}
		slot := [2]string{in.CDC.URL, in.CDC.Slot}
		if other, taken := slots[slot]; taken {
			c.Fail(at(i, "cdc.slot"),
				"cdc.slot: %s reads slot %q of the same database already; a slot has one reader", other, in.CDC.Slot)
		}
		slots[slot] = in.Name
		for n, rule := range in.CDC.Rules {
			for m, name := range rule.To {
				c.addressee(fmt.Sprintf("%s.tables[%d].to[%d]", at(i, "cdc"), n, m), name, rule.To[:m], list)
			}
		}
	}
}

func (c *checker) addressee(path, name string, before []string, list []delivery.Integration) {
	switch to := slices.IndexFunc(list, func(in delivery.Integration) bool { return in.Name == name }); {
	case to < 0:
		c.Fail(path, "to: no integration of the file is named %q", name)
	case list[to].Method == delivery.MethodPool:
		c.Fail(path, "to: %s is a pool, which takes its commands in memory; name an outbox integration", name)
	case slices.Contains(before, name):
		c.Fail(path, "to: %q is named twice", name)
	}
}

// ownDestination reports whether a cdc integration sends anything itself, rather than leaving all to others.
func ownDestination(name string, s *delivery.CDCSource) bool {
	return s == nil || len(s.Rules) == 0 ||
		slices.ContainsFunc(s.Rules, func(r delivery.CDCRule) bool { return r.Addresses(name, name) })
}
