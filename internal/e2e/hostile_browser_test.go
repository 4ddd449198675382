package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"redrive/handlers"
	"redrive/handlers/web/sso"
	"redrive/store/storetest/hostile"
	"redrive/store/storetest/patience"
)

// watched is a browser that notes what an attack would do.
type watched struct {
	*browser
	hosts  []string // that may be asked
	alarms []string // since the last look
	tags   []string // of the elements that our pages have
	names  []string // of the fields that our forms have
	pages  int
	seen   strings.Builder // all text of all pages, in one line each
	forms  map[string]aForm
}

// aForm is a form that was seen: where it goes, and with which fields.
type aForm struct {
	Action string
	Fields []aField
}

type aField struct{ Name, Value string }

// look says what of the page that is open is not of our making, what text there is, and which forms.
const look = `((tags, hosts) => {
	if (document.contentType !== 'text/html') return {problems: [], text: document.documentElement.textContent, forms: []};
	const problems = [], words = [document.documentElement.textContent];
	for (const e of document.querySelectorAll('*')) {
		if (!tags.includes(e.localName)) problems.push('element ' + e.localName);
		if (e.localName === 'script' && (e.textContent || !(e.getAttribute('src') || '').startsWith('/static/'))) problems.push('script ' + e.outerHTML.slice(0, 80));
		for (const a of e.attributes) {
			words.push(a.value);
			if (/^on|hurt|style|srcdoc|^(data-)?hx-(on|vals|ext|ws|sse)/.test(a.name)) problems.push('attribute ' + a.name + ' of ' + e.localName);
			if (/^(href|src|srcset|action|formaction|data|poster|ping|background|manifest|(data-)?hx-(get|post|put|patch|delete)|data-(url|stream|suggest|begin))$/.test(a.name)) {
				const to = new URL(a.value, location);
				if (!hosts.includes(to.protocol + to.host)) problems.push(a.name + ' ' + a.value.slice(0, 80));
			}
		}
	}
	const fields = (form) => Array.from(form.elements).filter((e) => e.name).map((e) => ({Name: e.name,
		Value: e.type === 'hidden' && !/^(return|next|filter|kept)$/.test(e.name) || e.localName === 'select' || e.type === 'checkbox' || e.type === 'submit' ? e.value : ''}));
	return {problems, text: words.join('\n'),
		forms: Array.from(document.querySelectorAll('form[method=post]')).map((f) => ({Action: f.getAttribute('action'), Fields: fields(f)}))};
})`

