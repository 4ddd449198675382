package delivery

import "context"

type apartKey struct{}

// Apart marks what is asked for people. The store serves it by connections of their own, so that whoever asks for much holds up no
// delivery.
func Apart(ctx context.Context) context.Context { return context.WithValue(ctx, apartKey{}, true) }

// IsApart reports whether a context is marked so.
func IsApart(ctx context.Context) bool {
	apart, _ := ctx.Value(apartKey{}).(bool)
	return apart
}
