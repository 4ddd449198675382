package handlers

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

// FuzzIdentity sends what strangers can send to be taken for somebody: a header, cookies, a form. Nobody is let in by it, and nothing fails.
func FuzzIdentity(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(f.Context(), storetest.New(f), log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(db.Close)
	secret, ticket := delivery.NewTokenSecret(), strings.Repeat("A", 43)
	for _, header := range []string{"Bearer " + secret, "bearer " + secret[:len(secret)-1], "Bearer \x00", "Basic YTpi", "Bearer \xff\xfe", "Bearer ' OR 1=1 --", "Bearer", "Digest x"} {
		f.Add(header, "redrive_session="+ticket, "name=admin&password=guess+guess")
	}
	for _, cookie := range []string{"redrive_session=", "redrive_session=\x00", "redrive_session=" + strings.Repeat("x", 5000), "__Host-redrive_session=" + ticket, "redrive_session=a; redrive_session=b",
		`redrive_session="` + ticket + `"`, "redrive_place=%00; redrive_session=\xff", "redrive_flash=%7B%7D"} {
		f.Add("Bearer x", cookie, "name=a&password=b&next=//evil.test")
	}
	for _, form := range []string{"", "name=&password=", "name=%00&password=x", "name=%ff&password=x", "name=a&name=b&password=c", "name=" + strings.Repeat("n", 300) + "&password=x", "kept=x&name=a&password=b", ";;;",
		"%zz", "name=a&password=" + strings.Repeat("p", 2000), "ticket=" + ticket + "&code=000000"} {
		f.Add("Bearer x", "a=b", form)
	}
	f.Fuzz(func(t *testing.T, header, cookie, form string) {
		server, err := New(db, Config{Integrations: testIntegrations(), Log: log}) // which remembers no guess: else all are soon held back for seconds
		if err != nil {
			t.Fatal(err)
		}
		send := func(method, path, body string, headers ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, r)
			return w
		}
		form1 := []string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Accept", "text/html"}
		if header != "" {
			if a := send("GET", "/api/v1/failures", "", "Authorization", header); a.Code != http.StatusUnauthorized {
				t.Errorf("Authorization %q: %d %s", header, a.Code, a.Body)
			}
		}
		if a := send("GET", "/failures", "", "Cookie", cookie); a.Code != http.StatusSeeOther || !strings.HasPrefix(a.Header().Get("Location"), "/sign-in") {
			t.Errorf("Cookie %q: %d %s", cookie, a.Code, a.Header().Get("Location"))
		}
		for _, path := range []string{"/sign-in", "/sign-in/code"} {
			a := send("POST", path, form, append(form1, "Cookie", cookie)...)
			lost := a.Code == http.StatusSeeOther && strings.HasPrefix(a.Header().Get("Location"), "/sign-in") // a ticket that is none
			if a.Code >= 500 || a.Code < 400 && !lost {
				t.Errorf("%s %q: %d %s", path, form, a.Code, a.Header().Get("Location"))
			}
			if typed, err := url.ParseQuery(form); err == nil && len(typed.Get("password")) > 8 && strings.Contains(a.Body.String(), `"`+typed.Get("password")+`"`) && typed.Get("password") != typed.Get("name") {
				t.Errorf("%s shows the password again", path)
			}
		}
	})
}
