package handlers

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redrive/delivery"
	"redrive/delivery/engine"
	"redrive/handlers/web"
)

// The engine takes Metrics as its observer without either package knowing the other.
var _ engine.Observer = (*web.Metrics)(nil)

// sample is the value of one line of the exposition.
func (s *site) sample(line string) float64 {
	s.t.Helper()
	a := s.send("", "GET", "/metrics", "")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindSubmatch(a.body)
	if found == nil {
		s.t.Fatalf("no %s in %s", line, a.body)
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	s.must(err)
	return v
}

func TestMetricsCountWhatTheEngineReports(t *testing.T) {
	m := web.NewMetrics()
	s := newSite(t, func(c *web.Config) { c.Metrics = m })
	if got := s.sample(`redrive_deliveries_total{integration="push",method="outbox",outcome="ok"}`); got != 0 {
		t.Errorf("before: %v", got)
	}
	m.Attempt("push", delivery.MethodOutbox, delivery.OutcomeOK, 30*time.Millisecond)
	m.Attempt("push", delivery.MethodOutbox, delivery.OutcomeOK, time.Minute)
	m.Attempt("push", delivery.MethodOutbox, delivery.OutcomeTransient, time.Millisecond)
	m.Late(2)
	m.LeaseExpired(3)
	for line, want := range map[string]float64{
		`redrive_deliveries_total{integration="push",method="outbox",outcome="ok"}`:        2,
		`redrive_deliveries_total{integration="push",method="outbox",outcome="transient"}`: 1,
		`redrive_attempt_duration_seconds_count{integration="push"}`:                       3,
		`redrive_attempt_duration_seconds_bucket{integration="push",le="0.05"}`:            2,
		`redrive_late_outcomes_total`:                                                      2,
		`redrive_lease_expirations_total`:                                                  3,
	} {
		if got := s.sample(line); got != want {
			t.Errorf("%s is %v, want %v", line, got, want)
		}
	}
}

func TestMetricsShowTheBacklog(t *testing.T) {
	s := newSite(t)
	s.fail(delivery.Message{Integration: "push"}, "")
	for range 2 {
		_, err := s.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: "t"})
		s.must(err)
	}
	_, err := s.store.Claim(t.Context(), "w", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Minute}})
	s.must(err)
	for line, want := range map[string]float64{
		`redrive_backlog{integration="push",state="pending"}`: 1, `redrive_backlog{integration="push",state="sending"}`: 1,
		`redrive_backlog{integration="sms",state="pending"}`: 0, `redrive_dead_letters{integration="push"}`: 1,
		`redrive_oldest_pending_seconds{integration="sms"}`: 0,
	} {
		if got := s.sample(line); got != want {
			t.Errorf("%s is %v, want %v", line, got, want)
		}
	}
	if got := s.sample(`redrive_oldest_pending_seconds{integration="push"}`); got <= 0 || got > 60 {
		t.Errorf("oldest pending %v", got)
	}
}

// counted is a source of health that counts its readers.
type counted struct {
	mu    sync.Mutex
	reads int
	err   error
}

func (c *counted) Health(context.Context) ([]delivery.IntegrationHealth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return []delivery.IntegrationHealth{{IntegrationFigures: delivery.IntegrationFigures{IntegrationState: delivery.IntegrationState{Name: "push"}, Dead: c.reads}}}, c.err
}

