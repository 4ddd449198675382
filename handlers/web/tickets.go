package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"redrive/delivery"
	"redrive/delivery/seal"
)

// Ticket is a sign-in that is under way, or a passkey that is being made. The browser keeps it, sealed: whoever begins without end fills
// nothing here and takes nobody's place. Only that one has ended is noted, when it has signed somebody in.
type Ticket struct {
	ID       string          `json:"id"`
	Operator string          `json:"operator,omitempty"` // whose it is; empty: not known yet
	Data     json.RawMessage `json:"data"`
	Until    int64           `json:"until"` // seconds since 1970
}

// maxTicket is the longest ticket that is looked at.
const maxTicket = 8 << 10

// errTicketUsed is a ticket that has signed somebody in; where that makes no difference, there is none.
var (
	errUsed       = errors.New("its state was used before")
	errTicketUsed = errors.Join(errUsed, delivery.ErrNotFound)
)

// giveTicket returns a ticket as browsers keep it. Only one that has the secret of holder opens it again; empty: everyone.
func (s *Core) giveTicket(ctx context.Context, kind delivery.ChallengeKind, holder, operator string, data []byte) (string, error) {
	key, err := s.ticketKey(ctx)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(Ticket{ID: rand.Text(), Operator: operator, Data: data, Until: s.Config.Now().Add(delivery.ChallengeTime).Unix()})
	if err != nil {
		return "", fmt.Errorf("giving a ticket: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(key.Seal(plain, ticketPlace(kind, holder)...)), nil
}

// openTicket returns a ticket that was given: delivery.ErrNotFound for one that is over, was used, or never was.
func (s *Core) openTicket(ctx context.Context, kind delivery.ChallengeKind, holder, text string) (t Ticket, err error) {
	key, err := s.ticketKey(ctx)
	if err != nil {
		return t, err
	}
	if t, err = readTicket(key, kind, holder, text); err != nil || s.Config.Now().Unix() >= t.Until {
		return Ticket{}, delivery.ErrNotFound
	}
	used, err := s.store.TicketEnded(ctx, t.ID)
	if err == nil && used {
		err = errTicketUsed
	}
	return t, err
}

// EndTicket lets a ticket work this once: a second time, or twice at once, it is delivery.ErrNotFound.
func (s *Core) EndTicket(ctx context.Context, t Ticket) error { return s.store.EndTicket(ctx, t.ID) }

func readTicket(key seal.Key, kind delivery.ChallengeKind, holder, text string) (t Ticket, err error) {
	if len(text) > maxTicket {
		return t, seal.ErrRefused
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return t, seal.ErrRefused
	}
	plain, err := key.Open(sealed, ticketPlace(kind, holder)...)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(plain, &t)
}

func ticketPlace(kind delivery.ChallengeKind, holder string) []string {
	return []string{"redrive.ticket", string(kind), holder}
}

func (s *Core) ticketKey(ctx context.Context) (seal.Key, error) {
	raw, err := s.store.TicketKey(ctx)
	if err != nil {
		return seal.Key{}, err
	}
	return seal.KeyOf(raw)
}
