package web

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"redrive/delivery"
)

// Metrics counts what happens and serves it to Prometheus. Its methods never block: the engine calls them.
type Metrics struct {
	registry   *prometheus.Registry
	deliveries *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	late       prometheus.Counter
	expired    prometheus.Counter
	violations prometheus.Counter
}

// NewMetrics makes a registry of its own, with the collectors of the Go runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redrive_deliveries_total",
			Help: "Attempts by outcome."}, []string{"integration", "method", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "redrive_attempt_duration_seconds",
			Help:    "How long one attempt took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"integration"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{Name: "redrive_late_outcomes_total",
			Help: "Outcomes that arrived after their lease was lost and changed nothing."}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{Name: "redrive_lease_expirations_total",
			Help: "Deliveries taken over from a worker that vanished."}),
		violations: prometheus.NewCounter(prometheus.CounterOpts{Name: "redrive_csp_reports_total",
			Help: "Violations of the content policy that browsers reported."}),
	}
	m.registry.MustRegister(m.deliveries, m.duration, m.late, m.expired, m.violations, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Attempt counts one attempt.
func (m *Metrics) Attempt(integration string, method delivery.Method, outcome delivery.Outcome, took time.Duration) {
	m.deliveries.WithLabelValues(integration, string(method), string(outcome)).Inc()
	m.duration.WithLabelValues(integration).Observe(took.Seconds())
}

// Late counts outcomes that arrived after their lease was lost.
func (m *Metrics) Late(n int) { m.late.Add(float64(n)) }

// LeaseExpired counts deliveries whose worker vanished.
func (m *Metrics) LeaseExpired(n int) { m.expired.Add(float64(n)) }

// handler serves what a scope shows.
func (m *Metrics) handler(scope delivery.Scope) http.Handler {
	var source prometheus.Gatherer = m.registry
	if !scope.All {
		source = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			families, err := m.registry.Gather()
			return within(scope, families), err
		})
	}
	// what can be collected is served even while the database is away
	return promhttp.HandlerFor(source, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// within keeps of the metrics those of integrations in a scope, and what tells of the process alone: sums over all integrations do not.
func within(scope delivery.Scope, families []*dto.MetricFamily) (kept []*dto.MetricFamily) {
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "redrive_") {
			kept = append(kept, f)
			continue
		}
		f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool {
			return !slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "integration" && scope.Has(l.GetValue()) })
		})
		if len(f.Metric) > 0 {
			kept = append(kept, f)
		}
	}
	return kept
}

// healthSource is what the gauges are read from.
type healthSource interface {
	Health(ctx context.Context) ([]delivery.IntegrationHealth, error)
}

// Watch adds the gauges that are read from the database, and a zero for each integration so that rates start at once.
func (m *Metrics) watch(
	source healthSource,
	integrations []delivery.Integration,
	log *slog.Logger,
	facts func(string) []delivery.Fact,
) error {
	for _, i := range integrations {
		for _, outcome := range []delivery.Outcome{delivery.OutcomeOK, delivery.OutcomeTransient, delivery.OutcomePermanent, delivery.OutcomeUnknown} {
			m.deliveries.WithLabelValues(i.Name, string(i.Method), string(outcome))
		}
	}
	if facts != nil {
		if err := m.registry.Register(factsCollector{integrations: integrations, facts: facts}); err != nil {
			return err
		}
	}
	return m.registry.Register(&HealthCollector{Source: source, Log: log, Now: time.Now})
}

const (
	HealthCache   = 2 * time.Second // several scrapers cost one query
	healthTimeout = 5 * time.Second
)

