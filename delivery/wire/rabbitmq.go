package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
)

const (
	heartbeat    = 5 * time.Second  // three missed ones end a connection whose other end is gone without a word
	stalledWrite = 20 * time.Second // ends a connection whose other end takes nothing any more
	frameSize    = 128 << 10        // what RabbitMQ proposes by itself
	externalAuth = "EXTERNAL"       // auth_mechanism of an address: the client certificate is the login
	badAddress   = "the RabbitMQ url is not an address like amqp://user:password@host:5672/vhost (special characters need percent-encoding)"
	needsAMQPS   = "the RabbitMQ url has tls settings beside it and must start with amqps://"
)

// DialRabbitMQ opens a connection within ctx. Its errors hold no credentials; what the broker says is an *amqp091.Error.
func (g Dialer) DialRabbitMQ(ctx context.Context, s delivery.RabbitMQServer) (*amqp091.Connection, error) {
	to, secure, err := rabbitMQAddress(s)
	if err != nil {
		return nil, err
	}
	raw, err := g.DialTLS(ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(to.Port)), secure)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // ends a handshake that nobody answers
	about := amqp091.Table{"product": "Redrive", "connection_name": "redrive"}
	conn, err := amqp091.Open(&impatientConn{Conn: raw},
		amqp091.Config{SASL: []amqp091.Authentication{spoken{login(to), about}}, Vhost: to.Vhost,
			Heartbeat: heartbeat, FrameSize: frameSize, Locale: "en_US", Properties: about})
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close() // err says why
		return nil, fmt.Errorf("opening the RabbitMQ connection: %w", err)
	}
	if every := conn.Config.Heartbeat; every > 0 { // the library starts to watch with the first frame that comes
		_ = raw.SetReadDeadline(time.Now().Add(3 * every)) // fails on a closed connection only, which its user will notice
	}
	return conn, nil
}

// rabbitMQAddress reads the address and the TLS settings that it needs, nil for a plain connection. An error about the
// address never quotes it.
func rabbitMQAddress(s delivery.RabbitMQServer) (amqp091.URI, *tls.Config, error) {
	to, err := amqp091.ParseURI(s.URL)
	switch {
	case err != nil:
		return to, nil, errors.New(badAddress)
	case to.Scheme == "amqps":
		secure, err := TLSConfig(s.TLS)
		return to, secure, err
	case s.TLS != nil:
		return to, nil, errors.New(needsAMQPS)
	}
	return to, nil, nil
}

func login(to amqp091.URI) amqp091.Authentication {
	if len(to.AuthMechanism) == 1 && strings.EqualFold(to.AuthMechanism[0], externalAuth) {
		return &amqp091.ExternalAuth{}
	}
	return to.PlainAuth()
}

// spoken asks the broker to say so when it refuses the login. It would hang up without a word after some seconds otherwise,
// like a broker that dies. The library has no setting for it; it asks for the response after it wrote what it is capable of.
type spoken struct {
	amqp091.Authentication
	about amqp091.Table
}

// Response returns the login.
func (s spoken) Response() string {
	if capabilities, ok := s.about["capabilities"].(amqp091.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return s.Authentication.Response()
}

// impatientConn bounds each write: a broker under a memory alarm stops reading, and a vanished one does not acknowledge.
type impatientConn struct {
	net.Conn
	until atomic.Pointer[time.Time] // a deadline that was set for everything
}

// SetDeadline bounds reads and writes, also those under way.
func (c *impatientConn) SetDeadline(t time.Time) error {
	c.until.Store(&t)
	return c.Conn.SetDeadline(t)
}

// Write writes within stalledWrite.
func (c *impatientConn) Write(b []byte) (int, error) {
	deadline := time.Now().Add(stalledWrite)
	if until := c.until.Load(); until != nil && !until.IsZero() && until.Before(deadline) {
		deadline = *until
	}
	if err := c.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CheckRabbitMQ says what is wrong with the settings, without dialling.
func CheckRabbitMQ(s delivery.RabbitMQServer) error {
	_, _, err := rabbitMQAddress(s)
	return err
}
