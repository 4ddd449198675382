package wire

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"redrive/delivery"
)

// quiet keeps the client's own lines out of our structured log: what they say comes back as errors too.
type quiet struct{}

// Printf says nothing.
func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

// RedisOptions are a client's settings for the server. The client tries nothing twice: who uses it decides about that. Its
// calls end with their context.
func (g Dialer) RedisOptions(s delivery.RedisServer) (*redis.Options, error) {
	var secure *tls.Config
	if s.TLS != nil {
		var err error
		if secure, err = TLSConfig(s.TLS); err != nil {
			return nil, err
		}
	}
	return &redis.Options{
		Addr: s.Addr, Username: s.Username, Password: s.Password, DB: s.DB,
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			return g.DialTLS(ctx, network, address, secure)
		},
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		// less than common idle limits of load balancers (1 to 5 min): a kept connection should not be found dead
		ConnMaxIdleTime: 50 * time.Second,
		// neither is used, and both send commands that a restricted user may not be allowed
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}
