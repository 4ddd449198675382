package source_test

import (
	"bytes"
	"strings"
	"testing"

	"redrive/delivery"
	"redrive/store/source"
	"redrive/store/storetest"
)

func TestReportsGoOnAfterASourceThatRefuses(t *testing.T) {
	b := lay(t, storetest.Empty(t), contentTable, "content")
	good, nowhere, nameless := b.settings, b.settings, b.settings
	nowhere.URL, nameless.Slot = "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2", "No Slot"
	list := []delivery.Integration{{Name: "nameless", CDC: &nameless}, {Name: "nowhere", CDC: &nowhere}, {Name: "content", CDC: &good}}
	for _, in := range list[:2] {
		found := source.Examine(ctx(t), in, "")
		if len(found) != 1 || found[0].What != in.Name || found[0].Err == "" || found[0].Warning || strings.Contains(found[0].Err, "hunter2") {
			t.Errorf("%s: %+v", in.Name, found)
		}
	}
	var out bytes.Buffer
	if source.SetUpAll(ctx(t), list, "", &out) || !strings.Contains(out.String(), "nameless: cdc of nameless: ") || !strings.Contains(out.String(), "content: created replication slot ") {
		t.Errorf("said %q", &out)
	}
	out.Reset()
	if !source.SetUpAll(ctx(t), list[2:], "", &out) || out.String() != "content: everything is there\n" {
		t.Errorf("said %q", &out)
	}
	found := source.Examine(ctx(t), list[2], "")
	for _, f := range found {
		if f.Err != "" && !f.Warning || !strings.HasPrefix(f.What, "content: ") {
			t.Errorf("%+v", f)
		}
	}
	if len(found) < 10 {
		t.Errorf("only %d findings", len(found))
	}
}
