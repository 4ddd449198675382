package words

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"redrive/delivery"
)

const (
	maxBlocks = 40 // texts of a page that are looked at
	maxTokens = 8000
)

// page is what a page of HTML says.
type page struct {
	title, heading string
	blocks         []string // in the order of the page
}

// html is the title of a page, or what it says first where its title only repeats the status.
func (a Answer) html(text string) string {
	p := readPage(text)
	title := withoutStatus(p.title)
	if message := p.message(); message != "" && a.tells(message) { // Tomcat
		return message
	}
	if a.tells(title) {
		return title
	}
	for _, block := range append([]string{p.heading}, p.blocks...) {
		if block = withoutStatus(block); a.tells(block) {
			if title != "" && title != block {
				return title + ", " + block
			}
			return block
		}
	}
	return title
}

// message is what Tomcat writes behind this word.
func (p page) message() string {
	for _, block := range p.blocks {
		if message, ok := strings.CutPrefix(block, "Message "); ok {
			return message
		}
	}
	return ""
}

var statusFirst = regexp.MustCompile(`^(?i:(HTTP )?(Status|Error)?\s*\d{3}\s*[-–—:|]?\s*)`)

func withoutStatus(text string) string {
	return strings.TrimSpace(statusFirst.ReplaceAllString(text, ""))
}

// readPage reads a page as far as it goes.
func readPage(text string) page {
	var p page
	var block strings.Builder
	z := html.NewTokenizer(strings.NewReader(text))
	flush := func(to *string) {
		if line := delivery.OneLine(block.String()); line != "" {
			if to != nil && *to == "" {
				*to = line
			} else if to == nil {
				p.blocks = append(p.blocks, line)
			}
		}
		block.Reset()
	}
	for range maxTokens {
		kind := z.Next()
		if kind == html.ErrorToken || len(p.blocks) >= maxBlocks {
			break
		}
		name, _ := z.TagName()
		tag := atom.Lookup(name)
		switch kind {
		case html.TextToken:
			block.Write(z.Text())
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			closed := kind == html.EndTagToken
			switch {
			case tag == atom.Script || tag == atom.Style || tag == atom.Noscript:
				if closed {
					block.Reset()
				} else {
					flush(nil)
				}
			case closed && tag == atom.Title:
				flush(&p.title)
			case closed && tag == atom.H1:
				flush(&p.heading)
			case !inline[tag]:
				flush(nil)
			}
		}
	}
	flush(nil)
	return p
}

// inline elements do not end a text.
var inline = map[atom.Atom]bool{
	atom.B:      true,
	atom.I:      true,
	atom.Em:     true,
	atom.Strong: true,
	atom.A:      true,
	atom.Span:   true,
	atom.Code:   true,
	atom.Tt:     true,
	atom.U:      true,
	atom.Small:  true,
	atom.Font:   true,
	atom.Sub:    true,
	atom.Sup:    true,
	atom.Abbr:   true,
}
