package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
)

// listing is a list of the API and how it is shown.
type listing struct {
	path  string
	query url.Values
	limit int
	whole bool   // the API answers all at once
	none  string // said of an empty list

	head  []string
	least []int // see table
	row   func(item json.RawMessage) (id string, cells []string, err error)
}

// list shows a list as it was asked for. That there is more is said beside it: a program may read the list.
func (s Server) list(ctx context.Context, t *Terminal, as Output, l listing) error {
	items, more, err := s.items(ctx, l)
	if err != nil {
		return err
	}
	if more {
		defer fmt.Fprintln(t.Err, Text("There are more than these %d; see --limit.", len(items)))
	}
	if as.Output == "json" {
		t.array(items)
		return nil
	}
	x := &table{head: l.head, least: l.least}
	var ids []string
	for _, item := range items {
		id, cells, err := l.row(item)
		if err != nil {
			return err
		}
		ids = append(ids, id)
		x.add(cells...)
	}
	switch {
	case as.Output == "ids":
		for _, id := range ids {
			fmt.Fprintln(t.Out, visible(id))
		}
	case len(items) == 0:
		fmt.Fprintln(t.Err, Text(l.none))
	default:
		t.table(x)
	}
	return nil
}

// items reads a list, by pages where it has some.
func (s Server) items(ctx context.Context, l listing) (items []json.RawMessage, more bool, err error) {
	switch {
	case l.whole:
		var all struct{ Items []json.RawMessage }
		_, err = s.get(ctx, l.path, nil, &all)
		return all.Items, false, err
	case l.limit < 1:
		return nil, false, misused("--limit: a number from 1 on")
	}
	return s.pages(ctx, l.path, l.query, l.limit)
}

// fact writes what is known of one thing, a line each.
func (t *Terminal) fact(name, value string) {
	if value != "" {
		fmt.Fprintln(t.Out, padded(Text(name), 14), visible(value))
	}
}
