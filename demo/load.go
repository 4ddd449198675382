package demo

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	loadEvery  = time.Second
	pruneEvery = time.Minute
	complain   = 10 * time.Second
)

var (
	people    = []string{"김하늘", "이서준", "Ada Park", "박지우", "Noah Lind", "최은서", "Zoë Weber", "정도윤"}
	items     = []string{"유자차 세트", "Walnut desk lamp", "제주 감귤 3kg", "Linen shirt", "무선 키보드", "Coffee beans ☕ 500 g"}
	addresses = []string{"서울시 마포구 양화로 45", "12 Harbour Street", "부산시 해운대구 우동 101동 1203호", "7 Mill Lane", "주소 미정"}
	lessons   = []string{"한국어 초급: 인사", "Fractions", "광합성", "Reading a map", "Go 동시성"}
	titles    = []string{"봄의 산책", "How bread rises", "작은 도시의 서점", "Five quiet trails", "김치의 시간 🌶"}
)

func pick(from []string) string { return from[rand.IntN(len(from))] }

// Run keeps the tables short and, when asked to, makes up work, until ctx ends. One thing at a time: nothing piles up
// while the database is away.
func (s *Shop) Run(ctx context.Context) error {
	load, prune := time.NewTicker(loadEvery), time.NewTicker(pruneEvery)
	defer load.Stop()
	defer prune.Stop()
	var complained time.Time
	for n := 0; ; {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-prune.C:
			err = s.prune(ctx)
		case <-load.C:
			if s.config.Background {
				err = s.work(ctx, s.rooms[n%len(s.rooms)])
				n++
			}
		}
		if err != nil && ctx.Err() == nil && time.Since(complained) > complain {
			complained = time.Now()
			s.config.Log.Warn("demo", "error", err)
		}
	}
}

func (s *Shop) work(ctx context.Context, r *room) error {
	values := r.example()
	if r.prepare != nil {
		var err error
		if values, err = r.prepare(values); err != nil {
			return err
		}
	}
	_, err := s.submit(ctx, r, values)
	return err
}
