package triage

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"redrive/delivery"
)

// Sizes of a page's HTML that are allowed.
const (
	maxRaw    = 60_000
	maxZipped = 15_000
)

// page is what came back.
type page struct {
	raw, zipped int
	compressed  bool // by the program
}

// asPages asks the real program, which runs beside this one.
func (b *bench) asPages(ctx context.Context) error {
	if !b.Pages {
		return nil
	}
	p, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := b.askAll(ctx, "as a page", b.pageQuestions(p)); err != nil {
		return err
	}
	if b.Bulk {
		if err := b.bulk(ctx, p); err != nil {
			return err
		}
	}
	p.stop()
	_, err = fmt.Fprintf(b.Out, "memory of the serving process: at most %.0f MB resident (target: under 150 MB)\n",
		float64(p.memory.most.Load())/1e6)
	return err
}

// pageOf asks for an address that differs each time.
func (b *bench) pageOf(p *program, name string, address func() string) question {
	return question{name, pageTarget, func() (func(context.Context) (int, error), error) {
		path := address()
		return func(ctx context.Context) (int, error) {
			got, err := p.get(ctx, path)
			if err != nil {
				return 0, err
			}
			b.report.size(name, got)
			return 1, nil
		}, nil
	}}
}

func query(path string, pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return path + "?" + values.Encode()
}

func (b *bench) pageQuestions(p *program) []question {
	k := b.pick
	at := func(name string, address func() string) question { return b.pageOf(p, name, address) }
	return []question{
		at("/healthz", func() string { return "/healthz" }),
		at("overview", func() string { return "/" }),
		at("failures", func() string { return "/failures" }),
		at("failures of a state", func() string { return query("/failures", "state", string(one(k, listed))) }),
		at("failures of an integration", func() string { return query("/failures", "integration", k.integration()) }),
		at("failures of a class", func() string { return query("/failures", "error_class", k.group().ErrorClass) }),
		at("failures of a group", func() string { return query("/failures", "group", k.group().ID) }),
		at("failures of a key", func() string { return query("/failures", "key", one(k, k.dead).key) }),
		at("failures with an error text, rare", func() string { return query("/failures", "q", k.rare()) }),
		at("failures with an error text, common", func() string { return query("/failures", "q", "the receiver answered") }),
		at("failures, next pages", b.walk(p, "/failures")),
		at("failures, new since a look", func() string { return query("/failures", "from", one(k, k.dead).at.UTC().Format(time.RFC3339)) }),
		at("failures of an assignee", func() string { return query("/failures", "assignee", one(k, k.operator)) }),
		at("failures of nobody", func() string { return query("/failures", "assignee", delivery.NoAssignee) }),
		at("groups by growth", func() string { return "/groups" }),
		at("groups in another order", func() string { return query("/groups", "sort", string(one(k, delivery.GroupSorts[1:]))) }),
		at("groups of a state", func() string { return query("/groups", "state", string(one(k, listed))) }),
		at("groups of a status", func() string { return query("/groups", "status", string(one(k, delivery.GroupStatuses))) }),
		at("groups with a cause", func() string { return query("/groups", "q", one(k, []string{"answered", "deadlock", "station"})) }),
		at("groups by other keys", func() string { return query("/groups", "by", string(one(k, delivery.GroupKeys[:4]))) }),
		at("group", func() string { return "/groups/" + k.group().ID }),
		at("groups of an integration", func() string { return query("/groups", "integration", k.integration()) }),
		at("failure", func() string { return "/failures/" + one(k, k.dead).id }),
		at("message", func() string { return "/messages/" + one(k, k.dead).message }),
		at("ignored", func() string { return "/ignored" }),
		at("ignored of an integration", func() string { return query("/ignored", "integration", k.integration()) }),
		at("integrations", func() string { return "/integrations" }),
		at("audit", func() string { return "/audit" }),
		at("audit, filtered", func() string {
			return one(k, []string{query("/audit", "actor", one(k, k.operator)), query("/audit", "integration", k.integration()),
				query("/audit", "from", one(k, k.dead).at.UTC().Format(time.DateOnly))})
		}),
	}
}

// walk follows the link to the next page, from the start again after twenty.
func (b *bench) walk(p *program, start string) func() string {
	var links []string
	return func() string {
		if len(links) == 0 {
			f := delivery.Filter{}
			for range 20 {
				list, err := b.db.Failures(context.Background(), f)
				if err != nil || list.Next == "" {
					break
				}
				f.After = list.Next
				links = append(links, query(start, "after", list.Next))
			}
			if len(links) == 0 {
				return start
			}
		}
		next := links[0]
		links = links[1:]
		return next
	}
}

// get reads a page as a browser does.
func (p *program) get(ctx context.Context, path string) (page, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return page{}, err
	}
	request.Header.Set("Accept-Encoding", "gzip")
	request.Header.Set("Accept", "text/html")
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := p.client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return page{}, err
	}
	if response.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("%s answered %d", path, response.StatusCode)
	}
	if response.Header.Get("Content-Encoding") != "gzip" {
		return page{raw: len(body), zipped: zipped(body)}, nil
	}
	raw, err := unzipped(body)
	return page{raw: raw, zipped: len(body), compressed: true}, err
}

// zipped is how large a page would be that was not compressed.
func zipped(body []byte) int {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	return out.Len()
}

func unzipped(body []byte) (int, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, r)
	return int(n), err
}

// newClient keeps one connection and gets what was sent, not what the library makes of it.
func newClient() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}}
}
