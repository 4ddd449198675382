package handlers

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components map[string]map[string]json.RawMessage
}

type operation struct {
	OperationID string
	Summary     string
	Parameters  []map[string]any
	Responses   map[string]json.RawMessage
	Permissions []delivery.Permission `json:"x-permissions"`
}

func readOpenAPI(t *testing.T) (d document) {
	t.Helper()
	if err := json.Unmarshal(api.OpenAPI, &d); err != nil || d.OpenAPI != "3.1.0" {
		t.Fatalf("version %q: %v", d.OpenAPI, err)
	}
	return d
}

var (
	pathParameter = regexp.MustCompile(`:(\w+)`)
	bracketed     = regexp.MustCompile(`\{(\w+)\}`)
)

func TestTheDocumentAndTheRoutesAgree(t *testing.T) {
	s := newSite(t)
	doc := readOpenAPI(t)
	routes, described := []string{}, []string{}
	for _, r := range s.Echo.Routes() {
		watched := r.Path == "/healthz" || r.Path == "/readyz" || r.Path == "/metrics"
		if strings.HasPrefix(r.Path, "/api/") && !strings.HasSuffix(r.Path, "*") || watched {
			routes = append(routes, r.Method+" "+pathParameter.ReplaceAllString(r.Path, "{$1}"))
		}
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			route := strings.ToUpper(method) + " " + bracketed.ReplaceAllString(path, ":$1")
			if access := s.Access()[route]; !slices.Equal(op.Permissions, access.Needs) {
				t.Errorf("%s is said to need %v, and needs %+v", route, op.Permissions, access)
			}
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s has no summary or id of its own", method, path)
			}
			ids[op.OperationID] = true
		}
	}
	slices.Sort(routes)
	slices.Sort(described)
	if len(routes) < 16 || !slices.Equal(routes, described) {
		t.Errorf("routes    %v\ndescribed %v", routes, described)
	}
}

func TestReferencesInTheDocumentLead(t *testing.T) {
	doc := readOpenAPI(t)
	found := regexp.MustCompile(`"\$ref": "#/components/(\w+)/(\w+)"`).FindAllStringSubmatch(string(api.OpenAPI), -1)
	used := map[string]bool{}
	for _, ref := range found {
		used[ref[1]+"/"+ref[2]] = true
		if _, ok := doc.Components[ref[1]][ref[2]]; !ok {
			t.Errorf("%s leads nowhere", ref[0])
		}
	}
	for kind, members := range doc.Components {
		for name := range members {
			if kind != "securitySchemes" && !used[kind+"/"+name] && name != "Problem" {
				t.Errorf("%s/%s is used nowhere", kind, name)
			}
		}
	}
	if len(found) < 50 {
		t.Errorf("%d references", len(found))
	}
}

func TestDocumentedParametersAreTheOnesUnderstood(t *testing.T) {
	doc := readOpenAPI(t)
	for path, known := range map[string][]string{"/api/v1/failures": web.FailureParams, "/api/v1/groups": web.GroupParams, "/api/v1/audit": web.AuditParams} {
		var named []string
		for _, p := range doc.Paths[path]["get"].Parameters {
			name, _ := p["name"].(string)
			if ref, ok := p["$ref"].(string); ok {
				var shared struct{ Name string }
				if err := json.Unmarshal(doc.Components["parameters"][ref[strings.LastIndex(ref, "/")+1:]], &shared); err != nil {
					t.Fatal(err)
				}
				name = shared.Name
			}
			named = append(named, name)
		}
		slices.Sort(named)
		want := slices.Sorted(slices.Values(known))
		if !slices.Equal(named, want) {
			t.Errorf("%s documents %v, understands %v", path, named, want)
		}
	}
}

func TestDocumentedWordsAreTheDomains(t *testing.T) {
	doc := readOpenAPI(t)
	for name, words := range map[string]string{"State": joined(delivery.States), "ErrorClass": joined(delivery.ErrorClasses) + ", ",
		"Method": joined(delivery.Methods) + ", "} {
		var schema struct{ Enum []string }
		if err := json.Unmarshal(doc.Components["schemas"][name], &schema); err != nil || strings.Join(schema.Enum, ", ") != words {
			t.Errorf("%s documents %q, the domain has %q", name, schema.Enum, words)
		}
	}
	var category struct {
		Examples []string
		Pattern  string
	}
	if err := json.Unmarshal(doc.Components["schemas"]["Category"], &category); err != nil || category.Pattern != delivery.CategoryPattern ||
		!slices.Equal(category.Examples, delivery.IgnoreCategories) {
		t.Errorf("Category documents %+v: %v", category, err)
	}
}

// schemaOf returns the names that a schema documents and those it requires.
func schemaOf(t *testing.T, doc document, name string) (properties, required []string) {
	t.Helper()
	type object struct {
		Properties map[string]json.RawMessage
		Required   []string
		AllOf      []json.RawMessage
	}
	pending := []json.RawMessage{doc.Components["schemas"][name]}
	for len(pending) > 0 {
		var o struct {
			object
			Ref string `json:"$ref"`
		}
		if err := json.Unmarshal(pending[0], &o); err != nil {
			t.Fatal(err)
		}
		pending = append(pending[1:], o.AllOf...)
		if o.Ref != "" {
			pending = append(pending, doc.Components["schemas"][o.Ref[strings.LastIndex(o.Ref, "/")+1:]])
		}
		for p := range o.Properties {
			properties = append(properties, p)
		}
		required = append(required, o.Required...)
	}
	return properties, required
}

func TestAnswersHaveTheDocumentedMembers(t *testing.T) {
	s := newSite(t)
	doc := readOpenAPI(t)
	id := s.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "x")
	s.post("/api/v1/failures/"+id+"/resolve", `{"reason":"x"}`)
	detail := read[api.DetailJSON](s, s.get("/api/v1/deliveries/"+id), 200)
	for path, name := range map[string]string{"deliveries/" + id: "DeliveryDetail", "messages/" + detail.MessageID: "MessageWithDeliveries",
		"failures?state=resolved": "Delivery", "integrations": "Integration", "audit": "AuditEntry", "audit/head": "AuditEntry"} {
		a := s.get("/api/v1/" + path)
		object := read[map[string]json.RawMessage](s, a, http.StatusOK)
		if items, ok := object["items"]; ok {
			var list []map[string]json.RawMessage
			if err := json.Unmarshal(items, &list); err != nil || len(list) == 0 {
				t.Fatalf("%s: %s", path, a.body)
			}
			object = list[0]
		}
		properties, required := schemaOf(t, doc, name)
		for member := range object {
			if !slices.Contains(properties, member) {
				t.Errorf("%s answers %s, which %s does not document", path, member, name)
			}
		}
		for _, member := range required {
			if _, ok := object[member]; !ok {
				t.Errorf("%s does not answer %s", path, member)
			}
		}
	}
	if a := s.send("", "GET", "/api/openapi.json", ""); a.StatusCode != 200 || string(a.body) != string(api.OpenAPI) {
		t.Errorf("the document itself: %d", a.StatusCode)
	}
}

func joined[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}
