package integrations

import (
	"context"
	"fmt"

	"redrive/store/pg"
)

// memberRoom is the room that a member of a group leads for as long as its process lives.
const memberRoom = "member "

// memberLives is the condition that it does.
var memberLives = pg.Led("'" + memberRoom + "' || m.member")

// KeepMember notes that this process is a member of a group under a name that nobody else has, and shows that it lives until ctx ends.
// noted is called when both stand. A session that breaks is replaced; failures go to failed.
func (s *Registry) KeepMember(ctx context.Context, integration, member string, noted func(), failed func(error)) {
	_ = s.Lead(ctx, memberRoom+member, func(ctx context.Context, l *pg.Leader) error {
		err := l.Gorm.Exec("INSERT INTO redrive.source_members (member, integration) VALUES (?, ?) ON CONFLICT DO NOTHING", member, integration).Error
		if err != nil {
			return fmt.Errorf("noting a member: %w", err)
		}
		noted()
		<-ctx.Done()
		return context.Cause(ctx)
	}, failed) // it answers nil
}

// GoneMembers returns the members of an integration that were not seen to leave their group and whose processes do not live.
func (s *Registry) GoneMembers(ctx context.Context, integration string) ([]string, error) {
	list, err := pg.Read(s.Gorm.WithContext(ctx), pg.Single[string],
		"SELECT member FROM redrive.source_members m WHERE integration = ? AND NOT "+memberLives, integration)
	if err != nil {
		return nil, fmt.Errorf("reading which members are gone: %w", err)
	}
	return list, nil
}

// ForgetMember drops what is noted of a member of this process, which has left its group.
func (s *Registry) ForgetMember(ctx context.Context, member string) error {
	return s.forget(ctx, "member = ?", member)
}

// ForgetGone drops what is noted of members that were made to leave; one that turns out to live stays.
func (s *Registry) ForgetGone(ctx context.Context, members []string) error {
	return s.forget(ctx, "member = ANY(?::text[]) AND NOT "+memberLives, &members)
}

func (s *Registry) forget(ctx context.Context, which string, args ...any) error {
	if err := s.Gorm.WithContext(ctx).Exec("DELETE FROM redrive.source_members m WHERE "+which, args...).Error; err != nil {
		return fmt.Errorf("forgetting members: %w", err)
	}
	return nil
}
