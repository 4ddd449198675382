package store_test

import (
	"context"
	"slices"
	"testing"

	"redrive/store/storetest/patience"
)

// A member counts as gone when its process ends, and not for as long as it lives, even when its session with the database breaks.
func TestMembersLiveAsLongAsTheirProcess(t *testing.T) {
	s := open(t)
	keep := func(name string) (end func()) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		noted, ended := make(chan struct{}, 10), make(chan struct{})
		go func() {
			defer close(ended)
			s.KeepMember(ctx, "push", name, func() { noted <- struct{}{} }, func(err error) { t.Log(err) })
		}()
		end = func() { stop(); patience.Receive(t, "the end of "+name, ended) }
		t.Cleanup(end)
		patience.Receive(t, name, noted)
		return end
	}
	gone := func() []string {
		t.Helper()
		list, err := s.GoneMembers(t.Context(), "push")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(list)
		return list
	}
	endA, _, endC := keep("a"), keep("b"), keep("c")
	if list := gone(); len(list) != 0 {
		t.Errorf("%v are gone", list)
	}
	endA()
	endC()
	patience.Until(t, "a and c are gone", func() bool { return slices.Equal(gone(), []string{"a", "c"}) })
	if list, err := s.GoneMembers(t.Context(), "another"); len(list) != 0 || err != nil {
		t.Errorf("another integration: %v %v", list, err)
	}
	if err := s.ForgetGone(t.Context(), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetMember(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	s.must(s.sql("DO $$ BEGIN ASSERT (SELECT array_agg(member) FROM redrive.source_members) = '{b}', 'one that lives is forgotten, or one that is gone is not'; END $$"))

	s.must(s.sql("DELETE FROM redrive.source_members"))
	s.must(s.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"))
	patience.Until(t, "b is noted anew", func() bool {
		return s.sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM redrive.source_members) = 1; END $$") == nil
	})
	if list := gone(); len(list) != 0 {
		t.Errorf("%v are gone after their session broke", list)
	}
}
