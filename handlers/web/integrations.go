package web

import (
	"context"
	"slices"

	"redrive/delivery"
)

// AllFacts returns the figures of every integration's method, by name.
func (s *Core) AllFacts() map[string][]delivery.Fact {
	all := map[string][]delivery.Fact{}
	for _, i := range s.Config.Integrations {
		all[i.Name] = s.Facts(i.Name)
	}
	return all
}

// Facts are the figures of an integration's method in this process.
func (s *Core) Facts(integration string) []delivery.Fact {
	if s.Config.Facts == nil {
		return nil
	}
	return s.Config.Facts(integration)
}

// Health is every integration, with the alarms of this process.
func (s *Core) Health(ctx context.Context) ([]delivery.IntegrationHealth, error) {
	list, err := s.store.Health(ctx)
	if err != nil {
		return nil, err
	}
	gaps, err := s.store.CaptureGaps(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		said := s.Named(list[i].Name)
		list[i].Labels, list[i].Runbook = said.Labels, said.Runbook
		list[i].TableGaps = s.ofRules(list[i].Name, gaps[list[i].Name])
		list[i].Alarm = len(list[i].TableGaps) > 0 ||
			slices.ContainsFunc(s.Facts(list[i].Name), func(f delivery.Fact) bool { return f.Alarm })
	}
	return list, nil
}

// Losses are what an integration's destination does not get of a message as it is; none where the integration is not known.
func (s *Core) Losses(m delivery.Message, integration string) []delivery.Loss {
	for _, i := range s.Config.Integrations {
		if i.Name == integration {
			return delivery.Losses(m, i.Destination)
		}
	}
	return nil
}

// ofRules are the gaps of tables that rules of the file still name.
func (s *Core) ofRules(integration string, gaps []delivery.CaptureGap) []delivery.CaptureGap {
	return slices.DeleteFunc(gaps, func(g delivery.CaptureGap) bool {
		return !slices.ContainsFunc(s.Config.Integrations, func(in delivery.Integration) bool {
			return in.Name == integration && in.CDC != nil &&
				slices.ContainsFunc(in.CDC.Rules, func(r delivery.CDCRule) bool { return r.Name() == g.Table })
		})
	})
}
