package triage

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"redrive/delivery"
	httpsend "redrive/delivery/send/http"
	"redrive/delivery/wire"
)

// answersOf are what receivers answer; the arguments are order, customer, address, e-mail, UUID, time, article and seconds.
var answersOf = []struct {
	status     int
	kind, body string
}{
	{503, "text/plain", "order %1$s is locked by another process"},
	{500, "text/plain", "java.lang.NullPointerException: at OrderService.reserve, order %1$s\n\tat Http.handle"},
	{
		422,
		"application/json",
		`{"timestamp":"%6$s","status":422,"error":"Unprocessable Entity","message":"customer %2$s has no billing address","path":"/orders/%1$s"}`,
	},
	{404, "application/json", `{"message":"no such article SKU-%7$s"}`},
	{429, "application/json", `{"error":{"code":"rate_limited","message":"ask again in %8$ss"}}`},
	{
		409,
		"application/json",
		`{"error":{"code":"already_captured","message":"payment of order %1$s was captured before","request_id":"%5$s"}}`,
	},
	{
		400,
		"application/problem+json",
		`{"title":"Not deliverable","detail":"The e-mail %4$s is not deliverable.","instance":"/orders/%1$s"}`,
	},
	{
		502,
		"text/html",
		"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>",
	},
	{410, "text/plain", "subscription %7$s was cancelled"},
	{301, "text/html", "<html><head><title>301 Moved Permanently</title></head><body><h1>Moved Permanently</h1></body></html>"},
	{
		500,
		"application/json",
		`{"message":"deadlock detected: process %2$s waits for transaction %1$s, blocked by process %7$s"}`,
	},
	{413, "text/plain", "the body of order %1$s has more than 65536 bytes"},
	{422, "application/json; charset=utf-8", `{"code":"NO_STOCK","message":"주문 %1$s번의 재고가 부족합니다"}`},
	{503, "", ""},
}

// reason is a failure as the sender tells it, with arguments in the place of what differs.
type reason struct {
	class  string
	status int
	text   string
}

// reasons sends to receivers that fail in every way and returns what the sender makes of it.
func reasons(ctx context.Context) ([]reason, error) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the sender notices what fails
		switch n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/")); {
		case err == nil:
			w.Header().Set("Content-Type", answersOf[n].kind)
			w.WriteHeader(answersOf[n].status)
			_, _ = io.WriteString(w, answersOf[n].body)
		case r.URL.Path == "/silence":
			<-r.Context().Done()
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	var list []reason
	for n := range answersOf {
		r, err := send(ctx, delivery.HTTPDestination{URL: fmt.Sprintf("%s/%d", server.URL, n)}, wire.Network{}, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	refused, err := closedPort()
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		to     delivery.HTTPDestination
		n      wire.Network
		header map[string]string
	}{
		{to: delivery.HTTPDestination{URL: server.URL + "/silence", Timeout: 100 * time.Millisecond}},
		{to: delivery.HTTPDestination{URL: server.URL + "/abort"}},
		{to: delivery.HTTPDestination{URL: refused}},
		{to: delivery.HTTPDestination{URL: strings.Replace(server.URL, "http:", "https:", 1)}},
		{to: delivery.HTTPDestination{URL: server.URL}, n: wire.Network{Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
		{to: delivery.HTTPDestination{URL: server.URL}, header: map[string]string{"X-Customer": "a\nb"}},
	} {
		r, err := send(ctx, c.to, c.n, c.header)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// send makes one attempt and tells it as the engine does.
func send(ctx context.Context, to delivery.HTTPDestination, n wire.Network, header map[string]string) (reason, error) {
	sender, err := httpsend.New(to, wire.Dialer{Network: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return reason{}, err
	}
	message := delivery.Message{Payload: []byte("{}"), Headers: header}
	r := sender.Send(ctx, delivery.Request{DeliveryID: "bench", IdempotencyKey: "bench", Integration: "bench", Attempt: 1, Message: message}).
		Conceal(message.Payload, delivery.Masking{})
	if r.Outcome == delivery.OutcomeOK {
		return reason{}, fmt.Errorf("%s did not fail", to.URL)
	}
	return reason{class: r.ErrorClass, status: r.HTTPStatus, text: r.Error}, sender.Close()
}

func closedPort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + listener.Addr().String(), listener.Close()
}
