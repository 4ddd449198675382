package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

var (
	FailureParams = []string{
		"state",
		"integration",
		"method",
		"destination",
		"error_class",
		"group",
		"group_message",
		"key",
		"message",
		"id",
		"type",
		"attempts",
		"q",
		"payload",
		"path",
		"operator",
		"assignee",
		"tag",
		"ticket",
		"acknowledged",
		"from",
		"to",
		"search",
		"sort",
		"after",
		"limit",
	}
	GroupParams = []string{
		"state",
		"by",
		"status",
		"integration",
		"method",
		"destination",
		"error_class",
		"group",
		"group_message",
		"q",
		"sort",
		"after",
		"limit",
	}
	AuditParams = []string{"actor", "action", "subject", "data_subject", "from", "to", "after", "limit"}
	Repeatable  = []string{
		"state",
		"integration",
		"method",
		"destination",
		"error_class",
		"group",
		"group_message",
		"id",
		"type",
		"path",
		"operator",
		"assignee",
		"tag",
		"by",
		"status",
	}
)

// BadParameter is a mistake in one parameter of an address: status 400.
func BadParameter(key, name string, args ...any) Problem {
	return BadField(http.StatusBadRequest, key, name, args...)
}

// OnlyParams refuses parameters that a list does not know: a misspelt filter would show everything.
func OnlyParams(q url.Values, allowed ...string) error {
	for name, values := range q {
		if !slices.Contains(allowed, name) {
			known := "none"
			if len(allowed) > 0 {
				known = strings.Join(allowed, ", ")
			}
			return BadField(http.StatusBadRequest, "unknown_parameter", name, "name", name, "known", known)
		}
		if len(values) > 1 && !slices.Contains(Repeatable, name) {
			return BadParameter("invalid_parameter.repeated", name, "name", name)
		}
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return BadParameter("invalid_parameter.text", name, "name", name)
			}
		}
	}
	return nil
}

// FailureFilter reads the filter of a list from the query of its address: what delivery.Filter.Values writes.
func FailureFilter(q url.Values, allowed []string) (delivery.Filter, error) {
	f := delivery.Filter{
		Groups:        Given(q["group"]),
		GroupMessages: Given(q["group_message"]),
		Types:         Given(q["type"]),
		Actors:        Given(q["operator"]),
		Assignees:     Given(q["assignee"]),
		Tags:          Given(q["tag"]),
		Key:           q.Get("key"),
		Query:         q.Get("q"),
		Words:         q.Get("payload"),
		Ticket:        q.Get("ticket"),
		After:         q.Get("after"),
	}
	if err := OnlyParams(q, allowed...); err != nil {
		return f, err
	}
	if q.Get("search") != "" {
		merged, err := mergeSearch(q, time.Now(), time.UTC)
		if err != nil {
			return f, err
		}
		return FailureFilter(merged, append(slices.Clone(allowed), "sort"))
	}
	err := FirstError(identifiers(q, &f), OneOf(q, "state", delivery.States, &f.States),
		OneOf(q, "method", delivery.Methods, &f.Methods),
		OneOf(q, "destination", delivery.DestinationKinds(), &f.Destinations),
		OneOf(q, "error_class", delivery.ErrorClasses, &f.ErrorClasses), attempts(q, &f.Attempts), pathValues(q, &f.Paths),
		acknowledged(q, &f.Acknowledged), payloadWords(q.Get("payload")), sortOrder(q, &f.Sort),
		timeRange(q, &f.From, &f.To), PageLimit(q, &f.Limit))
	return f, err
}

// mergeSearch returns the query with what its search selects as parameters of their own. Two values for one field are refused: it
// would not be plain which of them counts.
func mergeSearch(q url.Values, now time.Time, zone *time.Location) (url.Values, error) {
	found, err := delivery.ParseSearch(q.Get("search"), now, zone)
	var mistake *delivery.InputError
	if errors.As(err, &mistake) {
		return nil, ProblemSaying(http.StatusBadRequest, mistake.Code, "search", mistake.Phrase())
	}
	if err != nil {
		return nil, err
	}
	merged := maps.Clone(q)
	delete(merged, "search")
	for name, values := range found.Values() {
		if len(Given(merged[name])) > 0 {
			return nil, BadParameter("invalid_parameter.also_in_search", name, "name", name)
		}
		merged[name] = values
	}
	return merged, nil
}

// Mine names the person for whom "me" stands.
func Mine(c echo.Context, f delivery.Filter) delivery.Filter {
	f.Assignees = slices.Clone(f.Assignees)
	for i, name := range f.Assignees {
		if name == delivery.AssigneeMe {
			f.Assignees[i] = Who(c).ID
		}
	}
	return f
}

// identifiers reads names and ids.
func identifiers(q url.Values, f *delivery.Filter) error {
	f.Integrations = Given(q["integration"])
	for _, name := range f.Integrations {
		if !delivery.IsName(name) {
			return BadParameter("invalid_parameter.integration", "integration")
		}
	}
	if f.MessageID = strings.ToLower(q.Get("message")); f.MessageID != "" && !delivery.IsUUID(f.MessageID) {
		return BadParameter("invalid_parameter.message", "message")
	}
	for _, id := range Given(q["id"]) {
		if id = strings.ToLower(id); !delivery.IsUUID(id) {
			return BadParameter("invalid_parameter.id", "id")
		}
		f.IDs = append(f.IDs, id)
	}
	return nil
}

