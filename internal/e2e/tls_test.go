package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// certify writes a certificate for this machine and its key into files, and returns its number.
func certify(t *testing.T, cert, key string) string {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number := big.NewInt(time.Now().UnixNano())
	template := &x509.Certificate{SerialNumber: number, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return number.String()
}

// presents is a client that believes everybody, and the number of the certificate that a new connection shows.
func presents(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// Console and API over HTTPS by files, which are exchanged while the program runs; cookies belong to this host alone.
func TestHTTPSByFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := certify(t, cert, key)
	p := launch(t, []string{"serve"}, onFreshDatabase(t), "REDRIVE_TLS_CERT="+cert, "REDRIVE_TLS_KEY="+key)
	address, encrypted := strings.CutPrefix(p.url, "https://")
	if !encrypted {
		t.Fatalf("it listens at %q:\n%s", p.url, p.output())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.PostForm(p.url+"/sign-in", url.Values{"name": {"admin"}, "password": {"correct horse battery"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	cookie := strings.Join(r.Header.Values("Set-Cookie"), "\n")
	if ok := regexp.MustCompile(`(?m)^__Host-redrive_session=[^;]+; Path=/; .*HttpOnly; Secure; SameSite=Lax$`).MatchString(cookie); !ok || r.StatusCode != http.StatusSeeOther {
		t.Errorf("%s with the cookie %q", r.Status, cookie)
	}
	if r.ProtoMajor != 2 || r.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v", r.Proto, r.Header)
	}
	if got := presents(t, address); got != first {
		t.Errorf("certificate %s, not %s", got, first)
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	clear, err := client.Get("http://" + address + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	_ = clear.Body.Close()
	if clear.StatusCode != http.StatusBadRequest || len(clear.Cookies()) > 0 {
		t.Errorf("in the clear: %s, %v", clear.Status, clear.Header)
	}
	if err := os.WriteFile(cert, []byte("half of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the log tells of the half file", func() bool {
		if got := presents(t, address); got != first {
			t.Fatalf("certificate %s while its files do not fit, not %s", got, first)
		}
		return strings.Contains(p.output(), "the certificate cannot be read again")
	})
	second := certify(t, cert, key)
	await(t, "the new certificate", func() bool { return presents(t, address) == second })
	if p.stop() != 0 {
		t.Error("it does not end as it should")
	}
}

// The demo works over HTTPS: its receivers are reached in the clear, at an address of their own where nothing else is, its pages and a sign-in
// over HTTPS, and what the content policy keeps from a page is reported there.
func TestTheDemoOverHTTPS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cert, key)
	p := launch(t, []string{"serve"}, onFreshDatabase(t), "REDRIVE_TLS_CERT="+cert, "REDRIVE_TLS_KEY="+key, "REDRIVE_DEMO=1")
	if p.url == "" {
		t.Fatalf("it does not serve:\n%s", p.output())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport, Jar: jar}
	get := func(path string) (status int, body string) {
		t.Helper()
		r, err := client.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(raw)
	}
	r, err := client.PostForm(p.url+"/sign-in", url.Values{"name": {"admin"}, "password": {"correct horse battery"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if status, body := get("/demo/receivers"); status != http.StatusOK || !strings.Contains(body, "/demo/receivers/") {
		t.Errorf("the demo's page: %d", status)
	}
	await(t, "a delivery to a receiver", func() bool {
		_, body := get("/metrics")
		return regexp.MustCompile(`(?m)^redrive_deliveries_total\{.*outcome="ok"\} [1-9]`).MatchString(body)
	})
	b := browse(t, p.url, true)
	b.open("/sign-in")
	const inline = `(() => { const s = document.createElement('script'); s.textContent = 'window.hurt = true'; document.body.append(s); return !window.hurt })()`
	if kept, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](inline)); err != nil || !kept {
		t.Fatalf("an inline script runs: %v %v", kept, err)
	}
	await(t, "the report", func() bool {
		_, body := get("/metrics")
		return regexp.MustCompile(`(?m)^redrive_csp_reports_total [1-9]`).MatchString(body)
	})
	if p.stop() != 0 {
		t.Error("it does not end as it should")
	}
}

func TestWrongCertificatesStopTheStart(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	certify(t, cert, other)
	certify(t, cert, key)
	database := onFreshDatabase(t)
	for _, c := range []struct {
		cert, key, says string
	}{
		{cert: cert, says: "REDRIVE_TLS_CERT and REDRIVE_TLS_KEY: "},
		{key: key, says: "REDRIVE_TLS_CERT and REDRIVE_TLS_KEY: "},
		{cert: cert, key: other, says: "REDRIVE_TLS_CERT: "},
		{cert: key, key: key, says: "REDRIVE_TLS_CERT: "},
		{cert: dir + "/none", key: key, says: "REDRIVE_TLS_CERT: open " + dir + "/none: "},
	} {
		p := launch(t, []string{"serve"}, database, "REDRIVE_TLS_CERT="+c.cert, "REDRIVE_TLS_KEY="+c.key)
		if p.url != "" {
			t.Fatalf("%+v serves", c)
		}
		p.wait()
		if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.HasPrefix(p.output(), "redrive: "+c.says) {
			t.Errorf("%+v: exit code %d, %s", c, code, p.output())
		}
	}
}
