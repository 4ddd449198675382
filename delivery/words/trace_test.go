package words

import "testing"

func TestTheInnermostException(t *testing.T) {
	for name, c := range map[string]struct{ trace, class, text string }{
		"Java": {"a.b.Outer: outside\n\tat a.B.c(B.java:1)\n\tSuppressed: a.Restored: Stack\n\t\tat a.B\n\tCaused by: a.Suppressed: not this\nCaused by: a.b.Middle: middle\n\tat x\nCaused by: a.b.Inner$1: no such shop: 17\n at [Source: (byte[])]\n\tat y\n\t... 3 more\n",
			"a.b.Inner$1", "no such shop: 17"},
		"Java without a cause":       {"java.lang.IllegalStateException: no such shop: 17\n\tat shop.App.on(App.java:13)", "java.lang.IllegalStateException", "no such shop: 17"},
		"Java without a text":        {"java.lang.IllegalStateException: outer\nCaused by: java.lang.NullPointerException\n\tat shop", "java.lang.NullPointerException", ""},
		".NET":                       {"System.Exception: outer\r\n ---> System.ArgumentException: no such shop: 17\r\n   at Shop.Lookup()\r\n   --- End of inner exception stack trace ---\r\n   at Shop.Handle()", "System.ArgumentException", "no such shop: 17"},
		".NET in one line":           {"System.Exception: outer ---> System.ArgumentException: no such shop: 17\n   at Shop.Lookup()", "System.ArgumentException", "no such shop: 17"},
		".NET, one of several":       {"System.AggregateException: One or more errors occurred. (a)\n ---> System.Exception: first\n   at A\n ---> (Inner Exception #1) System.TimeoutException: second<---", "System.Exception", "first"},
		".NET, several with more":    {"System.AggregateException: several\n ---> System.Exception: first\n   at A\n ---> (Inner Exception #1) System.TimeoutException: second\n ---> System.IO.IOException: deeper\n   at B<---", "System.Exception", "first"},
		".NET, places alone":         {"   at Shop.OrderConsumer.Consume() in /src/OrderConsumer.cs:line 17", "", ""},
		"a text that is no trace":    {"error: the disk is full", "", ""},
		"a word that is one":         {"ValueError: the disk is full", "ValueError", "the disk is full"},
		"a sentence with a colon":    {"no such shop: 17\nCaused by: something that no class is called", "", ""},
		"nothing":                    {"", "", ""},
		"a line that only looks so":  {"a.B: x\n c.D: not a cause\n", "a.B", "x"},
		"letters of other languages": {"com.Läden.Fehlt: kein Laden", "com.Läden.Fehlt", "kein Laden"},
	} {
		if class, text := Innermost(c.trace); class != c.class || text != c.text {
			t.Errorf("%s: %q %q, want %q %q", name, class, text, c.class, c.text)
		}
	}
}
