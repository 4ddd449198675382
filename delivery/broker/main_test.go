package broker

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

func TestMain(m *testing.M) {
	code := services.Run(m)
	if err := storetest.CleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(errors.New("storetest"), err))
		code = max(code, 1)
	}
	os.Exit(code)
}
