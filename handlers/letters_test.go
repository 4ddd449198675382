package handlers

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/views"
)

// folded is what the second tab of a try shows, which takes no script.
var folded = regexp.MustCompile(`(?s)>Stack trace</a>.*<pre[^>]*>(.*?)</pre>`)

// A dead letter of somebody else's: who wrote it, why and where it died, the stack trace folded, and what is hidden of the payload hidden
// in it; headers of Kafka as a list, and a key that is no text.
func TestALetterShowsItsCauseAndOrigin(t *testing.T) {
	s := newSite(t)
	offset := int64(4711)
	m := delivery.Message{ID: "01970000-0000-7000-8000-000000000011", Kind: delivery.KindCommand, Integration: "sms", Type: "orders.dlq", Payload: []byte(`{"code": "471199"}`),
		Headers: map[string]string{"twice": "b"}, Origin: &delivery.Origin{Broker: delivery.BrokerKafka, Place: "orders.dlq", Properties: []delivery.Field{{Name: delivery.PropertyKey, Value: []byte{}}},
			Headers: []delivery.Field{{Name: "twice", Value: []byte("a")}, {Name: "nothing"}, {Name: "twice", Value: []byte("b"), Shown: "twice"}},
			Dead:    &delivery.DeadOrigin{Family: "Kafka Connect", Place: "orders", Offset: &offset, Group: "to-file", Reason: "a.ParseException", Attempts: 5}}}
	failed := delivery.Attempt{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassForeign, Error: "a.ParseException: unexpected 471199",
		Response: []byte("a.DataException: outer\n\tat a.B\nCaused by: a.ParseException: unexpected 471199\n\tat <c.D>")}
	const id = "01970000-0000-7000-8000-000000000012"
	_, err := s.store.Park(t.Context(), []delivery.Parked{{DeliveryID: id, Integration: "sms", Message: m, Attempts: []delivery.Attempt{failed}, Next: delivery.StateDead}})
	s.must(err)
	b := s.signedIn("alice", delivery.RoleOperator)
	page := b.open(views.Failure(id))
	b.shows(page, http.StatusOK, "It died in orders: a.ParseException: unexpected •••", "Written by", "Kafka Connect", "to-file", "Attempts before it died", "!471199", "!The receiver's answer", "no such headers: twice, nothing")
	page = b.open(views.Failure(id) + "?tab=answer")
	b.shows(page, http.StatusOK, "!471199", "!The receiver's answer")
	if trace := folded.FindStringSubmatch(string(page.body)); trace == nil || !strings.Contains(trace[1], "Caused by: a.ParseException: unexpected •••\n\tat &lt;c.D&gt;") {
		t.Errorf("the stack trace is %q", trace)
	}
	answer := s.get("/api/v1/deliveries/" + id)
	d := read[api.DetailJSON](s, answer, http.StatusOK)
	list, err := json.Marshal([]any{d.Message.HeaderList, d.Message.Origin.Properties})
	s.must(err)
	if got := string(list); got != `[[{"name":"twice","value":"a"},{"name":"nothing","value":null},{"name":"twice","value":"b"}],[{"name":"message_key","value":""}]]` {
		t.Errorf("headers and key are %s", got)
	}
	if dead := d.Message.Origin.Dead; dead.Family != "Kafka Connect" || dead.Attempts != 5 || !strings.Contains(string(answer.body), `Caused by: a.ParseException: unexpected •••`) || strings.Contains(string(answer.body), "471199") {
		t.Errorf("got %s", answer.body)
	}
}
