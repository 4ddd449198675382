package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"redrive/delivery"
)

// TLSConfig reads the named files. Its errors name a file, never its content. Without settings: the system's authorities.
func TLSConfig(t *delivery.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return config, nil
	}
	config.ServerName = t.ServerName
	if t.CA != "" {
		raw, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, &delivery.SettingError{Setting: "tls.ca", Err: err}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(raw) {
			return nil, &delivery.SettingError{Setting: "tls.ca", Err: fmt.Errorf("%s holds no certificate in PEM form", t.CA)}
		}
	}
	if t.Cert == "" && t.Key == "" {
		return config, nil
	}
	own, err := keyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{own}
	return config, nil
}

func keyPair(cert, key string) (tls.Certificate, error) {
	if cert == "" || key == "" {
		return tls.Certificate{}, fmt.Errorf("a client certificate needs both cert and key, only %s is named", cert+key)
	}
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return tls.Certificate{}, &delivery.SettingError{Setting: "tls.cert", Err: err}
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return tls.Certificate{}, &delivery.SettingError{Setting: "tls.key", Err: err}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil { // err is not passed on: what it quotes depends on the content
		return tls.Certificate{}, &delivery.SettingError{
			Setting: "tls.cert",
			Err:     fmt.Errorf("%s and %s are not a certificate in PEM form and its key", cert, key),
		}
	}
	return pair, nil
}

// DialTLS opens a connection and, with a config, secures it within the same context. It suits clients that take a dial
// function. The config is not changed.
func (g Dialer) DialTLS(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	conn, err := g.DialContext(ctx, network, address)
	if err != nil || config == nil {
		return conn, err
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error says more
		return nil, &HandshakeError{cause: err}
	}
	return secured, nil
}

// HandshakeError says that TLS could not be set up. Nothing was sent.
type HandshakeError struct{ cause error }

func (e *HandshakeError) Error() string { return "the TLS handshake failed: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.cause }
