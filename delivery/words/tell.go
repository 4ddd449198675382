package words

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"redrive/delivery"
)

const maxPieces = 8 // of an answer: the first of several errors tell

func set(names string) map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		m[name] = true
	}
	return m
}

// Names of what tells, in small letters and without marks between them, as the frameworks and services of this world write them.
var (
	// texts are for people. The order is that in which they are said.
	texts = strings.Fields(`
		title errorsummary message errormessage errormsg msg faultstring error errordescription description detail details
		reason submsg issue usermessage developermessage exceptionmessage statusmessage resultmessage resultmsg returnmsg retmsg
		longmessage shortmessage lerrorlongmsg errortext text summary info cause fault statustext hint`)
	// codes are for machines.
	codes = strings.Fields(`
		code errorcode errcode subcode errorsubcode declinecode faultcode type errortype status name resultcode returncode
		retcode statuscode exception exceptiontype keyword rule`)
	// containers hold what tells.
	containers = set(`
		error errors fault details detail innererror extensions rootcause causedby cause violations constraintviolations
		invalidparams invalidfields fielderrors validationerrors globalerrors suberrors errordetails problems failures issues messages
		body response result results meta status data reason errorresponse warnings exception formerrors`)
	// byField are containers whose members are named by what they are about.
	byField = set("errors fielderrors validationerrors validation fields messages formerrors invalidfields error")
	// fields name what a text is about.
	fields = strings.Fields("field param parameter property propertypath propertyname path loc attribute pointer " +
		"instancepath source target fields location name")
	// sides are codes that only say whose fault it is.
	sides = set("sender receiver client server soapserver soapclient true false error fail failed failure ko nok " +
		"fault apierror api")
)

var (
	marks     = strings.NewReplacer("_", "", "-", "", ".", "", "@", "", " ", "", "$", "")
	codeShape = regexp.MustCompile(`^-?[A-Za-z0-9][A-Za-z0-9_.:#/-]{0,63}$`)
	trace     = regexp.MustCompile(`[\r\n]\s*(at |File |#\d|from )`) // lines of a stack trace
)

func (n *node) name() string { return marks.Replace(strings.ToLower(n.key)) }

// kid is the first value of that name.
func (n *node) kid(name string) *node {
	for _, k := range n.kids {
		if k.name() == name {
			return k
		}
	}
	return nil
}

// teller collects what tells.
type teller struct {
	Answer
	pieces []string
	seen   map[string]bool // normalised: the same of two rows is one
}

func (a Answer) tell(root *node) string {
	if root == nil {
		return ""
	}
	t := teller{Answer: a, seen: map[string]bool{}}
	t.visit(root, "", true)
	if len(t.pieces) == 0 {
		t.search(root)
	}
	if len(t.pieces) == 0 && !root.known() {
		t.byName(root)
	}
	return strings.Join(t.pieces, "; ")
}

// known reports whether an object has a member whose name we know: then the others tell nothing.
func (n *node) known() bool {
	return slices.ContainsFunc(n.kids, func(kid *node) bool {
		return kid.leaf && (slices.Contains(texts, kid.name()) || slices.Contains(codes, kid.name()))
	})
}

// visit tells what a value says, and what is in its containers. about is the field that it is about.
func (t *teller) visit(n *node, about string, isRoot bool) {
	switch {
	case len(t.pieces) >= maxPieces:
	case n.leaf:
		t.say(about, []string{t.text(n)}, nil)
	case n.list:
		for _, kid := range n.kids {
			t.visit(kid, about, false)
		}
	default:
		if !isRoot {
			about = join(about, n.about())
		}
		said, coded := t.own(n)
		t.say(about, said, coded)
		t.inside(n, about, len(said)+len(coded) == 0)
	}
}

func (t *teller) inside(n *node, about string, silent bool) {
	for _, kid := range n.kids {
		if !kid.leaf && containers[kid.name()] {
			t.visit(kid, about, false)
		}
	}
	if silent && byField[n.name()] {
		t.byName(n)
	}
}

// byName tells the texts of an object whose members are named by what they are about: {"email": ["is not valid"]}.
func (t *teller) byName(n *node) {
	for _, kid := range n.kids {
		if len(t.pieces) >= maxPieces || kid.number || !kid.leaf && !kid.list || containers[kid.name()] && !kid.leaf {
			continue
		}
		if kid.leaf {
			t.say(kid.key, []string{t.text(kid)}, nil)
			continue
		}
		for _, item := range kid.kids {
			if item.leaf && !item.number {
				t.say(kid.key, []string{t.text(item)}, nil)
			} else if !item.leaf {
				t.visit(item, kid.key, false)
			}
		}
	}
}

