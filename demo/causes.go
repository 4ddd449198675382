package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// complaint is the answer of a receiver that does not take a message, in its own words. Without a status it hangs up.
type complaint struct {
	status     int
	kind, body string
	retryAfter string
}

func (c complaint) write(w http.ResponseWriter) {
	if c.status == 0 {
		drop(w)
		return
	}
	w.Header().Set("Content-Type", c.kind)
	if c.retryAfter != "" {
		w.Header().Set("Retry-After", c.retryAfter)
	}
	w.WriteHeader(c.status)
	fmt.Fprintln(w, c.body)
}

// cause is why a receiver does not take messages. lasting says which: it answers the same whenever it gets such a message. Without it the
// cause lies in the past.
type cause struct {
	receiver string
	answers  func(content) complaint
	lasting  func(content) bool
}

// content is a payload as receivers read it.
type content map[string]any

func (c content) text(name string) string { return fmt.Sprint(c[name]) }

func (c content) has(name, part string) bool { return strings.Contains(c.text(name), part) }

func says(status int, kind, body string) func(content) complaint {
	return func(content) complaint { return complaint{status: status, kind: kind, body: body} }
}

const (
	asJSON    = "application/json; charset=utf-8"
	asProblem = "application/problem+json; charset=utf-8"
	asText    = "text/plain; charset=utf-8"
	asPage    = "text/html; charset=utf-8"
)

// soldOut, withdrawn and the like stand in the payloads that receivers do not take.
const (
	soldOut   = "한정판 달항아리"
	withdrawn = "(withdrawn)"
	oldMail   = "@old-mail.example"
	blocked   = "010-0000-"
)

// Causes, each in the words and in the form of its receiver.
var (
	noStock = cause{receiver: "seller-push", answers: func(m content) complaint {
		return complaint{status: http.StatusConflict, kind: asJSON,
			body: fmt.Sprintf(`{"resultCode":"E4102","resultMessage":"재고가 부족합니다","item":%q}`, m.text("item"))}
	}, lasting: func(m content) bool { return m.has("item", soldOut) }}
	noOrder = cause{receiver: "seller-push", answers: func(m content) complaint {
		return complaint{status: http.StatusNotFound, kind: asProblem,
			body: fmt.Sprintf(`{"title":"주문을 찾을 수 없습니다","status":404,"instance":"/orders/%v"}`, m["order_id"])}
	}, lasting: func(m content) bool { return m.text("channel") == "marketplace" }}
	noNumber = cause{receiver: "seller-push", answers: says(http.StatusUnprocessableEntity, asText, "the address has no house number"),
		lasting: func(m content) bool {
			address, ok := m["address"].(string)
			return ok && !strings.ContainsFunc(address, unicode.IsDigit)
		}}
	giftNote = cause{receiver: "seller-push",
		answers: says(http.StatusBadRequest, asJSON, `{"message":"unknown field \"gift_note\"","path":"$.gift_note"}`),
		lasting: func(m content) bool { return m["gift_note"] != nil }}
	noGateway = cause{receiver: "seller-push", answers: says(http.StatusBadGateway, asPage,
		"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1><p>The upstream server did not answer in time.</p></body></html>")}
	noToken = cause{receiver: "seller-push", answers: says(http.StatusUnauthorized, asJSON,
		`{"error":"invalid_token","error_description":"The access token expired"}`)}
	hungUp  = cause{receiver: "grant-points", answers: says(0, "", "")}
	noPupil = cause{receiver: "grant-points", answers: says(http.StatusUnprocessableEntity, asJSON,
		`{"error":{"code":"STUDENT_WITHDRAWN","detail":"The student has left the course"}}`),
		lasting: func(m content) bool { return m.has("student", withdrawn) }}
	noCalls = cause{receiver: "login-sms", answers: says(http.StatusForbidden, asJSON,
		`{"code":"NUMBER_BLOCKED","message":"수신 거부된 번호입니다"}`),
		lasting: func(m content) bool { return strings.HasPrefix(m.text("phone"), blocked) }}
	noQuota = cause{receiver: "welcome-mail", answers: func(content) complaint {
		return complaint{status: http.StatusTooManyRequests, kind: asJSON, retryAfter: "72000",
			body: `{"status":"rejected","message":"Daily quota of 500 mails is used up"}`}
	}}
	noMailbox = cause{receiver: "welcome-mail", answers: says(http.StatusUnprocessableEntity, asJSON,
		`{"errors":[{"code":"5.1.1","message":"The mailbox does not exist any more"}]}`),
		lasting: func(m content) bool { return m.has("name", oldMail) }}
	readOnly = cause{receiver: "search-index", answers: says(http.StatusServiceUnavailable, asText,
		"The index is read-only: the disk is nearly full")}
)

// lasting are the causes that a receiver still has.
var lasting = []cause{noStock, noOrder, noNumber, giftNote, noPupil, noCalls, noMailbox}

// complains returns what a receiver says about a message that it does not take.
func complains(receiver string, body []byte) (c complaint, does bool) {
	var m content
	if json.Unmarshal(body, &m) != nil {
		return c, false
	}
	for _, why := range lasting {
		if why.receiver == receiver && why.lasting(m) {
			return why.answers(m), true
		}
	}
	return c, false
}