// watch opens a tab that tells of scripts, dialogs, violations of the content policy, and requests to others.
func watch(t *testing.T, home *url.URL, others ...string) *watched {
	t.Helper()
	w := &watched{browser: browse(t, home.String(), true), hosts: append(others, home.Host), forms: map[string]aForm{}}
	w.tags = written(t, `<([a-z][a-z0-9]*)`)
	w.names = written(t, ` name="([a-z_]+)"`)
	if err := chromedp.Listen(w.ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(w.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(w.ctx, runtime.AddBinding, runtime.AddBindingParams{Name: hostile.Mark}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) hear(event any) {
	problem := ""
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		problem = "dialog " + e.Message
		go func() {
			_, _ = chromedp.Call(w.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) // the page waits for it
		}()
	case *runtime.EventBindingCalled:
		problem = "a script ran: " + e.Payload
	case *runtime.EventExceptionThrown:
		problem = "exception " + e.ExceptionDetails.Text
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == "security" || strings.Contains(e.Entry.Text, "Content Security Policy") {
			problem = e.Entry.Text
		}
	case *network.EventRequestWillBeSent:
		if to, err := url.Parse(e.Request.URL); err != nil || to.Scheme != "data" && to.Scheme != "about" && !slices.Contains(w.hosts, to.Host) {
			problem = "request to " + e.Request.URL
		}
	}
	if problem != "" {
		w.mu.Lock()
		w.alarms = append(w.alarms, problem)
		w.mu.Unlock()
	}
}

// written are the names that templates of ours write in a place.
func written(t *testing.T, place string) []string {
	t.Helper()
	seen := map[string]bool{}
	for _, pattern := range []string{"../../views/*.templ", "../../demo/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range regexp.MustCompile(place).FindAllSubmatch(raw, -1) {
				seen[string(found[1])] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// origins are where a page may lead.
func (w *watched) origins() []string {
	all := []string{"https:tickets.test"}
	for _, host := range w.hosts {
		all = append(all, "http:"+host)
	}
	return all
}

// inspect looks at the page that is open.
func (w *watched) inspect(what string) {
	w.t.Helper()
	var found struct {
		Problems []string
		Text     string
		Forms    []aForm
	}
	look := w.value(fmt.Sprintf("JSON.stringify(%s(%s, %s))", look, asJSON(w.tags), asJSON(w.origins())))
	if err := json.Unmarshal([]byte(look), &found); err != nil {
		w.t.Fatal(err)
	}
	w.pages++
	w.mu.Lock()
	problems := append(found.Problems, w.alarms...)
	w.alarms = nil
	w.mu.Unlock()
	if len(problems) > 0 {
		w.t.Errorf("%s: %q", what, problems[:min(len(problems), 10)])
	}
	w.seen.WriteString(strings.Join(strings.Fields(found.Text), " "))
	w.seen.WriteByte('\n')
	for _, f := range found.Forms {
		if _, known := w.forms[f.Action]; !known {
			w.forms[f.Action] = f
		}
	}
}

func (w *watched) visit(path string) { w.t.Helper(); w.open(path); w.inspect("GET " + short(path)) }

func short(text string) string { return text[:min(len(text), 120)] }

// Every text that is hostile, in every field that is kept, is text and nothing else on every page that there is, and in every answer to a
// form.
func TestHostileTextsStayTexts(t *testing.T) {
	t.Parallel()
	a := besiege(t)
	a.everyColumn()
	gets, posts := a.routes()
	home, err := url.Parse(strings.Replace(a.url, "127.0.0.1", "localhost", 1)) // where passkeys are
	a.do(err)
	w := watch(t, home, hostOf(a.url), hostOf(a.provider.URL))
	w.do(chromedp.EmulateViewport(1280, 100)) // nobody looks: little is painted
	w.do(chromedp.Navigate(a.url + "/sign-in/oidc?next=/account"))
	w.shows("Signed in as")
	w.inspect("by single sign-on")
	w.visit("/sign-in?next=/account")
	w.enter("#name", "admin")
	w.enter("#password", "correct horse battery")
	w.click("form[action='/sign-in'] button")
	w.shows("Signed in as admin")
	for _, path := range append(slices.DeleteFunc(slices.Clone(gets), isAPI), "/operations/new?action=ignore&filter=integration%3Dpush", "/failures?state=ignored,resolved", "/failures?integration=points") {
		w.goThrough(a, path)
	}
	w.wasShown(a)
	for _, path := range posts {
		w.post(a, path)
	}
	if t.Logf("%d pages", w.pages); w.pages < 120 {
		t.Errorf("only %d pages were looked at", w.pages)
	}
	a.answered(w, gets)
	a.commands()
	for _, header := range a.receiver.injected {
		t.Errorf("the receiver got a header %s", header)
	}
}

func isAPI(route string) bool { return strings.HasPrefix(route, "/api/") }

func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}

// pathless are routes that no tab opens as a page, each with why.
var pathless = map[string]string{
	"/failures/csv":                          "a file, see answered",
	"/failures/json":                         "the same",
	"/ignored/csv":                           "the same",
	"/ignored/json":                          "the same",
	"/audit/csv":                             "the same",
	"/audit/json":                            "the same",
	"/failures/live":                         "a stream, which has no end; the list of failures holds one open",
	"/static/*":                              "files of the program",
	"/messages/:id/payload":                  "exact bytes, see answered",
	"/files/:id/content":                     "the same",
	"/failures/:id/versions/:number/payload": "the same",
	"/api/v1/files/:id/content":              "the same",
	"/api/v1/audit/checkpoint":               "a signed text of numbers and hashes",
	"/api/v1/audit/:id/proof":                "the same",
	"/csp-reports":                           "for browsers, answers nothing",
	"/sign-in/oidc/logout":                   "for the provider, answers nothing",
	"/sign-in/oidc/callback":                 "comes with every sign-in",
}

// lastOf are forms that end a session, and those before one: they come when all else was sent, in this order.
var lastOf = []string{"/operators/", "/account/sessions", "/sign-out", "/sign-in"}

// routes are those of console and API that a tab can open, and the forms of the console.
func (a *attacked) routes() (gets, posts []string) {
	a.t.Helper()
	s, err := handlers.New(a.db, handlers.Config{Log: slog.New(slog.DiscardHandler), PublicURL: "http://localhost:1", SSO: sso.New(sso.Config{Issuer: a.provider.URL, Client: a.provider.Client()}),
		DemoHandler: http.NotFoundHandler()})
	a.do(err)
	turn := func(path string) int {
		return slices.IndexFunc(lastOf, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	}
	for _, r := range s.Echo.Routes() {
		switch {
		case strings.HasPrefix(r.Path, "/demo") || pathless[r.Path] != "":
		case r.Method == http.MethodGet:
			gets = append(gets, r.Path)
		case r.Method == http.MethodPost && !strings.HasPrefix(r.Path, "/api/"):
			posts = append(posts, r.Path)
		}
	}
	slices.SortFunc(posts, func(x, y string) int {
		if order := cmp.Compare(turn(x), turn(y)); order != 0 {
			return order
		}
		return strings.Compare(x, y)
	})
	slices.Sort(gets)
	return append(gets, "/demo", "/demo/shop", "/demo/school", "/demo/content", "/demo/login", "/demo/receivers"), posts
}

var parameters = regexp.MustCompile(`:\w+`)

// filled is a route with what there is for its parameters.
func (a *attacked) filled(path string) []string {
	a.t.Helper()
	path = strings.NewReplacer(":number", "2", ":action", "retry", ":what", "note", ":step", "pause", "/views/:id", "/views/"+a.params["/views/:id"][0]).Replace(path)
	for name, values := range a.params {
		if !strings.Contains(path, name) {
			continue
		}
		if path != name {
			values = values[:1]
		}
		var all []string
		for _, value := range values {
			all = append(all, strings.Replace(path, name, parameters.ReplaceAllString(name, value), 1))
		}
		return all
	}
	if parameters.MatchString(path) {
		a.t.Errorf("%s: say in params what stands for its parameter, or in pathless why no tab opens it", path)
		return nil
	}
	return []string{path}
}

// asked is a query with a hostile value of each name that a form of ours has.
func (w *watched) asked(a *attacked, n int) string {
	q := url.Values{}
	for i, name := range w.names {
		q.Set(name, a.line(n+7*i, 80))
	}
	return "?" + q.Encode()
}

// goThrough opens a route with all that there is, all pages of a list, and asked for something hostile.
func (w *watched) goThrough(a *attacked, route string) {
	w.t.Helper()
	paths := a.filled(route)
	for _, path := range paths {
		w.visit(path)
		for n := 0; n < 12; n++ {
			next := w.value(`(document.querySelector('a[href*="after="]') || {getAttribute() { return '' }}).getAttribute('href')`)
			if next == "" {
				break
			}
			w.visit(next)
		}
	}
	if len(paths) > 0 && !strings.Contains(route, "?") {
		w.visit(paths[0] + w.asked(a, w.pages))
	}
}

// wasShown checks that everything that was put somewhere has stood on a page as it is: the pages are not just empty.
func (w *watched) wasShown(a *attacked) {
	w.t.Helper()
	seen := w.seen.String()
	for field, texts := range a.fields {
		missed := 0
		for _, text := range slices.Compact(texts) {
			for _, part := range hostile.Legible(text) {
				if !strings.Contains(seen, part) {
					if missed++; missed == 1 {
						w.t.Errorf("%s: %q was on no page", field, short(part))
					}
				}
			}
		}
		if missed > 1 {
			w.t.Errorf("%s: and %d more", field, missed-1)
		}
	}
}

// submit sends a form.
const submit = `((action, fields) => {
	const form = document.createElement('form');
	form.method = 'post';
	form.setAttribute('action', action);
	for (const f of fields) {
		const e = document.createElement('textarea');
		e.name = f.Name;
		e.value = f.Value;
		form.append(e);
	}
	document.body.append(form);
	window.left = false;
	HTMLFormElement.prototype.submit.call(form);
	return '';
})`

// post sends the form of a route as it stood on a page, with a hostile text wherever something can be written, or one with every field that a
// form of ours has.
func (w *watched) post(a *attacked, route string) {
	w.t.Helper()
	shape := regexp.MustCompile("^" + parameters.ReplaceAllString(regexp.QuoteMeta(route), "[^/]+") + "$")
	form, known := aForm{}, false
	for _, action := range slices.Sorted(maps.Keys(w.forms)) {
		if !known && shape.MatchString(action) && !strings.Contains(action, a.ownToken) {
			form, known = w.forms[action], true
		}
	}
	if !known {
		form.Action = append(a.filled(route), "/")[0]
		for _, name := range w.names {
			form.Fields = append(form.Fields, aField{Name: name})
		}
	}
	for n, f := range form.Fields {
		if f.Value == "" {
			form.Fields[n].Value = a.long[(w.pages+n)%len(a.long)]
		}
	}
	w.value(fmt.Sprintf("%s(%s, %s)", submit, asJSON(form.Action), asJSON(form.Fields)))
	await(w.t, "the answer to "+route, func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, patience.Limit)
		defer cancel()
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("window.left !== false && document.readyState === 'complete'"))
		return err == nil && there // while one page follows another there is none
	})
	w.inspect("POST " + route)
}
