package delivery

import "testing"

func TestRangesAreReadAsTheyAreWritten(t *testing.T) {
	for text, bounds := range map[string][2]int{"": {-1, -1}, "3": {3, 3}, "3..": {3, -1}, "..5": {-1, 5}, "3..5": {3, 5}, "0": {0, 0}} {
		r, ok := ParseRange(text)
		if !ok || rangeValue(r) != text || (r.Min == nil) != (bounds[0] < 0) || (r.Max == nil) != (bounds[1] < 0) {
			t.Errorf("%q: %v %v, written %q", text, r, ok, rangeValue(r))
		}
		if r.Min != nil && *r.Min != bounds[0] || r.Max != nil && *r.Max != bounds[1] {
			t.Errorf("%q: %d to %d", text, *r.Min, *r.Max)
		}
	}
	for _, bad := range []string{"..", "x", "-1", "+1", "5..3", "1..2..3", "1.5", " 1", "99999999999999999999", "2147483648", "3..x"} {
		if r, ok := ParseRange(bad); ok {
			t.Errorf("%q is read as %v", bad, r)
		}
	}
}

func TestPathValuesAreCutAfterThePath(t *testing.T) {
	for text, want := range map[string]PathValue{
		"$.a.b=4711": {"$.a.b", "4711"}, "$.a=b=c": {"$.a", "b=c"}, "$.a=": {"$.a", ""}, "$['a=b'].c[0]=x=y": {"$['a=b'].c[0]", "x=y"},
		`$["a]=b"]=1`: {`$["a]=b"]`, "1"}, "$.items[*].sku=A [1]": {"$.items[*].sku", "A [1]"},
	} {
		if got, ok := ParsePathValue(text); !ok || got != want || got.String() != text {
			t.Errorf("%q: %+v %v", text, got, ok)
		}
	}
	for _, bad := range []string{"", "=", "$=1", "a.b=1", "$.a", "$['a=1", "$.a[x]=1", "$[", "$['a'"} {
		if got, ok := ParsePathValue(bad); ok {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}
