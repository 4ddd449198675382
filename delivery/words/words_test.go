package words

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html/charset"

	"redrive/delivery"
)

// answers are in the shape in which those systems document them, or were seen to answer.
var answers = []struct {
	name, contentType string
	status            int
	body, want        string
}{
	{"RFC 9457", "application/problem+json", 403, `{"type":"https://example.com/probs/out-of-credit","title":"You do not have enough credit.","detail":"Your current balance is 30, but that costs 50.","instance":"/account/12345/msgs/abc","balance":30,"accounts":["/account/12345","/account/67890"]}`,
		"You do not have enough credit. Your current balance is 30, but that costs 50."},
	{"RFC 9457 with errors", "application/problem+json", 422, `{"type":"https://example.net/validation-error","title":"Your request is not valid.","errors":[{"detail":"must be a positive integer","pointer":"#/age"},{"detail":"must be 'green', 'red' or 'blue'","pointer":"#/profile/color"}]}`,
		"Your request is not valid.; #/age: must be a positive integer; #/profile/color: must be 'green', 'red' or 'blue'"},
	{"Stripe", "application/json", 402, `{"error":{"code":"card_declined","decline_code":"insufficient_funds","doc_url":"https://stripe.com/docs/error-codes/card-declined","message":"Your card has insufficient funds.","param":"","type":"card_error"}}`,
		"Your card has insufficient funds. (code card_declined, insufficient_funds, card_error)"},
	{"Google", "application/json; charset=UTF-8", 404, `{"error":{"code":404,"message":"Order 4711 was not found.","status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ORDER_UNKNOWN","domain":"shop.example","metadata":{"order":"4711"}}]}}`,
		"Order 4711 was not found.; ORDER_UNKNOWN"},
	{"AWS JSON", "application/x-amz-json-1.1", 400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`,
		"The conditional request failed (code ConditionalCheckFailedException)"},
	{"AWS query", "text/xml", 400, `<ErrorResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>Invalid parameter: TopicArn</Message></Error><RequestId>b9ef6a4e-6f0c-5ef1-a2d3</RequestId></ErrorResponse>`,
		"Invalid parameter: TopicArn (code InvalidParameter)"},
	{"S3", "application/xml", 404, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message><BucketName>exports</BucketName><RequestId>4442587FB7D0A2F9</RequestId></Error>`,
		"The specified bucket does not exist (code NoSuchBucket)"},
	{"GitHub", "application/json", 422, `{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"}],"documentation_url":"https://docs.github.com/rest"}`,
		"Validation Failed; title: missing_field"},
	{"GraphQL", "application/graphql-response+json", 400, `{"errors":[{"message":"Variable \"$sku\" of required type \"ID!\" was not provided.","locations":[{"line":1,"column":7}],"extensions":{"code":"BAD_USER_INPUT"}}]}`,
		`Variable "$sku" of required type "ID!" was not provided.; BAD_USER_INPUT`},
	{"Spring Boot", "application/json", 422, `{"timestamp":"2026-03-04T05:06:07.000+00:00","status":422,"error":"Unprocessable Entity","message":"customer 4711 has no billing address","path":"/orders"}`,
		"customer 4711 has no billing address"},
	{"Spring Boot without a message", "application/json", 422, `{"timestamp":"2026-03-04T05:06:07.000+00:00","status":422,"error":"Unprocessable Entity","path":"/orders"}`, ""},
	{"Laravel", "application/json", 422, `{"message":"The given data was invalid.","errors":{"email":["The email field is required."],"lines":["The lines field must have at least 1 items."]}}`,
		"The given data was invalid.; email: The email field is required.; lines: The lines field must have at least 1 items."},
	{"Rails", "application/json", 422, `{"name":["can't be blank"],"total":["must be greater than 0","is not a number"]}`, "name: can't be blank; total: must be greater than 0; total: is not a number"},
	{"Rails with full messages", "application/json", 422, `{"errors":["Name can't be blank"]}`, "Name can't be blank"},
	{"ASP.NET", "application/problem+json; charset=utf-8", 400, `{"type":"https://tools.ietf.org/html/rfc9110#section-15.5.1","title":"One or more validation errors occurred.","status":400,"errors":{"Email":["The Email field is not a valid e-mail address."]},"traceId":"00-1d3a0c2e4b5f6a7b8c9d-00"}`,
		"One or more validation errors occurred.; Email: The Email field is not a valid e-mail address."},
	{"JSON:API", "application/vnd.api+json", 422, `{"errors":[{"id":"9f1c","status":"422","source":{"pointer":"/data/attributes/firstName"},"title":"Invalid Attribute","detail":"First name must contain at least two characters."}]}`,
		"/data/attributes/firstName: Invalid Attribute. First name must contain at least two characters."},
	{"SOAP 1.1", "text/xml; charset=utf-8", 500, `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault><faultcode>soap:Server</faultcode><faultstring>Customer 4711 is blocked</faultstring><detail><errorCode>CUST_BLOCKED</errorCode></detail></soap:Fault></soap:Body></soap:Envelope>`,
		"Customer 4711 is blocked; CUST_BLOCKED"},
	{"SOAP 1.2", "application/soap+xml", 500, `<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body><env:Fault><env:Code><env:Value>env:Sender</env:Value></env:Code><env:Reason><env:Text xml:lang="en">The cart has expired</env:Text></env:Reason></env:Fault></env:Body></env:Envelope>`,
		"The cart has expired"},
	{"OAuth", "application/json", 400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`, "Token has been expired or revoked. (code invalid_grant)"},
	{"OAuth, bare", "application/json", 400, `{"error":"invalid_client"}`, "invalid_client"},
	{"Twilio", "application/json", 400, `{"code":21211,"message":"The 'To' number +4912345 is not a valid phone number.","more_info":"https://www.twilio.com/docs/errors/21211","status":400}`,
		"The 'To' number +4912345 is not a valid phone number. (code 21211)"},
	{"Salesforce", "application/json", 400, `[{"message":"Required fields are missing: [Name]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]}]`, "Name: Required fields are missing: [Name] (code REQUIRED_FIELD_MISSING)"},
	{"Meta", "application/json", 400, `{"error":{"message":"Error validating access token.","type":"OAuthException","code":190,"error_subcode":463,"fbtrace_id":"EJplcsCHuLu"}}`, "Error validating access token. (code 190, 463, OAuthException)"},
	{"FastAPI", "application/json", 422, `{"detail":[{"loc":["body","customer","email"],"msg":"field required","type":"value_error.missing"}]}`, "body.customer.email: field required (code value_error.missing)"},
	{"Django REST", "application/json", 400, `{"email":["Enter a valid email address."],"non_field_errors":["The fields order, line must make a unique set."]}`,
		"email: Enter a valid email address.; non_field_errors: The fields order, line must make a unique set."},
	{"Django REST, detail", "application/json", 404, `{"detail":"No Order matches the given query."}`, "No Order matches the given query."},
	{"Elasticsearch", "application/json", 400, `{"error":{"root_cause":[{"type":"mapper_parsing_exception","reason":"failed to parse field [total] of type [long]"}],"type":"mapper_parsing_exception","reason":"failed to parse field [total] of type [long]"},"status":400}`,
		"failed to parse field [total] of type [long] (code mapper_parsing_exception)"},
	{"PayPal", "application/json", 422, `{"name":"UNPROCESSABLE_ENTITY","details":[{"field":"/purchase_units/@reference_id=='1'/amount","issue":"DECIMAL_PRECISION","description":"The value of the field should not be more than two decimal places."}],"message":"The requested action could not be performed.","debug_id":"b6b9a374802ea"}`,
		"The requested action could not be performed.; /purchase_units/@reference_id=='1'/amount: The value of the field should not be more than two decimal places. (code DECIMAL_PRECISION)"},
	{"Adyen", "application/json", 422, `{"status":422,"errorCode":"14_018","message":"Required field 'reference' is not provided.","errorType":"validation","pspReference":"8816118280275544"}`,
		"Required field 'reference' is not provided. (code 14_018, validation)"},
	{"Toss Payments", "application/json;charset=UTF-8", 400, `{"code":"ALREADY_PROCESSED_PAYMENT","message":"이미 처리된 결제 입니다."}`, "이미 처리된 결제 입니다. (code ALREADY_PROCESSED_PAYMENT)"},
	{"Alipay", "application/json", 400, `{"alipay_trade_query_response":{"code":"40004","msg":"Business Failed","sub_code":"ACQ.TRADE_NOT_EXIST","sub_msg":"交易不存在"},"sign":"ERITJKEIJKJHKKKKKKKHJEREEEEEEEEEEE"}`,
		"Business Failed. 交易不存在 (code 40004, ACQ.TRADE_NOT_EXIST)"},
	{"Microsoft Graph", "application/json", 400, `{"error":{"code":"Request_ResourceNotFound","message":"Resource 'a1' does not exist.","innerError":{"date":"2026-03-04T05:06:07","request-id":"0d4e7a4c-6f3e-4b43-9a55-0f1d2c3b4a59"}}}`,
		"Resource 'a1' does not exist. (code Request_ResourceNotFound)"},
	{"Okta", "application/json", 400, `{"errorCode":"E0000001","errorSummary":"Api validation failed: login","errorLink":"E0000001","errorId":"sampleiCF-l7mr9XqM1NQ","errorCauses":[]}`, "Api validation failed: login (code E0000001)"},
	{"Shopify", "application/json", 422, `{"errors":{"title":["can't be blank"],"base":["Line items can't be empty"]}}`, "title: can't be blank; base: Line items can't be empty"},
	{"Slack", "application/json", 400, `{"ok":false,"error":"channel_not_found"}`, "channel_not_found"},
	{"a text in JSON", "application/json", 409, `"order was shipped before"`, "order was shipped before"},
	{"rows with the same fault", "application/json", 422, `{"errors":[{"field":"items[3].sku","message":"unknown article 31"},{"field":"items[7].sku","message":"unknown article 77"}]}`, "items[3].sku: unknown article 31"},
	{"JSON that was cut", "application/json", 500, `{"error":{"message":"the stock is locked","trace":["a","b`, "the stock is locked"},
	{"a stack trace", "application/json", 500, `{"message":"deadlock found\n  at Db.query (db.js:10)\n  at run","stack":"…"}`, "deadlock found"},
	{"a form", "application/x-www-form-urlencoded", 400, `L_ERRORCODE0=10002&ACK=Failure&L_SHORTMESSAGE0=Security+error`, "L_SHORTMESSAGE0: Security error"},
	{"text", "text/plain; charset=utf-8", 422, "\n  order 4711 is closed \nsecond line", "order 4711 is closed"},
	{"text that repeats the status", "text/plain", 404, "404 Not Found\n\nno such article", "no such article"},
	{"nothing but the status", "text/plain", 503, "Service Unavailable", ""},
	{"a traceback", "text/plain", 500, "Traceback (most recent call last):\n  File \"app.py\", line 3, in f\nValueError: quantity is negative\n", "ValueError: quantity is negative"},
	{"colours", "text/plain", 500, "\x1b[31mout of stock\x1b[0m", "out of stock"},
	{"nginx", "text/html", 502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n", "Bad Gateway, nginx/1.22.1"},
	{"Cloudflare", "text/html; charset=UTF-8", 522, "<!DOCTYPE html>\n<!--[if lt IE 7]> <html class=\"no-js\"> <![endif]-->\n<html lang=\"en-US\"><head>\n<title>shop.example | 522: Connection timed out</title>\n<style>body{}</style></head><body>…</body></html>", "shop.example | 522: Connection timed out"},
	{"Tomcat", "text/html;charset=utf-8", 404, `<!doctype html><html lang="en"><head><title>HTTP Status 404 – Not Found</title><style type="text/css">body {font-family:Tahoma;}</style></head><body><h1>HTTP Status 404 – Not Found</h1><hr class="line" /><p><b>Type</b> Status Report</p><p><b>Message</b> No order &#39;4711&#39;</p><p><b>Description</b> The origin server did not find…</p><hr class="line" /><h3>Apache Tomcat/9.0.70</h3></body></html>`,
		"No order '4711'"},
	{"Apache", "text/html; charset=iso-8859-1", 503, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>503 Service Unavailable</title>\n</head><body>\n<h1>Service Unavailable</h1>\n<p>The server is temporarily unable to service your\nrequest due to maintenance downtime or capacity\nproblems. Please try again later.</p>\n<hr>\n<address>Apache/2.4.57 (Debian) Server at shop.example Port 443</address>\n</body></html>\n",
		"Service Unavailable, The server is temporarily unable to service your request due to maintenance downtime or capacity problems. Please try again later."},
	{"IIS", "text/html", 404, "<!DOCTYPE html><html><head><title>404 - File or directory not found.</title></head><body><h2>404 - File or directory not found.</h2></body></html>", "File or directory not found."},
	{"Django", "text/html", 500, "<!DOCTYPE html><html><head><title>IntegrityError\n          at /orders/</title></head><body></body></html>", "IntegrityError at /orders/"},
	{"a page without end", "text/html", 500, "<html><head><title>out of memory", "out of memory"},
	{"nothing", "", 500, "", ""},
	{"bytes", "application/octet-stream", 500, "\x00\x01\x02\x03\xff\xfe\xfd", ""},
}

func TestTheTellingPart(t *testing.T) {
	for _, a := range answers {
		got, _ := Read(Answer{Status: a.status, Header: http.Header{"Content-Type": {a.contentType}}, Body: []byte(a.body)})
		if got != a.want {
			t.Errorf("%s:\n got %q\nwant %q", a.name, got, a.want)
		}
	}
}

func TestTheReasonStandsElsewhere(t *testing.T) {
	for want, a := range map[string]Answer{
		"The access token expired": {Status: 401, Header: http.Header{"Www-Authenticate": {`Bearer realm="x", error="invalid_token", error_description="The access token expired"`}}},
		"Customer blocked":         {Status: 422, Reason: "422 Customer blocked"},
		"":                         {Status: 422, Reason: "422 Unprocessable Entity"},
	} {
		if got, _ := Read(a); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, _ := Read(Answer{Status: 500, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: []byte("plain")}); got != "" {
		t.Errorf("a compressed answer says %q", got)
	}
}

// Whatever encoding an answer declares, and wherever.
func TestEncodings(t *testing.T) {
	for _, c := range []struct{ encoding, contentType, around, text string }{
		{"euc-kr", "application/json; charset=EUC-KR", `{"message":"%s"}`, "재고가 부족합니다"},
		{"euc-kr", "text/plain;charset=\"ks_c_5601-1987\"", "%s", "재고가 부족합니다"},
		{"euc-kr", "text/plain; charset=cp949", "%s", "재고가 부족합니다"},
		{"shift_jis", "text/html; charset=Shift_JIS", "<html><title>%s</title></html>", "在庫がありません"},
		{"shift_jis", "text/html", "<html><head><meta charset=\"Shift_JIS\"><title>%s</title></html>", "在庫がありません"},
		{"iso-8859-1", "text/plain; charset=ISO-8859-1", "%s", "Straße fehlt für Köln"},
		{"iso-8859-1", "application/xml", `<?xml version="1.0" encoding="ISO-8859-1"?><error><message>%s</message></error>`, "Straße fehlt für Köln"},
		{"gb18030", "text/plain; charset=gb18030", "%s", "订单不存在"},
		{"big5", "text/plain; charset=Big5", "%s", "訂單不存在"},
		{"utf-16le", "application/json", "\ufeff{\"message\":\"%s\"}", "주문이 없습니다"},
		{"utf-16be", "text/plain", "\ufeff%s", "заказ не найден"},
		{"utf-8", "application/json; charset=utf-8", "\ufeff{\"message\":\"%s\"}", "주문이 없습니다"},
	} {
		e, _ := charset.Lookup(c.encoding)
		body, err := e.NewEncoder().Bytes([]byte(strings.Replace(c.around, "%s", c.text, 1)))
		if err != nil {
			t.Fatal(err)
		}
		said, decoded := Read(Answer{Status: 422, Header: http.Header{"Content-Type": {c.contentType}}, Body: body})
		if said != c.text || !bytes.Contains(decoded, []byte(c.text)) {
			t.Errorf("%s, %s: %q", c.encoding, c.contentType, said)
		}
	}
}

// hostile returns are made to be expensive.
var hostile = map[string]string{
	"brackets":       strings.Repeat("[", 64<<10),
	"objects":        strings.Repeat(`{"error":`, 64<<10/9),
	"lists of lists": strings.Repeat(`[{"errors":`, 64<<10/11),
	"many errors":    `{"errors":[` + strings.Repeat(`{"message":"x"},`, 64<<10/16),
	"other errors":   `{"errors":{` + strings.Repeat(`"a":["b"],"bb":["c"],`, 64<<10/21),
	"elements":       strings.Repeat("<a>", 64<<10/3),
	"XML comments":   "<a>" + strings.Repeat("x<!-- -->", 64<<10/9),
	"entities":       `<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><error><message>` + strings.Repeat("&b;", 10000) + `</message></error>`,
	"a page":         "<html>" + strings.Repeat("<p>x", 64<<10/4),
	"a script":       "<html><script>" + strings.Repeat("x<", 32<<10),
	"a tag":          "<html><a " + strings.Repeat("b=c ", 16<<10),
	"one word":       strings.Repeat("x", 64<<10),
	"no UTF-8":       strings.Repeat("\xff", 64<<10),
	"half UTF-8":     strings.Repeat("ab\xe2\x82", 16<<10),
	"escapes":        `{"message":"` + strings.Repeat(`\ud800`, 10<<10) + `"}`,
	"numbers":        `{"code":` + strings.Repeat("9", 64<<10),
	"line ends":      strings.Repeat("\r\n", 32<<10),
	"quotes":         strings.Repeat(`"'`, 32<<10),
}

const payload = `{"phone":"010-2345-6789","name":"Ann  \"Q\" Weber","pin":"7","order":"A-1"}`

var masked = []string{"$.phone", "$.name", "$.pin"}

// bounded fails when what becomes of an answer is longer than it may be, shows what is masked, or is not fit to be stored.
func bounded(t *testing.T, contentType string, body []byte) {
	t.Helper()
	began := time.Now()
	said, decoded := Read(Answer{Status: 422, Header: http.Header{"Content-Type": {contentType}}, Body: body})
	r := delivery.Result{Outcome: delivery.OutcomePermanent, Error: "the receiver answered 422", Words: said, Response: decoded}.Conceal([]byte(payload), delivery.Masking{Paths: masked})
	_, text := delivery.Fingerprint("push", delivery.ClassHTTP4xx, r.Error)
	if n := len([]rune(r.Error)); n > 530 || r.Words != "" || delivery.Storable(r.Error) != r.Error || strings.ContainsAny(r.Error+text, "\r\n\t\x1b\u202e") {
		t.Errorf("%d characters: %q", n, r.Error)
	}
	for _, secret := range []string{"010-2345-6789", "Ann \"Q\" Weber"} {
		if strings.Contains(r.Error+text, secret) {
			t.Errorf("%q is in %q", secret, r.Error)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestHostileAnswersAreBounded(t *testing.T) {
	for name, body := range hostile {
		for _, contentType := range []string{"application/json", "text/html", "text/xml", "text/plain; charset=euc-kr", "application/x-www-form-urlencoded"} {
			t.Run(name+", "+contentType, func(t *testing.T) { bounded(t, contentType, []byte(body)) })
		}
	}
}

// However a receiver repeats a masked value, also across the place where the words are cut.
func TestMaskedValuesAreHiddenInEveryForm(t *testing.T) {
	for _, body := range []string{
		`{"message":"no account for 010-2345-6789"}`, `{"message":"no account for \u0030\u003110-2345-6789"}`, `{"message":"Ann  \"Q\" Weber is blocked"}`,
		`{"message":"Ann\n\"Q\"\tWeber is blocked"}`, `<error><message>Ann &#32;&quot;Q&quot; Weber</message></error>`, `<html><title>Ann  &quot;Q&quot; Weber</title></html>`,
		"010\u200b-2345-6789", "010-2345-\x016789 is wrong", strings.Repeat("x", 8<<10-6) + "010-2345-6789", strings.Repeat("y ", 247) + "010-2345-6789",
		`{"errors":{"phone":["010-2345-6789 is no number"]}}`, `{"010-2345-6789":["is no number"]}`,
	} {
		bounded(t, "application/json", []byte(body))
	}
	said, _ := Read(Answer{Status: 422, Body: []byte("pin 7 is wrong, 70 are left")})
	r := delivery.Result{Outcome: delivery.OutcomePermanent, Error: "the receiver answered 422", Words: said}.Conceal([]byte(payload), delivery.Masking{Paths: masked})
	if r.Error != "the receiver answered 422: pin "+delivery.Hidden+" is wrong, 70 are left" {
		t.Errorf("a short value: %q", r.Error)
	}
}

func FuzzRead(f *testing.F) {
	for _, a := range answers {
		f.Add(a.contentType, []byte(a.body))
	}
	for _, body := range hostile {
		f.Add("application/json", []byte(body[:min(len(body), 512)]))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) { bounded(t, contentType, body) })
}

func BenchmarkHostile(b *testing.B) {
	for name, body := range hostile {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Read(Answer{Status: 422, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)})
			}
		})
	}
}
