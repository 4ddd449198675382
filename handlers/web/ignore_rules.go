package web

import (
	"context"

	"redrive/delivery"
)

// IgnoreRuleStore is what API and console need to make, show and end ignore rules.
type IgnoreRuleStore interface {
	IgnoreRules(ctx context.Context, f delivery.IgnoreRuleFilter) (delivery.Page[delivery.IgnoreRule], error)
	IgnoreRule(ctx context.Context, id string) (delivery.IgnoreRule, error)
	PreviewIgnoreRule(ctx context.Context, r delivery.IgnoreRuleRequest) (delivery.IgnorePreview, error)
	AddIgnoreRule(ctx context.Context, r delivery.IgnoreRuleRequest) (delivery.IgnoreRule, error)
	EndIgnoreRule(ctx context.Context, id, actor, reason string) (delivery.IgnoreRule, error)
}