var (
	backlogDesc = prometheus.NewDesc("redrive_backlog", "Deliveries that are not settled.", []string{"integration", "state"}, nil)
	oldestDesc  = prometheus.NewDesc("redrive_oldest_pending_seconds",
		"For how long the delivery that is due the longest waits.", []string{"integration"}, nil)
	upDesc = prometheus.NewDesc("redrive_up", "Whether a part of an integration works: 0 while it is degraded.",
		[]string{"integration", "part"}, nil)
	successDesc = prometheus.NewDesc("redrive_last_success_timestamp_seconds",
		"When a part of an integration was last seen to work.", []string{"integration", "part"}, nil)
	gapDesc = prometheus.NewDesc("redrive_source_gap_records_total",
		"Records that were lost at a source before they were read, at most, as far as their numbers are known.",
		[]string{"integration"}, nil)
	reusedDesc = prometheus.NewDesc("redrive_reused_keys",
		"Messages of the last 24 hours that were not taken in, as their idempotency keys had been used for others.", []string{"integration"}, nil)
	deadDesc = prometheus.NewDesc("redrive_dead_letters", "Open dead letters.", []string{"integration"}, nil)
)

// HealthCollector reads the gauges when Prometheus asks.
type HealthCollector struct {
	Source healthSource
	Log    *slog.Logger
	Now    func() time.Time

	mu     sync.Mutex
	readAt time.Time
	health []delivery.IntegrationHealth
}

// Describe names the gauges.
func (h *HealthCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- backlogDesc
	ch <- oldestDesc
	ch <- deadDesc
	ch <- upDesc
	ch <- successDesc
	ch <- gapDesc
	ch <- reusedDesc
}

// Collect returns nothing while the database is away: a missing gauge is honest, an old one is not.
func (h *HealthCollector) Collect(ch chan<- prometheus.Metric) {
	for _, i := range h.read() {
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{i.Name}, labels...)...)
		}
		gauge(backlogDesc, float64(i.Pending), string(delivery.StatePending))
		gauge(backlogDesc, float64(i.Sending), string(delivery.StateSending))
		gauge(deadDesc, float64(i.Dead))
		gauge(reusedDesc, float64(i.ReusedKeys.Count))
		gauge(oldestDesc, Age(i.OldestPending, h.Now()).Seconds())
		if i.Method == delivery.MethodBroker {
			ch <- prometheus.MustNewConstMetric(gapDesc, prometheus.CounterValue, float64(i.Gaps.Records), i.Name)
		}
		for _, p := range i.Parts {
			up := 1.0
			if p.Status == delivery.PartDegraded {
				up = 0
			}
			gauge(upDesc, up, string(p.Part))
			if p.LastSuccess != nil {
				gauge(successDesc, float64(p.LastSuccess.UnixMilli())/1000, string(p.Part))
			}
		}
	}
}

func (h *HealthCollector) read() []delivery.IntegrationHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.readAt.IsZero() && h.Now().Sub(h.readAt) < HealthCache {
		return h.health
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	health, err := h.Source.Health(ctx)
	if err != nil {
		h.Log.Warn("reading the backlog for metrics", "error", err)
		return nil
	}
	h.health, h.readAt = health, h.Now()
	return health
}

// factsCollector shows the figures of each integration's method, such as redrive_pool_busy with its redrive_pool_busy_limit.
type factsCollector struct {
	integrations []delivery.Integration
	facts        func(integration string) []delivery.Fact
}

// Describe names nothing beforehand: the methods know their figures.
func (factsCollector) Describe(chan<- *prometheus.Desc) {}

// Collect asks the methods.
func (c factsCollector) Collect(ch chan<- prometheus.Metric) {
	for _, i := range c.integrations {
		for _, f := range c.facts(i.Name) {
			name, kind := "redrive_"+string(i.Method)+"_"+f.Name, prometheus.GaugeValue
			if f.Total {
				name, kind = name+"_total", prometheus.CounterValue
			}
			labels := []string{"integration"}
			ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name,
				"Figure of method "+string(i.Method)+" in this process: "+strings.ReplaceAll(f.Name, "_", " ")+".", labels, nil), kind, float64(f.Value), i.Name)
			if f.Limit > 0 {
				limit := prometheus.NewDesc(name+"_limit", "At most; see "+name+".", labels, nil)
				ch <- prometheus.MustNewConstMetric(limit, prometheus.GaugeValue, float64(f.Limit), i.Name)
			}
		}
	}
}

// Age is how long ago something was; nothing is no age.
func Age(since *time.Time, now time.Time) time.Duration {
	if since == nil {
		return 0
	}
	return max(now.Sub(*since), 0)
}
