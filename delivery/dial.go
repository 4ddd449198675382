package delivery

import (
	"context"
	"net"
)

// Dial opens a connection as [net.Dialer.DialContext] does. The program has one for what integrations name: it refuses what the
// network rules do not permit.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// BlockedError says that the network rules refuse an address. It does not name it: error texts group failures.
type BlockedError struct{}

func (*BlockedError) Error() string { return "the network rules refuse the receiver's address" }
