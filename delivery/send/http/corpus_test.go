package httpsend

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/delivery/wire"
)

// corpus are answers of receivers, as they write them. Each line is another reason. What stands in braces differs from one order to the
// next: of each kind there are two.
var corpus = []struct {
	status    int
	kind, say string
}{
	{503, "text/plain", "order {order} is locked by another process"},
	{503, "text/plain", "order {order} is archived"},
	{404, "application/json", `{"message":"no such article {sku}"}`},
	{404, "application/json", `{"message":"no such customer {order}"}`},
	{409, "application/json", `{"error":{"code":"already_captured","message":"payment of order {order} was captured before","request_id":"{uuid}"}}`},
	{409, "application/json", `{"error":{"code":"in_refund","message":"payment of order {order} is being refunded","request_id":"{uuid}"}}`},
	{422, "application/json", `{"timestamp":"{time}","status":422,"error":"Unprocessable Entity","message":"customer {order} has no billing address","path":"/orders/{order}"}`},
	{422, "application/json", `{"timestamp":"{time}","status":422,"error":"Unprocessable Entity","message":"customer {order} is blocked","path":"/orders/{order}"}`},
	{422, "application/json", `{"timestamp":"{time}","status":422,"error":"Unprocessable Entity","path":"/orders/{order}"}`},
	{422, "application/json", `{"message":"The given data was invalid.","errors":{"email":["{email} is no e-mail address."]}}`},
	{422, "application/json", `{"message":"The given data was invalid.","errors":{"total":["{amount} is more than is left."]}}`},
	{422, "application/json", `{"errors":[{"code":1042,"detail":"order {order}"}]}`},
	{422, "application/json", `{"errors":[{"code":1043,"detail":"order {order}"}]}`},
	{422, "application/json", `{"errors":[{"code":"E1042","detail":"order {order}"}]}`},
	{422, "application/json", `{"errors":[{"code":"E1043","detail":"order {order}"}]}`},
	{422, "application/json", `{"errors":{rows}}`},
	{400, "application/problem+json", `{"type":"https://shop.example/out-of-stock","title":"Out of stock","detail":"Article {sku} has {number} pieces left.","instance":"/orders/{order}"}`},
	{400, "application/problem+json", `{"type":"https://shop.example/closed","title":"The shop is closed","detail":"Article {sku} has {number} pieces left.","instance":"/orders/{order}"}`},
	{400, "text/xml; charset=utf-8", `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>soap:Client</faultcode><faultstring>Order {order} is unknown</faultstring></soap:Fault></soap:Body></soap:Envelope>`},
	{400, "text/xml; charset=utf-8", `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>soap:Client</faultcode><faultstring>Order {order} is closed</faultstring></soap:Fault></soap:Body></soap:Envelope>`},
	{502, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>"},
	{502, "text/html", "<html><head><title>shop.example | 502: Bad gateway</title></head><body>Ray ID: {hex}</body></html>"},
	{500, "text/plain", "java.lang.NullPointerException: at OrderService.reserve(OrderService.java:212)\n\tat Http.handle, order {order}"},
	{500, "text/plain", "java.lang.IllegalStateException: at OrderService.reserve(OrderService.java:212)\n\tat Http.handle, order {order}"},
	{500, "", ""},
	{503, "", ""},
	{410, "text/plain", "subscription {number} was cancelled"},
	{301, "text/html", "<html><head><title>301 Moved Permanently</title></head><body><h1>Moved Permanently</h1></body></html>"},
	// Korean: the particle behind a number follows its sound
	{422, "application/json", `{"code":"NO_STOCK","message":"주문 {order}번의 재고가 부족합니다"}`},
	{422, "application/json", `{"code":"NO_ADDRESS","message":"주문 {order}번의 주소가 없습니다"}`},
	{422, "application/json", `{"message":"{주문을} 찾을 수 없습니다"}`},
	{422, "application/json", `{"message":"{주문을} 취소할 수 없습니다"}`},
	{422, "text/plain; charset=utf-8", "고객 '{name}'님의 결제 {amount}원이 거절되었습니다 ({time})"},
	{422, "text/plain; charset=utf-8", "고객 '{name}'님의 환불 {amount}원이 거절되었습니다 ({time})"},
	{422, "text/plain; charset=utf-8", "필수 항목 '주소'가 없습니다"},
	{422, "text/plain; charset=utf-8", "필수 항목 '전화번호'가 없습니다"},
	// German
	{422, "text/plain; charset=utf-8", "Bestellung {order} vom {day} ist gesperrt"},
	{422, "text/plain; charset=utf-8", "Bestellung {order} vom {day} ist storniert"},
	{422, "text/plain; charset=utf-8", "Kunde „{name}“ hat keine Rechnungsadresse, offen sind {betrag} €"},
	{422, "text/plain; charset=utf-8", "Kunde „{name}“ ist unbekannt, offen sind {betrag} €"},
	{422, "text/plain; charset=utf-8", "Das Feld „Größe“ fehlt"},
	{422, "text/plain; charset=utf-8", "Das Feld „Länge“ fehlt"},
	// Chinese and Japanese are written without spaces
	{422, "text/plain; charset=utf-8", "订单{order}不存在"},
	{422, "text/plain; charset=utf-8", "客户{order}不存在"},
	{422, "text/plain; charset=utf-8", "{tag}订单“{name}”已取消"},
	{422, "text/plain; charset=utf-8", "注文{order}は存在しません"},
	{422, "text/plain; charset=utf-8", "заказ {order} не найден"},
}

// both are two orders.
var both = map[string][2]string{"order": {"4711", "990042"}, "sku": {"SKU-31", "SKU-770"}, "uuid": {"0d4e7a4c-6f3e-4b43-9a55-0f1d2c3b4a59", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
	"email": {"ann@mail.example", "bob.b+x@post.example.org"}, "amount": {"12,000", "900"}, "number": {"3", "250"}, "time": {"2026-03-04T05:06:07.123Z", "2027-11-12T13:14:15.9Z"},
	"hex": {"8f1d2c3b4a5968", "99aa0b1c2d3e4f"}, "주문을": {"주문 4711을", "주문 4712를"}, "name": {"김 철수", "Ann Weber"}, "day": {"05.03.2026", "17.11.2027"},
	"betrag": {"1.234,56", "7,90"}, "tag": {"2026年3月5日", "2027年11月17日"},
	"rows": {`[{"field":"items[1].sku","message":"unknown"}]`, `[{"field":"items[4].sku","message":"unknown"},{"field":"items[9].sku","message":"unknown"}]`}}

func occurrence(text string, nth int) string {
	for name, two := range both {
		text = strings.ReplaceAll(text, "{"+name+"}", two[nth])
	}
	return text
}

// The same reason of two orders is one group, two reasons are two: in what the sender makes of real answers.
func TestReasonsAreGroups(t *testing.T) {
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		nth, _ := strconv.Atoi(r.URL.Query().Get("nth"))
		w.Header().Set("Content-Type", corpus[n].kind)
		w.WriteHeader(corpus[n].status)
		_, _ = w.Write([]byte(occurrence(corpus[n].say, nth)))
	})
	seen := map[string]string{}
	for n, line := range corpus {
		var ids, errors [2]string
		for nth := range ids {
			s := newSender(t, delivery.HTTPDestination{URL: fmt.Sprintf("%s/?n=%d&nth=%d", url, n, nth)}, wire.Network{})
			r := s.Send(t.Context(), request("{}")).Conceal([]byte("{}"), delivery.Masking{})
			_ = s.Close()
			ids[nth], _ = delivery.Fingerprint("push", r.ErrorClass, r.Error)
			errors[nth] = r.Error
			if !strings.HasPrefix(r.Error, fmt.Sprintf("the receiver answered %d", line.status)) || r.HTTPStatus != line.status {
				t.Errorf("%d, %s: %q", line.status, line.say, r.Error)
			}
		}
		if ids[0] != ids[1] {
			t.Errorf("one reason, two groups:\n%s\n%s", delivery.Normalise(errors[0]), delivery.Normalise(errors[1]))
		}
		if other, taken := seen[ids[0]]; taken {
			t.Errorf("two reasons, one group:\n%s\n%s\n%s", other, errors[0], delivery.Normalise(errors[0]))
		}
		seen[ids[0]] = errors[0]
	}
}

