package handlers

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"redrive/handlers/api"
)

// answers checks what the API says against the document that describes it.
type answers struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema // by their place in the document
}

var documented = sync.OnceValues(func() (*answers, error) {
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.OpenAPI))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	doc, _ := raw.(map[string]any)
	return &answers{doc: doc, compiler: c, schemas: map[string]*jsonschema.Schema{}}, c.AddResource("openapi.json", raw)
})

// check compares an answer with the document: status, content type, every member and its type.
func (s *answers) check(t *testing.T, a answer) {
	t.Helper()
	place, found := s.operation(a.Request.Method, a.Request.URL.Path)
	if !found {
		return // the console's, or no address of ours
	}
	operation, _ := s.resolve(at(s.doc, place...))
	answers, _ := operation["responses"].(map[string]any)
	status := strconv.Itoa(a.StatusCode)
	if _, ok := answers[status]; !ok {
		if a.StatusCode != http.StatusInternalServerError { // nobody promises one
			t.Errorf("%s %s answers %s, which the document does not have: %s", a.Request.Method, a.Request.URL, status, a.body)
		}
		return
	}
	response, place := s.follow(append(place, "responses", status))
	content, _ := response["content"].(map[string]any)
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if len(content) == 0 && len(a.body) == 0 {
		return
	}
	if _, ok := content[kind]; !ok {
		t.Errorf("%s %s answers %s as %q, documented are %v", a.Request.Method, a.Request.URL, status, kind, slices.Collect(maps.Keys(content)))
		return
	}
	if strings.HasSuffix(kind, "json") {
		s.validate(t, append(place, "content", kind, "schema"), a)
	}
}

func (s *answers) validate(t *testing.T, place []string, a answer) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		t.Errorf("%s %s: %v", a.Request.Method, a.Request.URL, err)
		return
	}
	schema, err := s.schema(place)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s %s: %v\n%s", a.Request.Method, a.Request.URL, err, a.body)
	}
	if unknown := undocumented(schema, value, ""); len(unknown) > 0 {
		t.Errorf("%s %s answers members that are not documented: %v", a.Request.Method, a.Request.URL, unknown)
	}
}

func (s *answers) schema(place []string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	pointer := "openapi.json#"
	for _, step := range place {
		pointer += "/" + escape.Replace(step)
	}
	if known, ok := s.schemas[pointer]; ok {
		return known, nil
	}
	schema, err := s.compiler.Compile(pointer)
	s.schemas[pointer] = schema
	return schema, err
}

// operation finds the place of what serves a request. An address without parameters goes before one that has some.
func (s *answers) operation(method, path string) (place []string, found bool) {
	paths, _ := s.doc["paths"].(map[string]any)
	best := ""
	for template, methods := range paths {
		if operations, _ := methods.(map[string]any); operations[strings.ToLower(method)] == nil || !fits(template, path) {
			continue
		}
		if best == "" || strings.Count(template, "{") < strings.Count(best, "{") {
			best = template
		}
	}
	return []string{"paths", best, strings.ToLower(method)}, best != ""
}

func fits(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i, part := range want {
		if !strings.HasPrefix(part, "{") && part != have[i] {
			return false
		}
	}
	return true
}

// follow returns the object at that place, and where it really stands.
func (s *answers) follow(place []string) (map[string]any, []string) {
	object, _ := at(s.doc, place...).(map[string]any)
	if ref, ok := object["$ref"].(string); ok {
		return s.follow(strings.Split(strings.TrimPrefix(ref, "#/"), "/"))
	}
	return object, place
}

func (s *answers) resolve(v any) (map[string]any, bool) {
	object, ok := v.(map[string]any)
	if ref, is := object["$ref"].(string); is {
		object, _ = s.follow(strings.Split(strings.TrimPrefix(ref, "#/"), "/"))
	}
	return object, ok
}

func at(v any, steps ...string) any {
	for _, step := range steps {
		object, _ := v.(map[string]any)
		v = object[step]
	}
	return v
}

// undocumented lists the members of a value that its schema does not name.
func undocumented(schema *jsonschema.Schema, value any, path string) (unknown []string) {
	shapes := shapesOf(schema)
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			for _, shape := range shapes {
				if shape.Items2020 != nil {
					unknown = append(unknown, undocumented(shape.Items2020, item, path+"[]")...)
				}
			}
		}
	case map[string]any:
		for name, member := range value {
			known, open := memberOf(shapes, name)
			switch {
			case known != nil:
				unknown = append(unknown, undocumented(known, member, path+"."+name)...)
			case !open:
				unknown = append(unknown, path+"."+name)
			}
		}
	}
	return unknown
}

// memberOf returns the schema of a member; open: a schema takes any.
func memberOf(shapes []*jsonschema.Schema, name string) (known *jsonschema.Schema, open bool) {
	named := false
	for _, shape := range shapes {
		if member := shape.Properties[name]; member != nil {
			return member, true
		}
		named = named || len(shape.Properties) > 0
		if more, ok := shape.AdditionalProperties.(*jsonschema.Schema); ok {
			return more, true
		} else if more, ok := shape.AdditionalProperties.(bool); ok && more {
			open = true
		}
	}
	return nil, open || !named
}

// shapesOf is a schema and all that it consists of.
func shapesOf(schema *jsonschema.Schema) []*jsonschema.Schema {
	if schema == nil {
		return nil
	}
	shapes := []*jsonschema.Schema{schema}
	for _, part := range slices.Concat(schema.AllOf, schema.AnyOf, schema.OneOf, []*jsonschema.Schema{schema.Ref}) {
		shapes = append(shapes, shapesOf(part)...)
	}
	return shapes
}

func TestTheCheckOfAnswersSees(t *testing.T) {
	d, err := documented()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := d.schema([]string{"components", "schemas", "DeliveryDetail"})
	if err != nil {
		t.Fatal(err)
	}
	var value any
	_ = json.Unmarshal([]byte(`{"id": "x", "lane": {"novel": 1}, "unheard": 2, "case": {"odd": 3}, "history": [{"new": 1}]}`), &value)
	unknown := undocumented(schema, value, "")
	slices.Sort(unknown)
	if !slices.Equal(unknown, []string{".case.odd", ".history[].new", ".lane.novel", ".unheard"}) || schema.Validate(value) == nil {
		t.Errorf("undocumented: %v", unknown)
	}
}
