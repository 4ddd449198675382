package handlers

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
)

// Whatever route shows something of a payload keeps the answer out of caches.
func TestNoCacheKeepsAPayload(t *testing.T) {
	s := newSite(t)
	const marker = "the-payload-of-somebody"
	id := s.fail(delivery.Message{Integration: "push", Key: "k", Payload: []byte(`{"a": "` + marker + `"}`)}, `{"said": "`+marker+`"}`)
	d, err := s.store.Delivery(t.Context(), id)
	s.must(err)
	values := map[string]string{"/failures/:id": id, "/deliveries/:id": id, "/messages/:id": d.Message.ID, "/groups/:id": d.GroupID, "/integrations/:name": "push"}
	shown := []string{}
	for route := range s.Access() {
		method, path, _ := strings.Cut(route, " ")
		if method != http.MethodGet || strings.HasSuffix(path, "/live") {
			continue
		}
		for beginning, value := range values {
			before, parameter, _ := strings.Cut(beginning, "/:")
			path = strings.Replace(path, before+"/:"+parameter, before+"/"+value, 1)
		}
		a := s.send("admin", method, strings.Replace(path, ":number", "0", 1), "")
		if a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), marker) {
			continue
		}
		shown = append(shown, route)
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s shows a payload with Cache-Control %q", route, got)
		}
	}
	for _, route := range []string{"GET /failures/:id", "GET /messages/:id", "GET /messages/:id/payload", "GET /api/v1/deliveries/:id"} {
		if !slices.Contains(shown, route) {
			t.Errorf("%s shows no payload: the test looks at %v", route, shown)
		}
	}
}
