package programs_test

import (
	"slices"
	"strings"
	"testing"

	"redrive/delivery/programs"
)

func TestWhatOtherProgramsLearn(t *testing.T) {
	for name, value := range map[string]string{"DATABASE_URL": "a", "REDRIVE_API_TOKEN": "b", "SELLER_PUSH_SECRET": "c", "PGDATA": "/x", "LC_ALL": "de_DE", "TZ": "UTC",
		"EDITOR_THEME": "dark"} {
		t.Setenv(name, value)
	}
	ours := programs.Command(t.Context(), "true").Env
	for _, entry := range ours {
		if name, _, _ := strings.Cut(entry, "="); slices.Contains([]string{"DATABASE_URL", "REDRIVE_API_TOKEN", "SELLER_PUSH_SECRET", "PGDATA", "EDITOR_THEME"}, name) {
			t.Errorf("a program of ours learns %s", entry)
		}
	}
	if !slices.Contains(ours, "TZ=UTC") || ours[len(ours)-1] != "LC_ALL=C" {
		t.Errorf("it lacks the time zone or its language: %v", ours)
	}
	chosen := programs.Chosen("true").Env
	for _, entry := range []string{"DATABASE_URL=a", "REDRIVE_API_TOKEN=b"} {
		if slices.Contains(chosen, entry) {
			t.Errorf("a person's editor learns %s", entry)
		}
	}
	for _, entry := range []string{"EDITOR_THEME=dark", "LC_ALL=de_DE"} {
		if !slices.Contains(chosen, entry) {
			t.Errorf("a person's editor lacks %s", entry)
		}
	}
}
