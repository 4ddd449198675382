package words

import (
	"regexp"
	"strings"

	"redrive/delivery"
)

var (
	// exception is a line by which Java and .NET begin a stack trace, without the words before it.
	exception = regexp.MustCompile("^([\\p{L}_][\\p{L}\\p{N}_$`+]*(?:\\.[\\p{L}_$][\\p{L}\\p{N}_$`+]*)*)(?:: ?(.*))?$")
	// inner is where .NET names the next exception further in.
	inner = regexp.MustCompile(`^\s*---> `)
)

const (
	causedBy = "Caused by: "
	listed   = "(Inner Exception #"
)

// Innermost is the exception at the bottom of a stack trace as Java and .NET write one: its class, and what it says in its first line.
// Both are empty where the trace names none. What Java says of suppressed exceptions, which are no cause, is passed over, and of several that
// .NET has in one the first counts, which stands before their list.
func Innermost(trace string) (class, text string) {
	for n, line := range strings.Split(strings.ReplaceAll(trace, " ---> ", "\n ---> "), "\n") {
		line = strings.TrimRight(line, "\r ")
		rest, deeper := strings.CutPrefix(line, causedBy)
		if at := inner.FindString(line); at != "" {
			rest, deeper = line[len(at):], true
		}
		if deeper && strings.HasPrefix(rest, listed) {
			break
		}
		if found := exception.FindStringSubmatch(rest); found != nil && (deeper || n == 0 && isThrown(found[1])) {
			class, text = found[1], delivery.OneLine(found[2])
		}
	}
	return class, text
}

// isThrown reports whether a name is one of an exception: the first line of a text that is no trace may look like one.
func isThrown(name string) bool {
	return strings.Contains(name, ".") || strings.HasSuffix(name, "Exception") || strings.HasSuffix(name, "Error")
}
