package web

import (
	"context"
	"sync"
	"time"

	"redrive/delivery"
)

// maxTokenUses bounds how many secrets are remembered at once: there are not as many, and who has one is let in all the same.
const maxTokenUses = 10_000

// tokenUses remembers when and from where each secret was used last. It is written now and then, and never by the request itself.
type tokenUses struct {
	now   func() time.Time
	write func(ctx context.Context, uses []delivery.TokenUse) error

	mu sync.Mutex
	of map[string]tokenUse // by the secret's id
}

type tokenUse struct {
	at      time.Time
	address string
}

func newTokenUses(now func() time.Time, write func(context.Context, []delivery.TokenUse) error) *tokenUses {
	return &tokenUses{now: now, write: write, of: map[string]tokenUse{}}
}

func (u *tokenUses) note(secret, address string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.of[secret]; known || len(u.of) < maxTokenUses {
		u.of[secret] = tokenUse{u.now(), address}
	}
}

// flush writes what was noted since the last time. What cannot be written is tried again with the next.
func (u *tokenUses) flush(ctx context.Context) error {
	u.mu.Lock()
	noted := u.of
	u.of = map[string]tokenUse{}
	u.mu.Unlock()
	if len(noted) == 0 {
		return nil
	}
	uses := make([]delivery.TokenUse, 0, len(noted))
	for secret, use := range noted {
		uses = append(uses, delivery.TokenUse{Secret: secret, Ago: u.now().Sub(use.at), Address: use.address})
	}
	err := u.write(ctx, uses)
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		for secret, use := range noted {
			if _, later := u.of[secret]; !later {
				u.of[secret] = use
			}
		}
	}
	return err
}
