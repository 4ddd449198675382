package source

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"redrive/delivery"
)

// Examine checks the source of a cdc integration and answers what it found, the integration's name before each. That it could not
// look is a finding too. defaultURL is read where the settings name no database.
func Examine(ctx context.Context, in delivery.Integration, defaultURL string) []delivery.CaptureFinding {
	src, err := New(*in.CDC, defaultURL, in.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		return []delivery.CaptureFinding{{What: in.Name, Err: err.Error()}}
	}
	defer src.Close()
	findings, err := src.Check(ctx)
	if err != nil {
		return []delivery.CaptureFinding{{What: in.Name, Err: err.Error()}}
	}
	for i := range findings {
		findings[i].What = in.Name + ": " + findings[i].What
	}
	return findings
}

// SetUpAll sets up the source of each cdc integration and goes on after one that refuses. out gets a line for each thing done, and
// why something was not, with the SQL for whoever has the rights. complete: nothing is left to do.
func SetUpAll(ctx context.Context, list []delivery.Integration, defaultURL string, out io.Writer) (complete bool) {
	complete = true
	for _, in := range list {
		done, err := setUp(ctx, in, defaultURL)
		for _, text := range done {
			fmt.Fprintf(out, "%s: %s\n", in.Name, text)
		}
		switch {
		case err != nil:
			complete = false
			fmt.Fprintf(out, "%s: %v\n", in.Name, err)
		case len(done) == 0:
			fmt.Fprintf(out, "%s: everything is there\n", in.Name)
		}
	}
	return complete
}

func setUp(ctx context.Context, in delivery.Integration, defaultURL string) ([]string, error) {
	src, err := New(*in.CDC, defaultURL, in.Name, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return src.SetUp(ctx)
}
