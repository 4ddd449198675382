package rooms

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// look is how often at most the files of a certificate are looked at; a look costs microseconds.
const look = time.Second

// TLS is a listener that speaks TLS (1.2 and later, HTTP/2 where a client knows it).
type TLS struct{ net.Listener }

// ListenTLS encrypts a listener by a certificate with its chain and a key, in files in PEM form. Files that change are read again
// without a restart; while they do not fit each other, the pair of before serves on. The error names the file that cannot be used.
func ListenTLS(plain net.Listener, cert, key string, log *slog.Logger) (*TLS, error) {
	c := &certificate{cert: cert, key: key, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return &TLS{tls.NewListener(plain, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: c.get,
	})}, nil
}

// certificate is what stands in two files now.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	of     string // how the files looked when pair was read
	failed string // and when they could not be
	looked time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < look {
		return c.pair, nil
	}
	c.looked = time.Now()
	if now := c.stamp(); now != c.of {
		if err := c.read(); err == nil {
			c.log.Info("the certificate was read again", "cert", c.cert)
		} else if now != c.failed {
			c.failed = now
			c.log.Error("the certificate cannot be read again, the one of before serves on", "error", err)
		}
	}
	return c.pair, nil
}

func (c *certificate) read() error {
	now := c.stamp() // before they are read: what changes meanwhile is read again
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	var unreadable *fs.PathError // which names the file
	if err != nil && !errors.As(err, &unreadable) {
		err = fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	if err != nil {
		return err
	}
	c.pair, c.of = &pair, now
	return nil
}

// stamp tells two states of the files apart.
func (c *certificate) stamp() (text string) {
	for _, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			text += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return text
}
