package handlers

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/delivery/config"
	"redrive/delivery/engine"
	"redrive/delivery/form"
	"redrive/delivery/kinds"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/store/storetest/patience"
)

// sink is a destination that nothing but its entry in the list makes known.
type sink struct {
	note string
	got  chan delivery.Request
}

func (n *sink) Kind() string            { return "sink" }
func (n *sink) Address() string         { return "sink://" + n.note }
func (n *sink) Limit() time.Duration    { return patience.Limit }
func (n *sink) Traits() delivery.Traits { return delivery.Traits{Bare: true} }
func (n *sink) Close() error            { return nil }

// Send takes everything but what is of the type "refused".
func (n *sink) Send(_ context.Context, r delivery.Request) delivery.Result {
	n.got <- r
	if r.Message.Type == "refused" {
		return delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassRefused, Error: "sink refuses it"}
	}
	return delivery.Result{Outcome: delivery.OutcomeOK}
}

type sinkBlock struct {
	Note string     `yaml:"note"`
	Loud form.Truth `yaml:"loud"`
}

func sinkKind() form.Destination {
	return form.Destination{Name: "sink",
		Block: form.Reads(func(r *form.Reader, path string, b *sinkBlock) delivery.Target {
			return &sink{note: r.Required(path, "note", b.Note), got: make(chan delivery.Request, 10)}
		}),
		New: func(to delivery.Target, _ form.Means) (delivery.Sender, error) { return to.(*sink), nil },
		Pages: []form.Page{{Where: "`destination.sink`", Of: reflect.TypeFor[sinkBlock](), Settings: []form.Setting{
			{Name: "note", Required: true, Help: "what is thrown away"}, {Name: "loud", Standard: "false", Help: ""}}}},
	}
}

const sinkFile = `integrations:
  - name: void
    method: outbox
    destination:
      sink: {note: "${WHAT}", loud: true}
`

func parseSink(text string) (*config.File, error) {
	return config.Parse("f.yaml", []byte(text), func(name string) (string, bool) { return "nothing", name == "WHAT" })
}

// A kind of destination is known everywhere as soon as it stands in the list.
func TestAKindThatIsAddedIsKnownEverywhere(t *testing.T) {
	if _, err := parseSink(sinkFile); err == nil || err.Error() != `f.yaml line 5: unknown field "sink"` {
		t.Fatalf("before: %v", err)
	}
	t.Cleanup(kinds.Add(sinkKind()))
	for change, want := range map[[2]string]string{
		{"note: ", "nota: "}:                   `f.yaml line 5: unknown field "nota"`,
		{"loud: true", "loud: 1"}:              `f.yaml line 5: loud: "1" is neither true nor false`,
		{`"${WHAT}"`, `"${WHO}"`}:              `f.yaml line 5: the environment variable "WHO" is not set`,
		{`"${WHAT}"`, `""`}:                    "f.yaml line 5: note: missing",
		{"sink: {", "http: {}\n      sink: {"}: "f.yaml line 5: destination: exactly one is needed, 2 are given",
		{"outbox", "batch\n    batch: {schedule: \"@daily\", query: SELECT 1}"}: "f.yaml line 6: destination: a batch goes to a file, a table or http",
	} {
		if _, err := parseSink(strings.Replace(sinkFile, change[0], change[1], 1)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", change[1], err, want)
		}
	}
	if table := config.SettingsTable(); !strings.Contains(table, "### `destination.sink`\n\n| setting | default | meaning |\n|---|---|---|\n| `note` | required | what is thrown away |\n") {
		t.Error("the page of settings does not have it")
	}
	file, err := parseSink(sinkFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *web.Config) { c.Integrations = file.Integrations })
	s.must(s.store.SyncIntegrations(t.Context(), file.Integrations))
	refused := s.deliverToSink(file.Integrations[0])
	s.showsSink(refused)
}

// deliverToSink sends a message that is taken and one that is refused; it answers the delivery of the latter.
func (s *site) deliverToSink(in delivery.Integration) (refused string) {
	s.t.Helper()
	sender, err := kinds.NewSender(in, form.Means{})
	s.must(err)
	_, err = s.store.Accept(s.t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "void", Type: "taken", Payload: []byte("1")})
	s.must(err)
	accepted, err := s.store.Accept(s.t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "void", Type: "refused", Payload: []byte("2"),
		Headers: map[string]string{"x-tenant": "north"}})
	s.must(err)
	e, err := engine.New(engine.Config{Store: s.store, Integrations: []delivery.Integration{in}, Senders: map[string]delivery.Sender{"void": sender}, Log: s.Config.Log,
		Poll: 20 * time.Millisecond})
	s.must(err)
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, context.Background()) }()
	s.t.Cleanup(func() { stop(); <-ended })
	payloads := string(patience.Receive(s.t, "the first message", in.Destination.To.(*sink).got).Message.Payload) +
		string(patience.Receive(s.t, "the second message", in.Destination.To.(*sink).got).Message.Payload)
	if payloads != "12" && payloads != "21" {
		s.t.Errorf("sent %q", payloads)
	}
	return accepted.Deliveries[0].ID
}

// showsSink looks wherever destinations are shown or asked for.
func (s *site) showsSink(refused string) {
	s.t.Helper()
	patience.Until(s.t, "the refused one is a dead letter", func() bool {
		return len(read[api.List[api.DeliveryJSON]](s, s.get("/api/v1/failures?destination=sink"), 200).Items) == 1
	})
	if problem := s.wants("a destination that is none", s.get("/api/v1/failures?destination=void"), 400, "invalid_parameter"); !strings.Contains(problem.Detail, ", table, sink") {
		s.t.Errorf("the API knows %s", problem.Detail)
	}
	if items := read[api.List[api.IntegrationJSON]](s, s.get("/api/v1/integrations"), 200).Items; items[0].Destination != "sink" || items[0].Address != "sink://nothing" {
		s.t.Errorf("the integration is %+v", items[0])
	}
	if groups := read[api.List[api.GroupJSON]](s, s.get("/api/v1/groups?by=destination&destination=sink"), 200).Items; len(groups) != 1 || groups[0].Destination != "sink" {
		s.t.Errorf("groups are %+v", groups)
	}
	b := s.signedIn("alice", delivery.RoleOperator)
	b.shows(b.open("/failures/suggest?field=destination&typed=si"), http.StatusOK, `"insert":"destination:sink "`)
	b.goes(b.open("/failures?search=destination:SINK"), "/failures?destination=sink")
	b.shows(b.open("/failures?destination=sink"), http.StatusOK, `value="destination:sink"`, refused)
	b.shows(b.open("/failures?search=destination:void"), http.StatusUnprocessableEntity, "http, kafka, rabbitmq, redis, file, table, sink")
	b.shows(b.open("/failures/"+refused), http.StatusOK, "sink://nothing", "sink refuses it", "x-tenant")
	b.shows(b.open("/"), http.StatusOK, "sink://nothing")
	b.shows(b.open("/groups?by=destination"), http.StatusOK, `<td data-label="Destination">sink</td>`)
}
