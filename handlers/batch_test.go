package handlers

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
	"redrive/store"
)

// withBatches adds two batches to a site: "points", and "members", which hides a field.
func withBatches(c *web.Config) {
	for name, mask := range map[string][]string{"points": nil, "members": {"$.phone"}} {
		c.Integrations = append(c.Integrations, delivery.Integration{Name: name, Method: delivery.MethodBatch, Mask: mask,
			Destination: delivery.Destination{To: &delivery.FileDestination{Dir: "/tmp", Format: delivery.FileFormat{Kind: delivery.FileCSV}}},
			Batch:       &delivery.BatchSettings{Schedule: "0 0 1 1 *", Location: time.UTC, Query: "SELECT 1", Name: delivery.DefaultBatchName, Per: delivery.PerFile}})
	}
}

func newBatchSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, withBatches)
	c := web.Config{Integrations: testIntegrations()}
	withBatches(&c)
	s.must(s.store.SyncIntegrations(t.Context(), c.Integrations))
	return s
}

// stored makes the oldest run of a batch and returns its file.
func (s *site) stored(integration, content string) delivery.BatchFile {
	s.t.Helper()
	var file delivery.BatchFile
	err := s.store.Lead(s.t.Context(), "batch/"+integration, func(ctx context.Context, l *store.Leader) error {
		feed := s.store.Batch(l, integration)
		if err := feed.Resume(ctx); err != nil {
			return err
		}
		run, err := feed.Begin(ctx, func(time.Time) string { return "2026-01-31" })
		if err != nil {
			return err
		}
		n := delivery.NewBatchFile{Run: run, Format: delivery.FileFormat{Kind: delivery.FileCSV}, Settings: delivery.BatchSettings{Name: delivery.DefaultBatchName}}
		file, err = feed.Write(ctx, n, func(_ context.Context, w io.Writer, _ func(string, []byte) error) (delivery.BatchContent, error) {
			_, err := io.WriteString(w, content)
			return delivery.BatchContent{Rows: 1, Control: "4.20"}, err
		})
		return err
	}, func(err error) { s.t.Error(err) })
	s.must(err)
	return file
}

func TestRunsAndFilesOverTheAPI(t *testing.T) {
	s := newBatchSite(t)
	asked := read[api.RunJSON](s, s.post("/api/v1/integrations/points/runs", `{"business_date": "2026-01-31", "reason": "late rows"}`), http.StatusAccepted)
	if asked.State != delivery.RunQueued || *asked.BusinessDate != "2026-01-31" || asked.RequestedBy != "token:ci-operator" || asked.Reason != "late rows" || asked.File != nil {
		t.Errorf("asked for: %+v", asked)
	}
	for _, tc := range []struct {
		role, path, body string
		status           int
		code             string
	}{
		{"operator", "/api/v1/integrations/points/runs", `{"business_date": "2026-01-31"}`, 422, "run_waiting"},
		{"operator", "/api/v1/integrations/points/runs", `{"business_date": "31.1."}`, 422, "bad_date"},
		{"operator", "/api/v1/integrations/points/runs", `{"date": "2026-01-31"}`, 422, "unknown_field"},
		{"operator", "/api/v1/integrations/push/runs", `{}`, 422, "no_batch"},
		{"operator", "/api/v1/integrations/nobody/runs", `{}`, 404, "not_found"},
		{"viewer", "/api/v1/integrations/points/runs", `{}`, 403, "forbidden"},
	} {
		if a := s.send(tc.role, http.MethodPost, tc.path, tc.body); a.StatusCode != tc.status || !strings.Contains(string(a.body), `"code":"`+tc.code+`"`) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.path, tc.body, a.StatusCode, a.body, tc.status, tc.code)
		}
	}
	file := s.stored("points", "id\r\n4.20\r\n")
	s.post("/api/v1/integrations/points/runs", "")
	first := read[api.List[api.RunJSON]](s, s.get("/api/v1/integrations/points/runs?limit=1"), http.StatusOK)
	if len(first.Items) != 1 || first.Items[0].State != delivery.RunQueued || first.Next == nil {
		t.Fatalf("first page: %+v", first)
	}
	second := read[api.List[api.RunJSON]](s, s.get("/api/v1/integrations/points/runs?limit=1&after="+*first.Next), http.StatusOK)
	if len(second.Items) != 1 || second.Items[0].ID != asked.ID || second.Next != nil || second.Items[0].File == nil {
		t.Fatalf("second page: %+v", second)
	}
	shown := read[api.FileJSON](s, s.get("/api/v1/files/"+file.ID), http.StatusOK)
	if shown.Name != "points_2026-01-31_1.csv" || *shown.ControlTotal != "4.20" || *shown.State != delivery.StatePending || shown.Acknowledgement != nil {
		t.Errorf("file: %+v", shown)
	}
	for path, status := range map[string]int{"/api/v1/integrations/push/runs": 404, "/api/v1/integrations/points/runs?page=2": 400, "/api/v1/integrations/points/runs?limit=0": 400,
		"/api/v1/integrations/points/runs?after=x": 422, "/api/v1/files/x": 404, "/api/v1/files/" + asked.ID: 404} {
		if a := s.get(path); a.StatusCode != status && (status != 422 || a.StatusCode != 400) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

func TestAFileIsHandedOutAndThatIsWrittenDown(t *testing.T) {
	s := newBatchSite(t)
	for _, name := range []string{"points", "members"} {
		read[api.RunJSON](s, s.post("/api/v1/integrations/"+name+"/runs", ""), http.StatusAccepted)
	}
	file, hidden := s.stored("points", "id\r\n1\r\n"), s.stored("members", "phone\r\n010\r\n")
	a := s.send("operator", http.MethodGet, "/api/v1/files/"+file.ID+"/content", "")
	if a.StatusCode != 200 || string(a.body) != "id\r\n1\r\n" || a.Header.Get("Content-Disposition") != "attachment; filename="+file.Name || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %q", a.StatusCode, a.Header, a.body)
	}
	entries := read[api.List[map[string]any]](s, s.get("/api/v1/audit?action=batch.file-read"), http.StatusOK)
	if len(entries.Items) != 1 || entries.Items[0]["actor"] != "token:ci-operator" || entries.Items[0]["subject"] != file.ID {
		t.Errorf("audit: %v", entries.Items)
	}
	for role, status := range map[string]int{"viewer": 403, "operator": 403, "admin": 200} {
		if a := s.send(role, http.MethodGet, "/api/v1/files/"+hidden.ID+"/content", ""); a.StatusCode != status {
			t.Errorf("%s: %d %s", role, a.StatusCode, a.body)
		}
	}
	s.tellsNoDigest(hidden)
}

