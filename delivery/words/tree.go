package words

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what is looked at: hostile answers are nothing but brackets.
const (
	maxNodes = 2000
	maxDepth = 24
	maxText  = 8 << 10 // of an element whose text is in pieces
)

// node is a value of JSON, XML or a form.
type node struct {
	key    string
	text   string // of a leaf
	leaf   bool
	number bool
	list   bool
	kids   []*node
}

// tree is built from the outside to the inside.
type tree struct {
	root  *node
	open  []*node // what is not closed yet, the outermost first
	deep  int     // levels below the deepest that is kept
	nodes int
}

// add puts a value into what is open.
func (t *tree) add(n *node) {
	t.nodes++
	switch {
	case t.deep > 0:
	case t.root == nil:
		t.root = n
	case len(t.open) > 0:
		parent := t.open[len(t.open)-1]
		if parent.list {
			n.key = parent.key
		}
		parent.kids = append(parent.kids, n)
	}
}

func (t *tree) enter(n *node) {
	if t.deep > 0 || len(t.open) == maxDepth {
		t.deep++
		t.nodes++
		return
	}
	t.add(n)
	t.open = append(t.open, n)
}

func (t *tree) leave() {
	switch {
	case t.deep > 0:
		t.deep--
	case len(t.open) > 0:
		t.open = t.open[:len(t.open)-1]
	}
}

// readJSON reads a text of JSON as far as it goes: the rest may have been cut. It returns nil for what is none.
func readJSON(text string) *node {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var t tree
	key, named := "", false
	for t.nodes < maxNodes {
		token, err := d.Token()
		if err != nil {
			break
		}
		if name, ok := token.(string); ok && !named && t.inObject() {
			key, named = name, true
			continue
		}
		t.take(token, key)
		key, named = "", false
		if len(t.open) == 0 && t.deep == 0 {
			break
		}
	}
	return t.root
}

// inObject reports whether a text that comes next is a name.
func (t *tree) inObject() bool { return t.deep == 0 && len(t.open) > 0 && !t.open[len(t.open)-1].list }

func (t *tree) take(token json.Token, key string) {
	switch v := token.(type) {
	case json.Delim:
		switch v {
		case '{', '[':
			t.enter(&node{key: key, list: v == '['})
		default:
			t.leave()
		}
	case string:
		t.add(&node{key: key, text: v, leaf: true})
	case json.Number:
		t.add(&node{key: key, text: v.String(), leaf: true, number: true})
	default: // true, false and null tell nothing
		t.nodes++
	}
}

// readXML reads a text of XML as far as it goes. Attributes are values of their element.
func readXML(text string) *node {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = false
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil } // it was decoded before
	var t tree
	for t.nodes < maxNodes {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch v := token.(type) {
		case xml.StartElement:
			t.enter(&node{key: v.Name.Local})
			t.attributes(v.Attr)
		case xml.EndElement:
			t.leave()
		case xml.CharData:
			t.write(v)
		}
	}
	settle(t.root)
	return t.root
}

// write adds to the text of what is open.
func (t *tree) write(text []byte) {
	if t.deep == 0 && len(t.open) > 0 {
		if n := t.open[len(t.open)-1]; len(n.text) < maxText {
			n.text += string(text)
		}
	}
}

func (t *tree) attributes(list []xml.Attr) {
	for _, a := range list {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" && a.Name.Local != "lang" {
			t.add(&node{key: a.Name.Local, text: a.Value, leaf: true})
		}
	}
}

// settle makes leaves of elements without others.
func settle(n *node) {
	if n == nil {
		return
	}
	n.leaf = n.leaf || len(n.kids) == 0
	for _, kid := range n.kids {
		settle(kid)
	}
}

func readForm(form url.Values) *node {
	root := &node{}
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxNodes)] {
		root.kids = append(root.kids, &node{key: name, text: form.Get(name), leaf: true})
	}
	return root
}
