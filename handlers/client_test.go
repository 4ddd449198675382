package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redrive/delivery"
	"redrive/handlers/api"
	"redrive/internal/cli/client"
)

// desk is a person with a terminal; typed is what they answer.
type desk struct {
	*site
	role     string
	typed    string
	asks     bool
	out, err string
}

func (d *desk) server() client.Server { return client.Server{URL: d.url + "/", Token: d.role} }

// runs carries out a command and returns its error.
func (d *desk) runs(command interface {
	Run(context.Context, *client.Terminal) error
}) error {
	d.t.Helper()
	var out, errs bytes.Buffer
	err := command.Run(d.t.Context(), &client.Terminal{In: strings.NewReader(d.typed), Out: &out, Err: &errs, Asks: d.asks})
	d.out, d.err = out.String(), errs.String()
	return err
}

func (d *desk) wantsUsage(what string, err error, text string) {
	d.t.Helper()
	if !errors.As(err, new(client.UsageError)) || !strings.Contains(err.Error(), text) {
		d.t.Errorf("%s: %v, want a mistake of usage with %q", what, err, text)
	}
}

func newDesk(t *testing.T) *desk { return &desk{site: newSite(t), role: "operator"} }

func table(format string) client.Output { return client.Output{Output: format} }

func searched(words ...string) client.Selection { return client.Selection{What: words} }

func TestFailuresAreListedOnATerminal(t *testing.T) {
	d := newDesk(t)
	ids := d.many("push", 7)
	a, err := d.store.Accept(t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "sms", Type: "t", Key: "bad\u202e", Payload: []byte("{}")})
	d.must(err)
	d.engine(a.Deliveries[0].ID, "sms", delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "bad\x1b[2J"})
	d.must(d.runs(&client.List{Server: d.server(), Output: table("table"), Selection: searched("integration:sms"), Limit: 50, Sort: "newest"}))
	if !strings.Contains(d.out, `bad\x1b[2J`) || strings.Contains(d.out, "\x1b") || !strings.Contains(d.out, `bad\u202e`) || strings.Contains(d.out, "\u202e") || !strings.Contains(d.out, "http_4xx") || strings.Count(d.out, "\n") != 2 {
		t.Errorf("table %q", d.out)
	}
	d.must(d.runs(&client.List{Server: d.server(), Output: table("ids"), Selection: searched("integration:push", "sort:oldest"), Limit: 5, Sort: "newest"}))
	if d.out != strings.Join(ids[:5], "\n")+"\n" || !strings.Contains(d.err, "more than these 5") {
		t.Errorf("ids %q, said %q", d.out, d.err)
	}
	d.must(d.runs(&client.List{Server: d.server(), Output: table("json"), Selection: searched(ids[2], ids[4]), Limit: 1000, Sort: "oldest"}))
	var list []json.RawMessage
	d.must(json.Unmarshal([]byte(d.out), &list))
	page := read[list2](d.site, d.get("/api/v1/failures?sort=oldest&id="+ids[2]+"&id="+ids[4]), 200)
	if len(list) != 2 || string(list[0]) != string(page.Items[0]) {
		t.Errorf("json %s\nnot  %s", d.out, page.Items)
	}
	d.must(d.runs(&client.Count{Server: d.server(), Selection: searched("integration:push"), Output: "table"}))
	if d.out != "7\n" {
		t.Errorf("count %q", d.out)
	}
	d.must(d.runs(&client.Groups{Server: d.server(), Output: table("table"), By: []string{"integration"}, Sort: "count", Limit: 10}))
	if !strings.Contains(d.out, "push") || !strings.Contains(d.out, "7") {
		t.Errorf("groups %q", d.out)
	}
	d.must(d.runs(&client.Show{Server: d.server(), ID: ids[0], Output: "table"}))
	for _, want := range []string{ids[0], "dead since", "the receiver answered 404", `{"n":1}`, "permanent"} {
		if !strings.Contains(d.out, want) {
			t.Errorf("shown without %q: %s", want, d.out)
		}
	}
	d.wantsUsage("half and half", d.runs(&client.List{Server: d.server(), Selection: searched(ids[0], "x"), Limit: 1, Sort: "newest"}), "not both")
	d.wantsUsage("no search", d.runs(&client.List{Server: d.server(), Selection: searched("state:gone"), Limit: 1, Sort: "newest"}), "gone")
	d.wantsUsage("no id", d.runs(&client.Show{Server: d.server(), ID: "1"}), "UUID")
	d.wantsUsage("nothing there", d.runs(&client.Show{Server: d.server(), ID: "0192f0c1-0000-7000-8000-000000000000"}), "nothing here")
}