// tellsNoDigest looks wherever a file is described, for what tells of the masked values in it: whoever may reveal them sees that, in one place.
func (s *site) tellsNoDigest(hidden delivery.BatchFile) {
	s.t.Helper()
	delivered := *read[api.FileJSON](s, s.send("admin", http.MethodGet, "/api/v1/files/"+hidden.ID, ""), http.StatusOK).DeliveryID
	for _, path := range []string{"/api/v1/files/" + hidden.ID, "/api/v1/integrations/members/runs", "/api/v1/deliveries/" + delivered, "/api/v1/messages/" + hidden.ID,
		"/integrations/members/runs", "/failures/" + delivered, "/messages/" + hidden.ID} {
		for _, role := range []string{"viewer", "operator", "auditor"} {
			a := s.send(role, http.MethodGet, path, "", "Accept", "text/html")
			if text := string(a.body); a.StatusCode != http.StatusOK || !strings.Contains(text, hidden.Name) || strings.Contains(text, hidden.SHA256) || strings.Contains(text, "4.20") {
				s.t.Errorf("%s by %s: %d %s", path, role, a.StatusCode, mainOf(a.body))
			}
		}
	}
	if shown := read[api.FileJSON](s, s.send("admin", http.MethodGet, "/api/v1/files/"+hidden.ID, ""), http.StatusOK); shown.SHA256 != hidden.SHA256 || *shown.ControlTotal != "4.20" {
		s.t.Errorf("an admin sees %+v", shown)
	}
}

func TestRunNowInTheConsole(t *testing.T) {
	s := newBatchSite(t)
	kim := s.signedIn("kim", delivery.RoleOperator)
	page := kim.open("/integrations/points/runs")
	if page.StatusCode != http.StatusOK || !strings.Contains(string(page.body), "Run now") {
		t.Fatalf("%d %s", page.StatusCode, page.body)
	}
	if a := kim.submit("/integrations/points/runs", "business_date", "2026-01-31", "reason", "late rows"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := kim.submit("/integrations/points/runs", "business_date", "2026-01-31"); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "already asked for") {
		t.Errorf("twice: %d %s", a.StatusCode, a.body)
	}
	file := s.stored("points", "id\r\n1\r\n")
	body := string(kim.open("/integrations/points/runs").body)
	for _, text := range []string{file.Name, "late rows", "asked for by kim", "/files/" + file.ID + "/content"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %s", text)
		}
	}
	shown := read[api.FileJSON](s, s.get("/api/v1/files/"+file.ID), http.StatusOK)
	failure := string(kim.open("/failures/" + *shown.DeliveryID).body)
	for _, text := range []string{file.Name, file.SHA256, "4.20", "Download the file"} {
		if !strings.Contains(failure, text) {
			t.Errorf("the delivery's page does not show %s", text)
		}
	}
	if a := kim.open("/files/" + file.ID + "/content"); a.StatusCode != http.StatusOK || string(a.body) != "id\r\n1\r\n" {
		t.Errorf("download: %d %q", a.StatusCode, a.body)
	}
	if a := kim.open("/integrations/push/runs"); a.StatusCode != http.StatusNotFound {
		t.Errorf("runs of no batch: %d", a.StatusCode)
	}
}
