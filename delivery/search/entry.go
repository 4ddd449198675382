package search

import "redrive/delivery"

// Entry decides what can be found of a failure.
func Entry(u delivery.Unindexed) delivery.SearchEntry { return u.Entry() }
