package progress

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongWorkSaysHowFarItIs(t *testing.T) {
	for name, tc := range map[string]struct {
		to   func(context.Context, *strings.Builder) context.Context
		want string
	}{
		"lines": {func(ctx context.Context, w *strings.Builder) context.Context { return ToLines(ctx, w) },
			"audit: 10 of 40 (25 %), 5s\naudit: 20 of 40 (50 %), 10s\n"},
		"log": {func(ctx context.Context, w *strings.Builder) context.Context {
			return ToLog(ctx, slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})))
		}, "level=INFO msg=\"under way\" work=audit done=10 total=40 took=5s\nlevel=INFO msg=\"under way\" work=audit done=20 total=40 took=10s\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			step := Begin(tc.to(t.Context(), &out), "audit", 40)
			for range 2 {
				step.Add(10)
				time.Sleep(5*time.Second + time.Millisecond)
			}
			step.End()
			step.End()
			if out.String() != tc.want {
				t.Errorf("%s: %q", name, out.String())
			}
		})
	}
}

func TestABarIsDrawnAndCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		step := Begin(ToScreen(t.Context(), &out), "rows", 0)
		step.Set(7)
		time.Sleep(onScreen + time.Millisecond)
		step.Of(8)
		time.Sleep(onScreen)
		step.End()
		if want := "\r\x1b[Krows: 7, 0s\r\x1b[Krows [#####################...] 7 of 8, 0s\r\x1b[K"; out.String() != want {
			t.Errorf("%q", out.String())
		}
	})
}

func TestShortWorkSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		for _, ctx := range []context.Context{t.Context(), ToLines(t.Context(), &out), ToScreen(t.Context(), &out)} {
			step := Begin(ctx, "rows", 3)
			step.Add(3)
			step.End()
		}
		new(Step).End()
		if out.Len() > 0 {
			t.Errorf("%q", out.String())
		}
	})
}
