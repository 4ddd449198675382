package views

import (
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"redrive/delivery"
)

// Five hundred integrations of which one needs a person are a page of one row, and all others can be found.
func TestABoardFoldsWhatIsQuiet(t *testing.T) {
	list := manyQuiet(500)
	b := NewBoard(list, Overview, BoardRequest{}, now)
	if len(b.Rows) != 1 || b.Rows[0].Name != list[250].Name || b.quiet() != 499 || b.Found != 500 {
		t.Errorf("%d rows, %d folded of %d", len(b.Rows), b.quiet(), b.Found)
	}
	seen := map[string]bool{}
	for _, f := range b.Folds {
		if f.Find == "" {
			continue
		}
		found := NewBoard(list, Overview, BoardRequest{Find: f.Find}, now)
		if want := len(f.Names); found.Found != want && found.Found != want+1 { // the one in trouble has a label as well
			t.Errorf("%s says %d and finds %d", f.Find, want, found.Found)
		}
		for _, name := range f.Names {
			seen[name] = true
		}
	}
	if len(b.Folds) != foldsOfBoard+1 || len(b.Folds[foldsOfBoard].Names)+len(seen) != 499 {
		t.Errorf("%d folds, %d named", len(b.Folds), len(seen))
	}
}

func TestABoardTurnsItsPages(t *testing.T) {
	list := manyQuiet(50)
	for i := range list {
		list[i].Dead = i + 1
	}
	asked, seen := BoardRequest{}, map[string]bool{}
	for pages := 0; ; pages++ {
		b := NewBoard(list, Overview, asked, now)
		for _, h := range b.Rows {
			seen[h.Name] = true
		}
		if b.Next == "" {
			if pages != 2 || len(seen) != 50 || len(b.Folds) != 0 {
				t.Errorf("%d pages, %d integrations, %d folds", pages+1, len(seen), len(b.Folds))
			}
			break
		}
		if b.Next != fmt.Sprintf("/?from=%d", asked.From+rowsOfBoard) {
			t.Fatal(b.Next)
		}
		asked.From += rowsOfBoard
	}
	for _, from := range []int{-1, 50, 1 << 40} {
		NewBoard(list, Overview, BoardRequest{From: from}, now)
	}
}

func TestAnOpenBoardKeepsItsOrder(t *testing.T) {
	list := manyQuiet(3)
	for i := range list {
		list[i].Alarm, list[i].Dead, list[i].Name = false, 3-i, fmt.Sprint("n", i)
	}
	b := NewBoard(list, Overview, BoardRequest{Shown: []string{"n0", "n1", "n2"}}, now)
	if b.Moved || !strings.HasSuffix(b.renewal(), "shown=n0%2Cn1%2Cn2") {
		t.Errorf("moved %v, %s", b.Moved, b.renewal())
	}
	list[2].Dead = 9
	b = NewBoard(list, Overview, BoardRequest{Shown: []string{"n0", "n1", "n2"}}, now)
	if !b.Moved || b.Rows[0].Name != "n0" || b.Rows[2].Dead != 9 {
		t.Errorf("moved %v, first %s", b.Moved, b.Rows[0].Name)
	}
}

func TestWhatFindsAnIntegration(t *testing.T) {
	h := health()[2]
	h.Name, h.Description, h.Labels = "seller-push", "Tell the Seller", map[string]string{"team": "shop", "country": "kr"}
	for find, want := range map[string]bool{"push": true, "PUSH": true, "seller-*": true, "push*": false, "team=shop": true, "Team=SHOP country=kr": true,
		"team=sms": false, "shop": true, "the seller": true, "seller sms": false, "outbox": true, "127.0.0.1": true, "*": true, "=": false} {
		if got := found(h, find); got != want {
			t.Errorf("%q: %v", find, got)
		}
	}
}

func TestPagesOfFiveHundredIntegrationsAreSmall(t *testing.T) {
	loud := manyQuiet(500)
	for i := range loud {
		loud[i].Dead, loud[i].Breaker, loud[i].BreakerUntil, loud[i].OldestPending = i, delivery.BreakerOpen, ago(0), ago(0)
	}
	l := layout(delivery.RoleAdmin)
	for name, list := range map[string][]delivery.IntegrationHealth{"quiet": manyQuiet(500), "loud": loud} {
		for kind, page := range map[string]string{"overview": rendered(t, OverviewView(OverviewPage{Layout: l, Integrations: list})),
			"list": rendered(t, IntegrationsView(IntegrationsPage{Layout: l, Integrations: list}))} {
			var sent counter
			z := gzip.NewWriter(&sent)
			_, _ = io.WriteString(z, page)
			_ = z.Close()
			t.Logf("%s %s: %d bytes, %d compressed", name, kind, len(page), sent)
			if len(page) > 60<<10 || sent > 15<<10 {
				t.Errorf("%s %s: %d bytes, %d compressed", name, kind, len(page), sent)
			}
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