// search looks for the outermost value that tells something.
func (t *teller) search(root *node) {
	for level := []*node{root}; len(level) > 0 && len(t.pieces) == 0; {
		var next []*node
		for _, n := range level {
			for _, kid := range n.kids {
				if !kid.leaf {
					next = append(next, kid)
				}
			}
		}
		for _, n := range next {
			if !n.list && len(t.pieces) == 0 {
				t.visit(n, "", true)
			}
		}
		level = next
	}
}

// own are the texts and codes of an object itself.
func (t *teller) own(n *node) (said, coded []string) {
	for _, name := range texts {
		if kid := n.kid(name); kid != nil && !kid.number {
			switch text := t.text(kid); {
			case !t.tells(text) || told(said, text):
			case isConstant(text):
				coded = append(coded, text)
			default:
				said = append(said, text)
			}
		}
	}
	for _, name := range codes {
		kid := n.kid(name)
		if kid == nil {
			continue
		}
		if code := t.code(name, kid); code != "" && !told(said, code) && !told(coded, code) {
			coded = append(coded, code)
		}
	}
	return said, coded
}

// told reports whether one of the texts has that in it.
func told(said []string, text string) bool {
	return slices.ContainsFunc(said, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(text)) })
}

// text is what a value says in one line; of a stack trace the first line.
func (t *teller) text(n *node) string {
	text := strings.TrimSpace(n.text)
	if at := trace.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") || text == "about:blank" {
		return "" // the address of an explanation
	}
	return delivery.OneLine(text)
}

// code is a code, unless it repeats the status or says nothing.
func (t *teller) code(name string, n *node) string {
	if value := n.kid("value"); value != nil { // SOAP 1.2
		n = value
	}
	code := strings.TrimSpace(n.text)
	if strings.Contains(code, "://") {
		return ""
	}
	if at := strings.LastIndexByte(code, '#'); at >= 0 { // a shape of AWS
		code = code[at+1:]
	}
	if name == "faultcode" || name == "code" && strings.Count(code, ":") == 1 {
		code = code[strings.IndexByte(code, ':')+1:]
	}
	switch {
	case !codeShape.MatchString(code), strings.Contains(code, "/") && strings.Contains(code, "."),
		sides[marks.Replace(strings.ToLower(code))], code == strconv.Itoa(t.Status), code == "0":
		return ""
	case (name == "name" || name == "status") && !isConstant(code):
		return ""
	case strings.IndexFunc(code, unicode.IsLetter) >= 0 && !t.tells(code):
		return ""
	}
	return code
}

// isConstant reports whether a word is a name of an error and nobody's own.
func isConstant(word string) bool {
	return codeShape.MatchString(word) &&
		(strings.Contains(word, "_") && (word == strings.ToUpper(word) || word == strings.ToLower(word)) || strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Exception"))
}

// about is the field that an object speaks of.
func (n *node) about() string {
	for _, name := range fields {
		kid := n.kid(name)
		switch {
		case kid == nil || name == "name" && n.kid("reason") == nil:
		case kid.leaf && !kid.number && len(kid.text) <= 100:
			return delivery.OneLine(kid.text)
		case kid.list:
			var parts []string
			for _, part := range kid.kids[:min(len(kid.kids), 8)] {
				parts = append(parts, part.text)
			}
			return delivery.OneLine(strings.Join(parts, "."))
		case name == "source":
			for _, inner := range kid.kids {
				if inner.leaf {
					return delivery.OneLine(inner.text)
				}
			}
		}
	}
	return ""
}

func join(outer, inner string) string {
	if outer != "" && inner != "" && outer != inner {
		return outer + "." + inner
	}
	return outer + inner
}

// say adds a piece, unless the same was said of another row.
func (t *teller) say(about string, said, coded []string) {
	said = slices.DeleteFunc(said, func(text string) bool { return text == "" })
	piece := sentences(said)
	switch list := strings.Join(coded, ", "); {
	case list == "":
	case piece == "" && !strings.ContainsAny(list, "0123456789"):
		piece = list
	default: // in this form a code is told from a number of somebody
		piece = strings.TrimSpace(piece + " (code " + list + ")")
	}
	if piece == "" || len(said) > 0 && !t.tells(piece) {
		return
	}
	if about != "" {
		piece = about + ": " + piece
	}
	same := delivery.Normalise(piece)
	if t.seen[same] || told(t.pieces, piece) || len(t.pieces) >= maxPieces {
		return
	}
	t.seen[same] = true
	t.pieces = append(t.pieces, piece)
}

// sentences joins texts.
func sentences(said []string) string {
	var b strings.Builder
	for i, text := range said {
		if i > 0 {
			if !strings.HasSuffix(said[i-1], ".") && !strings.HasSuffix(said[i-1], "。") && !strings.HasSuffix(said[i-1], "!") {
				b.WriteByte('.')
			}
			b.WriteByte(' ')
		}
		b.WriteString(text)
	}
	return b.String()
}