// What an integration hides of its messages is not in what a receiver said of them, nor is a secret of ours, however it is written.
func TestAnswersAreHiddenInErrors(t *testing.T) {
	const secret = "bearer-of-the-receiver"
	payload := []byte(`{"phone":"010-2345-6789","pin":7,"id":"o-1"}`)
	for _, say := range []string{`{"message":"no account for 010-2345-6789, token bearer-of-the-receiver"}`, `{"message":"\u0030\u003110-2345-6789 \u0062earer-of-the-receiver"}`,
		`<html><title>&#48;10-2345-6789 b&#101;arer-of-the-receiver</title>`, strings.Repeat("x", maxRead-9) + secret, strings.Repeat(" ", maxRead-9) + secret} {
		url := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422); _, _ = w.Write([]byte(say)) })
		s := newSender(t, delivery.HTTPDestination{URL: url, Headers: map[string]string{"X-Token": secret}}, wire.Network{})
		r := s.Send(t.Context(), request(string(payload)))
		shown := r.Conceal(payload, delivery.Masking{Paths: []string{"$.phone", "$.pin"}})
		for _, hidden := range []string{secret, "010-2345-6789", "bearer-of"} {
			if strings.Contains(shown.Error, hidden) || hidden != "010-2345-6789" && (strings.Contains(r.Words, hidden) || strings.Contains(string(r.Response), hidden) && !strings.Contains(say, `\u`) && !strings.Contains(say, "&#")) {
				t.Errorf("%q shows in %.200q", hidden, shown.Error)
			}
		}
	}
}
