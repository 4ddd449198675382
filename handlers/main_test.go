package handlers

import (
	"testing"

	"redrive/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
