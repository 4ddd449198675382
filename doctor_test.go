package main

import (
	"strings"
	"testing"
	"time"

	"redrive/store"
)

func TestOrphanedPreparedTransactions(t *testing.T) {
	young := store.PreparedTransaction{GID: "young", Owner: "shop", Age: 4 * time.Minute}
	if err := orphaned([]store.PreparedTransaction{young}); err != nil {
		t.Error(err)
	}
	old := store.PreparedTransaction{GID: "order-7\n", Owner: "shop", Age: 26*time.Hour + 300*time.Millisecond}
	err := orphaned([]store.PreparedTransaction{young, old})
	if err == nil || !strings.Contains(err.Error(), `1 orphaned: "order-7\n" of shop, 26h0m0s old;`) || strings.Contains(err.Error(), "young") {
		t.Error(err)
	}
}
