package handlers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/handlers/web"
)

// keywords are those by which a schema bounds a value.
var keywords = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "maxProperties"}

// limits are the bounds of what is handed over, by the name of the member or parameter.
var limits = map[string]map[string]any{
	delivery.PaceRate:      {"minimum": 0, "maximum": delivery.MaxRate},
	delivery.PaceRampTo:    {"minimum": 0, "maximum": delivery.MaxRate},
	delivery.PaceRampOver:  {"minimum": 0, "maximum": int(delivery.MaxRampOver.Seconds())},
	delivery.PaceCanary:    {"minimum": 0, "maximum": delivery.MaxCanary},
	delivery.PaceStopAbove: {"minimum": 0, "exclusiveMaximum": 1},

	"limit":           {"minimum": 1, "maximum": delivery.MaxPage},
	"reason":          {"minLength": 1, "maxLength": delivery.MaxReason},
	"comment":         {"maxLength": delivery.MaxReason},
	"evidence":        {"maxLength": delivery.MaxEvidence},
	"category":        {"maxLength": delivery.MaxCategory, "pattern": delivery.CategoryPattern},
	"tags":            {"maxItems": delivery.MaxTags},
	"tags[]":          {"pattern": delivery.TagPattern},
	"ticket":          {"maxLength": delivery.MaxTicket},
	"text":            {"maxLength": delivery.MaxNote},
	"search":          {"maxLength": delivery.MaxSearch},
	"ids":             {"maxItems": delivery.MaxChosen},
	"table":           {"maxLength": web.MaxTable},
	"version":         {"minimum": 0},
	"type":            {"minLength": 1, "maxLength": delivery.MaxType},
	"key":             {"maxLength": delivery.MaxKey},
	"headers":         {"maxProperties": delivery.MaxHeaders},
	"idempotency_key": {"maxLength": delivery.MaxIdempotencyKey},
	"Idempotency-Key": {"maxLength": delivery.MaxIdempotencyKey},
	"integration":     {"pattern": delivery.NamePattern},
	"name":            {"pattern": delivery.NamePattern},
	"secret":          {"pattern": delivery.SecretNamePattern},
	"secrets.value":   {"minLength": 1, "maxLength": delivery.MaxSecret},
	"views.name":      {"maxLength": delivery.MaxViewName},
	"tokens.name":     {"minLength": 1, "maxLength": delivery.MaxName},
	"lifetime_hours":  {"minimum": 0},
	"overlap_hours":   {"minimum": 0, "maximum": int(delivery.MaxTokenOverlap.Hours())},
	"integrations":    {"maxItems": delivery.MaxScope},
	"integrations[]":  {"pattern": delivery.NamePattern},
	"labels":          {"maxProperties": delivery.MaxScope},
	"grants":          {"maxItems": api.MaxGrants},
	"attempts":        {"pattern": `^(\d+|\d+\.\.|\.\.\d+|\d+\.\.\d+)$`},
	"id":              {"pattern": api.GroupShape.String()},
	"count":           {"minimum": 1, "maximum": delivery.MaxEndCount},
	"grows":           {"exclusiveMinimum": 1, "maximum": delivery.MaxEndGrows},
}

// TestDocumentedLimitsAreTheDomains: each bound that a request has in the document is the constant that is checked, and wherever a
// body has a member with bounds, they are documented.
func TestDocumentedLimitsAreTheDomains(t *testing.T) {
	described, err := documented()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	check := func(place, name string, schema map[string]any, must bool) {
		if strings.Contains(place, "/views ") && name == "name" {
			name = "views.name"
		}
		if strings.HasPrefix(place, "/api/v1/tokens ") && name == "name" {
			name = "tokens.name"
		}
		if strings.Contains(place, "/secrets/") && name == "value" {
			name = "secrets.value"
		}
		want := limits[name]
		for _, keyword := range keywords {
			got, has := schema[keyword]
			expected, known := want[keyword]
			switch {
			case has && (!known || fmt.Sprint(got) != fmt.Sprint(expected)):
				t.Errorf("%s: %s of %s is %v, the domain has %v", place, keyword, name, got, expected)
			case must && known && !has && (keyword == "maximum" || keyword == "maxLength" || keyword == "maxItems"):
				t.Errorf("%s: %s has no %s, the domain has %v", place, name, keyword, expected)
			case has:
				found[name]++
			}
		}
	}
	for path, methods := range at(described.doc, "paths").(map[string]any) {
		for method, operation := range methods.(map[string]any) {
			place := path + " " + method
			for name, schema := range described.bodyMembers(operation) {
				check(place, name, schema, true)
				if items, ok := described.resolved(schema["items"]); ok {
					check(place, name+"[]", items, false)
				}
			}
			for name, schema := range described.parametersOf(operation) {
				check(place, name, schema, name == "limit")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if found[name] == 0 {
			t.Errorf("no request of the document bounds %s", name)
		}
	}
}

// resolved follows references and lays schemas that are joined over each other.
func (a *answers) resolved(schema any) (map[string]any, bool) {
	object, ok := schema.(map[string]any)
	if !ok {
		return nil, false
	}
	out := maps.Clone(object)
	if ref, _ := object["$ref"].(string); ref != "" {
		target, _ := a.resolved(at(a.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
		for k, v := range target {
			if _, own := out[k]; !own {
				out[k] = v
			}
		}
	}
	return out, true
}

// bodyMembers are the schemas of the members of an operation's JSON body.
func (a *answers) bodyMembers(operation any) map[string]map[string]any {
	out := map[string]map[string]any{}
	body, _ := operation.(map[string]any)["requestBody"].(map[string]any)
	schema, _ := a.resolved(at(body, "content", "application/json", "schema"))
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		if member, ok := a.resolved(property); ok {
			out[name] = member
		}
	}
	return out
}

// parametersOf are the schemas of an operation's parameters; where values repeat, those of one value.
func (a *answers) parametersOf(operation any) map[string]map[string]any {
	out := map[string]map[string]any{}
	list, _ := operation.(map[string]any)["parameters"].([]any)
	for _, parameter := range list {
		p, _ := a.resolved(parameter)
		name, _ := p["name"].(string)
		if schema, ok := a.resolved(p["schema"]); ok {
			if items, repeats := a.resolved(schema["items"]); repeats {
				schema = items
			}
			out[name] = schema
		}
	}
	return out
}

func TestDocumentedListsAreTheDomains(t *testing.T) {
	doc := readOpenAPI(t)
	for name, words := range map[string][]string{"methodParam": texts(delivery.Methods), "errorClassParam": delivery.ErrorClasses} {
		var parameter struct {
			Schema struct{ Items struct{ Enum []string } }
		}
		if err := json.Unmarshal(doc.Components["parameters"][name], &parameter); err != nil {
			t.Fatal(err)
		}
		got, want := slices.Sorted(slices.Values(parameter.Schema.Items.Enum)), slices.Sorted(slices.Values(words))
		if !slices.Equal(got, want) {
			t.Errorf("%s documents %v, the domain has %v", name, got, want)
		}
	}
}

func texts[T ~string](list []T) (out []string) {
	for _, word := range list {
		out = append(out, string(word))
	}
	return out
}
