package wire

import (
	"maps"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
)

func TestEventAttributes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	r := delivery.Request{DeliveryID: "d", IdempotencyKey: "idem", Integration: "push", Attempt: 2,
		Message: delivery.Message{ID: "m", Type: "order.placed", Key: "k", Payload: []byte("{}"), CreatedAt: at,
			Headers: map[string]string{"Tenant": "north", "x-trace": "no name for an extension", "id": "forged", "Data": "x", "redriveattempt": "9"}}}
	got, err := EventAttributes(r)
	want := map[string]string{"specversion": "1.0", "id": "m", "source": "redrive/push", "type": "order.placed", "subject": "k", "partitionkey": "k",
		"time": "2026-01-02T02:04:05.000006Z", "datacontenttype": "application/json", "idempotencykey": "idem", "redriveattempt": "2", "tenant": "north"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	r.Message = delivery.Message{Headers: map[string]string{"ce-id": "their-id", "Ce-Source": "/shop%20east", "ce-specversion": "0.3", "ce-traceparent": "00-1", "ce-redriveattempt": "9", "ce-data": "x"},
		Payload: []byte{0xff}}
	got, err = EventAttributes(r)
	want = map[string]string{"specversion": "1.0", "id": "their-id", "source": "/shop east", "type": untypedEvent, "traceparent": "00-1",
		"datacontenttype": "application/octet-stream", "idempotencykey": "idem", "redriveattempt": "2"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	r.Message.Headers = map[string]string{"tenant": "s3cr3t\n"}
	if _, err := EventAttributes(r); err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "tenant") {
		t.Errorf("error %v", err)
	}
}
