package store_test

import (
	"testing"
	"time"

	"redrive/delivery"
)
