package delivery

import (
	"slices"
	"strconv"
	"strings"
)

// searchField is a field of the search bar and what its values do to the filter.
type searchField struct {
	name    string
	aliases []string
	list    bool // commas separate alternatives
	example string
	values  func() []string // all that there are, where these are ours; the most useful first
	set     func(p *searchParser, values []string) error
}

var searchFields = []searchField{
	{
		name:    "state",
		list:    true,
		example: "dead,pending",
		values:  searchedStates,
		set:     setStates,
	},
	{name: "integration", list: true, example: "seller-push", set: integrationNames},
	{name: "method", list: true, example: "outbox", values: func() []string { return texts(Methods) },
		set: known("method", Methods, func(f *Filter) *[]Method { return &f.Methods })},
	{name: "destination", list: true, example: "http", values: DestinationKinds,
		set: func(p *searchParser, values []string) error {
			return known("destination", DestinationKinds(), func(f *Filter) *[]string { return &f.Destinations })(p, values)
		}},
	{name: "class", aliases: []string{"error_class"}, list: true, example: "timeout", values: func() []string { return ErrorClasses },
		set: known("class", ErrorClasses, func(f *Filter) *[]string { return &f.ErrorClasses })},
	{
		name:    "group",
		list:    true,
		example: "0f3a...",
		set:     several(func(f *Filter) *[]string { return &f.Groups }),
	},
	{name: "groupmessage", list: true, example: `"answered 503"`,
		set: several(func(f *Filter) *[]string { return &f.GroupMessages })},
	{name: "key", example: "order-4711", set: one("key", func(f *Filter) *string { return &f.Key })},
	{name: "message", example: "0192f0c1-...", set: messageID},
	{name: "id", list: true, example: "0192f0c1-...", set: failureIDs},
	{
		name:    "type",
		list:    true,
		example: "order.placed",
		set:     several(func(f *Filter) *[]string { return &f.Types }),
	},
	{name: "attempts", example: ">=3", set: setAttempts},
	{name: "since", aliases: []string{"from"}, example: "2h", set: setSince},
	{name: "until", example: "2026-11-25", set: setUntil},
	{name: "before", example: "2026-11-25T10:00", set: setBefore},
	{
		name:    "payload",
		example: "smith",
		set:     payloadWords,
	},
	{
		name:    "by",
		aliases: []string{"operator"},
		list:    true,
		example: "anna",
		values:  func() []string { return []string{ActorPolicy} },
		set:     several(func(f *Filter) *[]string { return &f.Actors }),
	},
	{name: "assignee", list: true, example: AssigneeMe, values: func() []string { return []string{AssigneeMe, NoAssignee} },
		set: several(func(f *Filter) *[]string { return &f.Assignees })},
	{
		name:    "tag",
		list:    true,
		example: "refund",
		set:     several(func(f *Filter) *[]string { return &f.Tags }),
	},
	{name: "ticket", example: "OPS-12", set: one("ticket", func(f *Filter) *string { return &f.Ticket })},
	{name: "is", example: isUnacknowledged, values: func() []string { return []string{isUnacknowledged, isAcknowledged} },
		set: setAcknowledged},
	{name: "sort", example: string(SortOldest), values: func() []string { return texts([]Sort{SortNewest, SortOldest}) }, set: setSort},
}

// Words of the search bar.
const (
	AnyState   = "any" // of state: every state
	AssigneeMe = "me"  // of assignee: whoever searches

	isAcknowledged   = "acknowledged"
	isUnacknowledged = "unacknowledged"
)

// SearchValues are the values that a field of the search bar has by itself, the most useful first; nil for one whose values are data.
func SearchValues(field string) []string {
	if f := fieldNamed(field); f != nil && f.values != nil {
		return slices.Clone(f.values())
	}
	return nil
}

func searchedStates() []string {
	others := slices.DeleteFunc(texts(States), func(s string) bool { return s == string(StateDead) || s == string(StateDelivered) })
	return slices.Concat([]string{string(StateDead)}, others, []string{string(StateDelivered), AnyState})
}

// maxAttempts is the largest number of attempts that is searched for.
const maxAttempts = 1_000_000

func fieldNamed(name string) *searchField {
	name = strings.ToLower(name)
	for i, f := range searchFields {
		if f.name == name || slices.Contains(f.aliases, name) {
			return &searchFields[i]
		}
	}
	return nil
}

// several adds values of any kind, each once.
func several(list func(*Filter) *[]string) func(*searchParser, []string) error {
	return func(p *searchParser, values []string) error {
		addEach(list(&p.f), values)
		return nil
	}
}