func attempts(q url.Values, into *delivery.Range) error {
	r, ok := delivery.ParseRange(q.Get("attempts"))
	if !ok {
		return BadParameter("invalid_parameter.attempts", "attempts")
	}
	*into = r
	return nil
}

// payloadWords refuses blanks: they are no word to look for, and to look for nothing would select everything.
func payloadWords(text string) error {
	if text != "" && strings.TrimSpace(text) == "" {
		return BadParameter("invalid_parameter.payload", "payload")
	}
	return nil
}

func pathValues(q url.Values, into *[]delivery.PathValue) error {
	for _, text := range Given(q["path"]) {
		p, ok := delivery.ParsePathValue(text)
		if !ok {
			return BadParameter("invalid_parameter.path", "path")
		}
		*into = append(*into, p)
	}
	return nil
}

func acknowledged(q url.Values, into **bool) error {
	switch v := q.Get("acknowledged"); v {
	case "":
	case "true", "false":
		yes := v == "true"
		*into = &yes
	default:
		return BadParameter("invalid_parameter.acknowledged", "acknowledged")
	}
	return nil
}

// AuditFilter reads the parameters of the audit's list. The error is a Problem.
func AuditFilter(q url.Values) (delivery.AuditFilter, error) {
	f := delivery.AuditFilter{Actor: q.Get("actor"), Action: q.Get("action"), Subject: q.Get("subject"), After: q.Get("after"),
		DataSubject: strings.TrimSpace(q.Get("data_subject"))}
	return f, FirstError(OnlyParams(q, AuditParams...), timeRange(q, &f.From, &f.To), PageLimit(q, &f.Limit))
}

// FirstError returns the first that is one.
func FirstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// GroupFilter reads the filter of the group list.
func GroupFilter(q url.Values) (g delivery.GroupFilter, err error) {
	plain := maps.Clone(q)
	for _, own := range []string{"by", "status", "sort"} {
		delete(plain, own)
	}
	if err := OnlyParams(q, GroupParams...); err != nil {
		return g, err
	}
	if g.Filter, err = FailureFilter(plain, GroupParams); err != nil {
		return g, err
	}
	g.Filter.Sort, g.Sort = "", delivery.GroupsLargest
	var sorts []delivery.GroupSort
	err = FirstError(groupKeys(q, &g.By), OneOf(q, "status", delivery.GroupStatuses, &g.Statuses), OneOf(q,
		"sort", delivery.GroupSorts, &sorts))
	if len(sorts) > 0 {
		g.Sort = sorts[0]
	}
	return g, err
}

// byFingerprint is how groups are made when an address names no key.
const byFingerprint = "fingerprint"

// groupKeys reads the keys of groups, repeated or in a comma list.
func groupKeys(q url.Values, into *[]delivery.GroupKey) error {
	words := url.Values{"by": strings.Split(strings.Join(q["by"], ","), ",")}
	var keys []delivery.GroupKey
	if err := OneOf(words, "by", append(slices.Clone(delivery.GroupKeys), byFingerprint), &keys); err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b delivery.GroupKey) int {
		return slices.Index(delivery.GroupKeys, a) - slices.Index(delivery.GroupKeys, b)
	})
	if keys = slices.Compact(keys); len(keys) > 1 && keys[0] == byFingerprint {
		return BadParameter("invalid_parameter.by", "by")
	} else if len(keys) == 1 && keys[0] == byFingerprint {
		keys = nil
	}
	*into = keys
	return nil
}

// Given drops empty values: a form with nothing chosen sends them.
func Given(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// OneOf reads a repeatable parameter whose values are known words.
func OneOf[T ~string](q url.Values, name string, known []T, into *[]T) error {
	for _, v := range Given(q[name]) {
		if !slices.Contains(known, T(v)) {
			return BadParameter("invalid_parameter.choice", name, "name", name, "known", known)
		}
		*into = append(*into, T(v))
	}
	return nil
}

func sortOrder(q url.Values, into *delivery.Sort) error {
	*into = delivery.SortNewest
	if v := delivery.Sort(q.Get("sort")); v != "" {
		*into = v
	}
	if *into != delivery.SortNewest && *into != delivery.SortOldest {
		return BadParameter("invalid_parameter.sort", "sort")
	}
	return nil
}

func timeRange(q url.Values, from, to **time.Time) error {
	for name, into := range map[string]**time.Time{"from": from, "to": to} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return BadParameter("invalid_parameter.time", name, "name", name)
		}
		*into = &t
	}
	if *from != nil && *to != nil && (*to).Before(**from) {
		return BadParameter("invalid_parameter.time_order", "to")
	}
	return nil
}

// PageLimit reads how many a page has; without the parameter into stays.
func PageLimit(q url.Values, into *int) error {
	v := q.Get("limit")
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > delivery.MaxPage {
		return BadParameter("invalid_parameter.limit", "limit", "max", delivery.MaxPage)
	}
	*into = n
	return nil
}
