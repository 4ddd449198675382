package handlers

import (
	"net/http"
	"testing"

	"redrive/delivery"
)

// Whoever asks for what they have no right to is in the audit, by person and route, and a flood of it is one entry at once.
func TestARefusalForWantOfARightIsRecorded(t *testing.T) {
	s := newSite(t)
	for range 20 {
		if a := s.send(string(delivery.RoleViewer), "GET", "/api/v1/tokens", ""); a.StatusCode != http.StatusForbidden {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	page, err := s.store.Audit(t.Context(), delivery.AuditFilter{Action: "access.refused"})
	s.must(err)
	if len(page.Items) != 1 || page.Items[0].Subject != "GET /api/v1/tokens" || page.Items[0].Actor != "token:ci-viewer" && page.Items[0].ActorID == "" {
		t.Errorf("%+v", page.Items)
	}
}

// A checkpoint and a proof are for who may read the audit; the proof makes the checkpoint that it needs.
func TestCheckpointAndProofAreServed(t *testing.T) {
	s := newSite(t)
	s.store.UseOrigin("example.com/redrive")
	s.wants("before the first", s.get("/api/v1/audit/checkpoint"), http.StatusNotFound, "not_found")
	s.wants("no entry", s.get("/api/v1/audit/100000/proof"), http.StatusNotFound, "not_found")
	s.wants("no number", s.get("/api/v1/audit/x/proof"), http.StatusNotFound, "not_found")
	proof := s.get("/api/v1/audit/1/proof")
	if proof.StatusCode != http.StatusOK || string(proof.body[:22]) != "c2sp.org/tlog-proof@v1" {
		t.Fatalf("%d %s", proof.StatusCode, proof.body)
	}
	if a := s.get("/api/v1/audit/checkpoint"); a.StatusCode != http.StatusOK || string(a.body[:20]) != "example.com/redrive\n" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