func addEach[T comparable](list *[]T, values []T) {
	for _, v := range values {
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
}

func one(field string, text func(*Filter) *string) func(*searchParser, []string) error {
	return func(p *searchParser, values []string) error {
		*text(&p.f) = values[0]
		return p.single(field, values[0])
	}
}

// known adds values of a list of ours.
func known[T ~string](field string, all []T, list func(*Filter) *[]T) func(*searchParser, []string) error {
	return func(p *searchParser, values []string) error {
		for _, v := range values {
			if !slices.Contains(all, T(strings.ToLower(v))) {
				return Mistake("bad_search.unknown_value", field, "field", field, "value", v, "known", all)
			}
			addEach(list(&p.f), []T{T(strings.ToLower(v))})
		}
		return nil
	}
}

func setStates(p *searchParser, values []string) error {
	for _, v := range values {
		state := State(strings.ToLower(v))
		switch {
		case state == AnyState:
			addEach(&p.f.States, States)
		case slices.Contains(States, state):
			addEach(&p.f.States, []State{state})
		default:
			return Mistake("bad_search.unknown_state", "state", "value", v, "known", States)
		}
	}
	return nil
}

func integrationNames(p *searchParser, values []string) error {
	for _, v := range values {
		if len(v) > 63 || strings.Trim(v, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return Mistake("bad_search.integration", "integration", "value", v)
		}
	}
	addEach(&p.f.Integrations, values)
	return nil
}

func messageID(p *searchParser, values []string) error {
	id := strings.ToLower(values[0])
	if !IsUUID(id) {
		return Mistake("bad_search.message", "message")
	}
	p.f.MessageID = id
	return p.single("message", id)
}

func failureIDs(p *searchParser, values []string) error {
	for _, v := range values {
		id := strings.ToLower(v)
		if !IsUUID(id) {
			return Mistake("bad_search.id", "id")
		}
		addEach(&p.f.IDs, []string{id})
	}
	return nil
}

func payloadWords(p *searchParser, values []string) error {
	if strings.TrimSpace(values[0]) == "" {
		return Mistake("bad_search.payload", "payload")
	}
	p.words = append(p.words, values[0])
	return nil
}

func setAcknowledged(p *searchParser, values []string) error {
	word := strings.ToLower(values[0])
	if word != isAcknowledged && word != isUnacknowledged {
		return Mistake("bad_search.is", "is")
	}
	yes := word == isAcknowledged
	p.f.Acknowledged = &yes
	return p.single("is", word)
}

func setSort(p *searchParser, values []string) error {
	p.f.Sort = Sort(strings.ToLower(values[0]))
	if p.f.Sort != SortNewest && p.f.Sort != SortOldest {
		return Mistake("bad_search.sort", "sort")
	}
	return p.single("sort", string(p.f.Sort))
}

// setAttempts may come twice: once for each end.
func setAttempts(p *searchParser, values []string) error {
	r, ok := parseRange(values[0])
	both := &p.f.Attempts
	if !ok || r.Min != nil && both.Min != nil || r.Max != nil && both.Max != nil {
		return Mistake("bad_search.attempts", "attempts")
	}
	if r.Min != nil {
		both.Min = r.Min
	}
	if r.Max != nil {
		both.Max = r.Max
	}
	if both.Min != nil && both.Max != nil && *both.Min > *both.Max {
		return Mistake("bad_search.attempts_none", "attempts", "least", *both.Min, "most", *both.Max)
	}
	return nil
}

func parseRange(text string) (r Range, ok bool) {
	for _, sign := range []struct {
		text      string
		low       bool
		exclusive int
	}{{">=", true, 0}, {"<=", false, 0}, {">", true, 1}, {"<", false, -1}} {
		if number, found := strings.CutPrefix(text, sign.text); found {
			end, ok := parseCount(number, sign.exclusive)
			if sign.low {
				return Range{Min: end}, ok
			}
			return Range{Max: end}, ok
		}
	}
	low, high, both := strings.Cut(text, "..")
	if !both {
		high = low
	}
	if low != "" || !both {
		r.Min, ok = parseCount(low, 0)
	}
	if high != "" && (ok || low == "") {
		r.Max, ok = parseCount(high, 0)
	}
	return r, ok
}

func parseCount(text string, add int) (*int, bool) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxAttempts || n+add < 0 || n+add > maxAttempts {
		return nil, false
	}
	n += add
	return &n, true
}