type list2 struct{ Items []json.RawMessage }

func retry(d *desk, selection ...string) *client.Retry {
	c := &client.Retry{}
	c.Server, c.Output, c.Selection, c.Reason = d.server(), table("table"), searched(selection...), "it is back"
	return c
}

func TestActingOnATerminal(t *testing.T) {
	d := newDesk(t)
	ids := d.many("push", 4)
	one := retry(d, ids[0])
	d.must(d.runs(one))
	if !strings.Contains(d.out, ids[0]+": retry requested (version 2)") {
		t.Errorf("one: %q", d.out)
	}
	if err := d.runs(one); err == nil || errors.As(err, new(client.UsageError)) || !strings.Contains(err.Error(), "was faster") {
		t.Errorf("twice: %v", err)
	}
	dry := retry(d, "integration:push", "state:any")
	dry.DryRun = true
	d.must(d.runs(dry))
	if !strings.Contains(d.out, "3 failures would be selected: push 3.") || !strings.Contains(d.out, "Not selected: in_flight 1.") {
		t.Errorf("dry run %q", d.out)
	}
	d.wantsUsage("nobody to ask", d.runs(retry(d, "integration:push")), "--yes")
	d.asks, d.typed = true, "n\n"
	if err := d.runs(retry(d, "integration:push")); err == nil || !strings.Contains(d.err, "Retry 3 failures? [y/N]") {
		t.Errorf("no: %v, asked %q", err, d.err)
	}
	if all := read[api.List[api.OperationJSON]](d.site, d.get("/api/v1/operations"), 200).Items; len(all) != 0 {
		t.Fatalf("started without a yes: %+v", all)
	}
	d.typed = "y\n"
	paced := retry(d, "integration:push")
	paced.Canary, paced.Rate, paced.RampTo, paced.RampOver, paced.StopAbove = 1, 5, 50, time.Minute, 0.2
	d.must(d.runs(paced))
	all := read[api.List[api.OperationJSON]](d.site, d.get("/api/v1/operations"), 200).Items
	if len(all) != 1 || all[0].Selected != 3 || all[0].Pace != (api.PaceJSON{Rate: 5, RampTo: 50, RampOver: 60, Canary: 1, StopAbove: 0.2}) || !strings.Contains(d.out, all[0].ID) {
		t.Errorf("started %+v: %q", all, d.out)
	}
	ignore := &client.Ignore{Category: "obsolete"}
	ignore.Until = "48h"
	ignore.Server, ignore.Output, ignore.Selection = d.server(), table("ids"), searched("integration:push")
	null := d.fail(delivery.Message{Integration: "sms", Payload: []byte("1")}, "")
	d.must(d.runs(&client.Edit{Server: d.server(), Output: table("table"), ID: null, Null: true, Reason: "a tombstone"}))
	c := d.claim("sms")
	if c.Message.Payload != nil {
		t.Errorf("sends %q", c.Message.Payload)
	}
	d.finish(c, delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"})
	if err := d.runs(&client.Edit{Server: d.server(), ID: null, Null: true, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "not changed") {
		t.Errorf("null again: %v", err)
	}
	d.must(d.runs(&client.Show{Server: d.server(), ID: null, Output: "table"}))
	if !strings.Contains(d.out, "version 2 (null)") || !strings.Contains(d.out, "none, which is not the same") {
		t.Errorf("shows %s", d.out)
	}
	d.wantsUsage("both", d.runs(&client.Edit{Server: d.server(), ID: null, Null: true, File: "-", Reason: "x"}), "--null")
	d.wantsUsage("no reason", d.runs(ignore), "--reason")
	ignore.Reason, ignore.Yes = "old", true
	d.must(d.runs(ignore))
	if all := read[api.List[api.OperationJSON]](d.site, d.get("/api/v1/operations"), 200).Items; len(all) != 2 || d.out != all[0].ID+"\n" || all[0].Until == nil {
		t.Errorf("ignored by %+v: %q", all, d.out)
	}
	d.wantsUsage("no selection", d.runs(retry(d)), "say on what")
	d.role = "viewer"
	if err := d.runs(retry(d, ids[0])); err == nil || errors.As(err, new(client.UsageError)) || !strings.Contains(err.Error(), "permission retry") {
		t.Errorf("a viewer: %v", err)
	}
	d.must(d.runs(retry(d, "integration:push")))
	if !strings.Contains(d.err, "no_permission") {
		t.Errorf("a viewer is told %q", d.err)
	}
}

func TestAnOperationIsWatched(t *testing.T) {
	d := newDesk(t)
	d.many("push", 2)
	c := retry(d, "integration:push")
	c.Yes = true
	d.must(d.runs(c))
	o := read[api.List[api.OperationJSON]](d.site, d.get("/api/v1/operations"), 200).Items[0]
	d.advance(o.ID)
	claimed, err := d.store.Claim(context.Background(), "test", []delivery.Quota{{Integration: "push", Limit: 10, Lease: time.Minute}})
	d.must(err)
	d.finish(claimed[0], delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK})

	one := client.One{Server: d.server(), ID: o.ID}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err = (&client.Watch{One: one, Output: table("table")}).Run(ctx, &client.Terminal{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "goes on") || !strings.Contains(err.Error(), "redrive operations cancel "+o.ID) {
		t.Errorf("interrupted: %v", err)
	}
	d.finish(claimed[1], delivery.StateDead, delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "no"})
	d.advance(o.ID)
	err = d.runs(&client.Watch{One: one, Output: table("table")})
	if err == nil || !strings.Contains(err.Error(), "1 failure failed") || !strings.Contains(d.out, "finished: 1 of 2 succeeded, 1 failed, 0 skipped\n") {
		t.Errorf("watched: %v, %q", err, d.out)
	}
	d.must(d.runs(&client.Items{One: one, Output: table("ids"), Outcome: "failed", Limit: 10}))
	if d.out != claimed[1].DeliveryID+"\n" {
		t.Errorf("items %q", d.out)
	}
	d.must(d.runs(&client.Items{One: one, Output: table("table"), Integration: "push", Outcome: "failed", Limit: 10}))
	if !strings.Contains(d.out, claimed[1].DeliveryID) || !strings.Contains(d.out, "push") || strings.Contains(d.out, claimed[0].DeliveryID) {
		t.Errorf("items of push %q", d.out)
	}
	d.must(d.runs(&client.Items{One: one, Output: table("ids"), Integration: "sms", Limit: 10}))
	if d.out != "" {
		t.Errorf("items of sms %q", d.out)
	}
	d.must(d.runs(&client.ListOperations{Server: d.server(), Output: table("table"), Limit: 10}))
	if !strings.Contains(d.out, o.ID) || !strings.Contains(d.out, "finished") {
		t.Errorf("list %q", d.out)
	}
	d.must(d.runs(&client.ShowOperation{One: one, Output: table("table")}))
	if !strings.Contains(d.out, "retry of 2 failures") || !strings.Contains(d.out, "push") {
		t.Errorf("shown %q", d.out)
	}
	cancel := &client.Cancel{}
	cancel.One, cancel.Output = one, table("table")
	if err := d.runs(cancel); err == nil || !strings.Contains(err.Error(), "engine was faster (finish at ") {
		t.Errorf("cancelling: %v", err)
	}
}

// editor writes a program that does this to the file it is given.
func editor(t *testing.T, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil { // a program
		t.Fatal(err)
	}
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", path)
	t.Setenv("TMPDIR", t.TempDir())
}

func TestEditingInAnEditor(t *testing.T) {
	d := newDesk(t)
	const sent = `{ "code":"447788", "n":12345678901234567890, "text":"hi" }`
	id := d.fail(delivery.Message{Integration: "sms", Payload: []byte(sent)}, "")
	edit := &client.Edit{Server: d.server(), Output: table("table"), ID: id, Reason: "typo"}
	editor(t, `grep -q 447788 "$1" && exit 3; echo >> "$1"`)
	if err := d.runs(edit); err == nil || !strings.Contains(err.Error(), "not changed") {
		t.Errorf("unchanged: %v", err)
	}
	editor(t, `echo '{' > "$1"`)
	err := d.runs(edit)
	d.wantsUsage("no JSON", err, "line 1")
	_, kept, _ := strings.Cut(err.Error(), "Your text is kept in ")
	if text, err := os.ReadFile(kept); err != nil || string(text) != "{\n" {
		t.Errorf("kept %q in %q: %v", text, kept, err)
	}
	editor(t, `sed -i 's/"hi"/"hello"/' "$1"`)
	d.must(d.runs(edit))
	if c := d.claim("sms"); string(c.Message.Payload) != strings.Replace(sent, "hi", "hello", 1) {
		t.Errorf("sends %s", c.Message.Payload)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	other := d.fail(delivery.Message{Integration: "push", Payload: []byte{0xff}}, "")
	d.typed = "\xfe\n"
	d.must(d.runs(&client.Edit{Server: d.server(), Output: table("json"), ID: other, File: "-", Reason: "x"}))
	if c := d.claim("push"); string(c.Message.Payload) != "\xfe\n" {
		t.Errorf("sends %q", c.Message.Payload)
	}
	d.wantsUsage("no reason", d.runs(&client.Edit{Server: d.server(), ID: other, File: "-"}), "--reason")
	d.wantsUsage("no file", d.runs(&client.Edit{Server: d.server(), ID: other, File: "/nonexistent", Reason: "x"}), "--file")
	back := d.fail(delivery.Message{Integration: "push", Payload: []byte("1")}, "")
	d.must(d.runs(&client.Redirect{Server: d.server(), Output: table("table"), ID: back, To: "sms", Reason: "push is gone"}))
	if d.claim("sms").DeliveryID != back {
		t.Error("not redirected")
	}
}

func TestWhyThereIsNoAnswer(t *testing.T) {
	d := newDesk(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	away := httptest.NewServer(http.RedirectHandler("https://elsewhere.test/", http.StatusMovedPermanently))
	defer away.Close()
	for _, c := range []struct {
		server client.Server
		usage  bool
		text   string
	}{
		{client.Server{URL: d.url}, true, "REDRIVE_API_TOKEN"},
		{client.Server{URL: d.url, Token: "un known"}, true, "visible ASCII"},
		{client.Server{URL: d.url, Token: "unknown"}, true, "does not know this token"},
		{client.Server{URL: "127.0.0.1:8080", Token: "x"}, true, "REDRIVE_URL"},
		{client.Server{URL: closed.URL, Token: "x"}, false, "no server answers at " + closed.URL},
		{client.Server{URL: secure.URL, Token: "x"}, false, "not trusted"},
		{client.Server{URL: strings.Replace(d.url, "http:", "https:", 1), Token: "x"}, false, "does not speak HTTPS"},
		{client.Server{URL: page.URL, Token: "x"}, false, "not as Redrive's API does"},
		{client.Server{URL: away.URL, Token: "x"}, true, "leads elsewhere (https://elsewhere.test/)"},
	} {
		err := d.runs(&client.Count{Server: c.server, Output: "table"})
		if err == nil || !strings.Contains(err.Error(), c.text) || errors.As(err, new(client.UsageError)) != c.usage || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", c.server, err)
		}
	}
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	d := newDesk(t)
	id := d.many("push", 1)[0]
	lost := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		d.Handler().ServeHTTP(recorded, r)
		if lost++; lost == 1 && recorded.Code == http.StatusOK {
			panic(http.ErrAbortHandler) // it was carried out, and nobody hears of it
		}
		w.Header().Set("Content-Type", recorded.Header().Get("Content-Type"))
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes())
	}))
	defer proxy.Close()
	c := retry(d, id)
	c.Server.URL = proxy.URL
	d.must(d.runs(c))
	if !strings.Contains(d.out, "retry requested (version 2)") || lost != 2 {
		t.Errorf("%d requests, %q", lost, d.out)
	}
}
