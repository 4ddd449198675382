package broker

import (
	"testing"

	"redrive/store/storetest"
	"redrive/store/storetest/services"
	_ "redrive/views/words" // what phrases read like
)

func TestMain(m *testing.M) { services.Main(m, storetest.CleanUp) }
