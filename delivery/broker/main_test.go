package broker

import (
	"testing"

	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) { services.Main(m, storetest.CleanUp) }
