package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"redrive/delivery"
	"redrive/views"
)

// mixed fills a site with failures in every state, and returns the pages whose numbers are to be followed.
func (s *site) mixed(b *browser) (pages []string) {
	s.t.Helper()
	other := delivery.Result{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassHTTP4xx, Error: "the receiver answered 422: customer blocked", HTTPStatus: 422}
	ids := s.failMany(4) // of which alike, and one each acknowledged, ignored, resolved
	alike := s.fail(delivery.Message{Integration: "push", Key: "order-0", Payload: []byte("{}")}, "")
	yes, ann := true, "alice"
	_, err := s.store.ChangeCase(s.t.Context(), delivery.CaseChange{ID: ids[1], Version: -1, Actor: "alice", Assignee: &ann, Acknowledge: &yes})
	s.must(err)
	b.submit(views.FailureAction(ids[2], "ignore"), "version", "1", "category", "duplicate", "reason", "known")
	b.submit(views.FailureAction(ids[3], "resolve"), "version", "1", "reason", "by hand", "evidence", "T-1")
	settled := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	b.submit(views.FailureAction(settled, "resolve"), "version", "1", "reason", "by hand", "evidence", "T-1")
	_, err = s.store.FoldCounts(s.t.Context())
	s.must(err)
	s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "") // its group is back
	again := s.fail(delivery.Message{Integration: "sms", Payload: []byte("{}")}, "")
	for _, end := range []struct {
		next   delivery.State
		result delivery.Result
	}{{delivery.StateDead, other}, {delivery.StatePending, other}, {delivery.StateDelivered, delivery.Result{Outcome: delivery.OutcomeOK}}} {
		a, err := s.store.Accept(s.t.Context(), delivery.Message{Integration: "sms", Kind: delivery.KindCommand, Type: "test", Payload: []byte("{}")})
		s.must(err)
		c := s.claim("sms")
		done := c.Completed(end.result, end.next, time.Now(), 0)
		done.RetryIn = time.Hour
		_, err = s.store.Complete(s.t.Context(), []delivery.Completion{done})
		s.must(err)
		ids = append(ids, a.Deliveries[0].ID)
	}
	for range 3 { // of which one is being sent
		_, err = s.store.Accept(s.t.Context(), delivery.Message{Integration: "push", Kind: delivery.KindCommand, Type: "test", Payload: []byte("{}")})
		s.must(err)
	}
	_, err = s.store.Claim(s.t.Context(), "test", []delivery.Quota{{Integration: "push", Limit: 1, Lease: time.Hour}})
	s.must(err)
	o, err := s.store.StartOperation(s.t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Actor: "alice", Chosen: []delivery.Chosen{{ID: again}}})
	s.must(err)
	s.advance(o.ID)
	d, err := s.store.Delivery(s.t.Context(), alike)
	s.must(err)
	return []string{"/", "/integrations", "/integrations/push", "/integrations/sms", "/failures", "/failures?state=any", "/failures?integration=sms&state=any",
		"/groups", "/groups?state=any", "/groups?by=integration", "/groups?by=error_class&by=message&q=blocked", "/groups?by=integration&q=blocked", "/groups?by=integration&q=blocked&state=any", "/groups?by=method&status=new",
		"/groups/" + d.GroupID, "/ignored", "/operations", views.Operation(o.ID), views.Failure(alike), views.Failure(ids[4])}
}

var (
	numbered   = regexp.MustCompile(`^[^0-9]*?\b([0-9][0-9,]*)\b[^0-9]*$`)
	listsRows  = regexp.MustCompile(`^/(failures|groups|ignored|integrations/[a-z]+/(underway|delivered)|operations/[0-9a-f-]+)$`)
	dataFolds  = regexp.MustCompile(`<tbody[^>]*class="fold"`)
	notNumbers = regexp.MustCompile(`order-|\bago\b| of |HTTP|^[0-9a-f…-]*[a-f…-][0-9a-f…-]*$`)
)

// Every number that is a link opens exactly its rows.
func TestANumberOpensItsRows(t *testing.T) {
	s := newSite(t)
	b := s.signedIn("alice", delivery.RoleOperator)
	followed := map[string]bool{}
	for _, page := range s.mixed(b) {
		a := b.open(page)
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", page, a.StatusCode)
		}
		for _, l := range linksOf(t, a.body) {
			found := numbered.FindStringSubmatch(l.text)
			to, err := url.Parse(l.href)
			if found == nil || err != nil || !listsRows.MatchString(to.Path) || notNumbers.MatchString(l.text) {
				continue
			}
			n, err := strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
			s.must(err)
			followed[to.Path] = true
			if rows := rowsOn(b.open(l.href)); rows != n {
				t.Errorf("%s: %q opens %d rows at %s", page, l.text, rows, l.href)
			}
		}
	}
	for _, path := range []string{"/failures", "/groups", "/ignored", "/integrations/push/underway", "/integrations/sms/delivered"} {
		if !followed[path] {
			t.Errorf("no number leads to %s", path)
		}
	}
	if len(followed) < 6 {
		t.Error(followed)
	}
}

// rowsOn counts the rows of a list. One that stands for a fold is none.
func rowsOn(a answer) int {
	body := mainOf(a.body)
	return strings.Count(body, "<tr data-row") - len(dataFolds.FindAllString(body, -1))
}

type numberLink struct{ href, text string }

// linksOf are the links of a page's main part, with their texts in one line.
func linksOf(t *testing.T, body []byte) (links []numberLink) {
	t.Helper()
	root, err := html.Parse(strings.NewReader("<main" + mainOf(body)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if at := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "href" }); n.Data == "a" && at >= 0 {
			var text strings.Builder
			for kid := range n.Descendants() {
				if kid.Type == html.TextNode {
					fmt.Fprint(&text, kid.Data, " ")
				}
			}
			links = append(links, numberLink{n.Attr[at].Val, strings.Join(strings.Fields(text.String()), " ")})
		}
	}
	return links
}