func TestScrapesShareOneQuery(t *testing.T) {
	source, now := &counted{}, time.Unix(1000, 0)
	h := &web.HealthCollector{Source: source, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
	collect := func() (n int) {
		ch := make(chan prometheus.Metric, 100)
		h.Collect(ch)
		return len(ch)
	}
	if n := collect() + collect(); n != 10 || source.reads != 1 {
		t.Errorf("%d gauges of %d reads", n, source.reads)
	}
	now = now.Add(web.HealthCache)
	if collect(); source.reads != 2 {
		t.Errorf("%d reads after the cache's time", source.reads)
	}
	now, source.err = now.Add(web.HealthCache), errors.New("away")
	if n := collect(); n != 0 {
		t.Errorf("%d old gauges while the database is away", n)
	}
}

func TestMetricNamesAreTheContracts(t *testing.T) {
	s := newSite(t)
	body := string(s.send("", "GET", "/metrics", "").body)
	for _, name := range []string{"redrive_deliveries_total", "redrive_backlog", "redrive_oldest_pending_seconds", "redrive_dead_letters",
		"redrive_late_outcomes_total", "redrive_lease_expirations_total", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(body, "# TYPE "+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// Strangers are told nothing but whether all is well: neither names nor numbers nor the version, nor why something is not ready.
func TestMetricsAndHealthAreNotForStrangers(t *testing.T) {
	list := append(testIntegrations(), delivery.Integration{Name: "foreign", Method: delivery.MethodOutbox,
		Destination: delivery.Destination{To: &delivery.HTTPDestination{URL: "http://127.0.0.1:1/"}}})
	sites := map[web.MetricsAccess]*site{}
	for _, mode := range []web.MetricsAccess{"", web.MetricsOpen, web.MetricsToken} {
		sites[mode] = newSite(t, func(c *web.Config) { c.MetricsAccess, c.Integrations = mode, list })
		s := sites[mode]
		s.must(s.store.SyncIntegrations(t.Context(), list))
		s.grant("sees-push", delivery.Grant{Role: delivery.RoleViewer, Integrations: []string{"push"}})
		s.grant("sends", delivery.Grant{Permissions: []delivery.Permission{delivery.PermitSend}})
	}
	const process, sums = "go_goroutines", "redrive_late_outcomes_total"
	for _, c := range []struct {
		mode         web.MetricsAccess
		role, header string
		status       int
		all, own     bool // is shown everything, or what is its own
	}{
		{"", "", "", 200, true, true}, {web.MetricsOpen, "", "", 200, true, true}, {web.MetricsToken, "", "", 401, false, false},
		{"", "", "X-Forwarded-For", 401, false, false}, {"", "", "Forwarded", 401, false, false}, {"", "", "X-Real-IP", 401, false, false},
		{"", "", "Via", 401, false, false}, {web.MetricsOpen, "", "X-Forwarded-For", 200, true, true},
		{"", "viewer", "X-Forwarded-For", 200, true, true}, {web.MetricsToken, "viewer", "", 200, true, true}, {web.MetricsToken, "sees-push", "", 200, false, true},
		{"", "sees-push", "", 200, false, true}, {web.MetricsOpen, "sees-push", "", 200, false, true}, {"", "sends", "X-Forwarded-For", 403, false, false},
		{web.MetricsToken, "sends", "", 403, false, false}, {web.MetricsToken, "nobodys", "", 401, false, false}, {"", "nobodys", "", 401, false, false},
	} {
		headers := []string{}
		if c.header != "" {
			headers = []string{c.header, "127.0.0.1"}
		}
		a := sites[c.mode].send(c.role, "GET", "/metrics", "", headers...)
		text := string(a.body)
		if a.StatusCode != c.status || strings.Contains(text, "foreign") != c.all || strings.Contains(text, "# TYPE "+sums) != c.all ||
			strings.Contains(text, `"push"`) != c.own || strings.Contains(text, "# TYPE "+process) != c.own {
			t.Errorf("%+v: %d %.300s", c, a.StatusCode, text)
		}
		if c.role == "" {
			version := strings.Contains(string(sites[c.mode].send("", "GET", "/healthz", "", headers...).body), "version")
			if version != c.all {
				t.Errorf("%+v is told the version: %v", c, version)
			}
		}
	}
	s := sites[""]
	s.store.Close()
	for header, told := range map[string]bool{"X-Unknown": true, "X-Forwarded-For": false} {
		a := s.send("", "GET", "/readyz", "", header, "127.0.0.1")
		if a.StatusCode != 503 || strings.Contains(string(a.body), "Not ready: ") != told {
			t.Errorf("%s: %d %s", header, a.StatusCode, a.body)
		}
	}
}
