package web

import (
	"context"
	"crypto/sha256"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// TokenStore is what making secrets of tokens needs from the database.
type TokenStore interface {
	Token(ctx context.Context, id string) (delivery.Token, error) // with its secrets, revoked or not
	CreateToken(ctx context.Context, t delivery.Token, sha256 []byte, actor string) (delivery.Token, error)
	RotateToken(ctx context.Context, r delivery.TokenRotation) (delivery.Token, error)
}

// NewToken makes a token for whoever asks, and returns its secret, which is kept nowhere, and the token's id.
func NewToken(c echo.Context, store TokenStore, t delivery.Token) (secret, id string, err error) {
	secret = delivery.NewTokenSecret()
	sum := sha256.Sum256([]byte(secret))
	t, err = store.CreateToken(c.Request().Context(), t, sum[:], Who(c).ID)
	return secret, t.ID, err
}

// RotateToken gives a token a new secret for whoever asks, and returns it.
func RotateToken(c echo.Context, store TokenStore, r delivery.TokenRotation) (secret string, err error) {
	secret = delivery.NewTokenSecret()
	sum := sha256.Sum256([]byte(secret))
	r.Hash, r.Actor = sum[:], Who(c).ID
	_, err = store.RotateToken(c.Request().Context(), r)
	return secret, err
}

// OfRobot refuses the token of an address that is a person's: with a new secret somebody else could act as them.
func OfRobot(c echo.Context, store TokenStore) error {
	id, err := UuidParam(c)
	if err != nil {
		return err
	}
	t, err := store.Token(c.Request().Context(), id)
	if err == nil && t.Owner != nil {
		err = delivery.Mistake("token_of_person", "id", "name", t.Owner.Name)
	}
	return err
}
