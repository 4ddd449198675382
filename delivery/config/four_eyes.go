package config

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/goccy/go-yaml"

	"redrive/delivery"
	"redrive/delivery/form"
)

const maxBulkOver = 1_000_000_000

// fourEyes are the rules of one integration: what it says itself, else what the file says for all.
func (c *checker) fourEyes(path string, all, own rawFourEyes) delivery.FourEyes {
	f := delivery.FourEyes{
		Edit:          truth(own.Edit, all.Edit),
		IgnoreForGood: truth(own.IgnoreForGood, all.IgnoreForGood),
		Resend:        truth(own.Resend, all.Resend),
	}
	if given := cmp.Or(own.BulkOver, all.BulkOver); given != nil {
		over := c.number(path+".bulk_over", "four_eyes.bulk_over", given, 0, 0, maxBulkOver)
		f.BulkOver = &over
	}
	if text := cmp.Or(own.Expires, all.Expires); text != "" {
		f.Expires = c.Duration(path+".expires", "four_eyes.expires", text, time.Minute, delivery.MaxApproval)
	}
	return f
}

func truth(own, all *form.Truth) bool {
	given := cmp.Or(own, all)
	return given != nil && bool(*given)
}

// asWritten is each integration as it stands in the file, without comments, order and layout: another text is another setting. What
// references stand for is not in it.
func asWritten(name string, data []byte) (texts []string) {
	var all struct {
		Integrations []any `yaml:"integrations"`
	}
	body, err := document(name, data)
	if err != nil || yaml.NodeToValue(body, &all) != nil {
		return nil
	}
	for _, in := range all.Integrations {
		raw, _ := json.Marshal(in)
		texts = append(texts, string(raw))
	}
	return texts
}
