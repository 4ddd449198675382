package delivery_test

import (
	"redrive/delivery"
	"redrive/views/words"
)

func init() {
	delivery.InEnglish = func(p delivery.Phrase) string { return words.Say(words.English, p) }
}
