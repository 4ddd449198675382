package config

import (
	"cmp"
	"encoding/json"
	"strings"
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
	if alone := (delivery.FourEyes{Expires: f.Expires}); f == alone || f.Expires == delivery.StandardApproval {
		f.Expires = 0 // of nothing, or as it is anyway
	}
	return f
}

func truth(own, all *form.Truth) bool {
	given := cmp.Or(own, all)
	return given != nil && bool(*given)
}

// asWritten is each integration as it stands in the file, without comments, order and layout: another text is another setting. Secrets are
// not in it: neither what references stand for, nor what stands there as a secret, nor credentials of addresses.
func asWritten(name string, data []byte) (texts []string) {
	var all struct {
		Integrations []any `yaml:"integrations"`
	}
	body, err := document(name, data)
	if err != nil || yaml.NodeToValue(body, &all) != nil {
		return nil
	}
	for _, in := range all.Integrations {
		raw, _ := json.Marshal(withoutSecrets("", in))
		texts = append(texts, string(raw))
	}
	return texts
}

// withoutSecrets is what stands under a name without what is secret in it.
func withoutSecrets(name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = withoutSecrets(key, inner)
		}
	case []any:
		for n, inner := range v {
			v[n] = withoutSecrets(name, inner)
		}
	case string:
		switch {
		case delivery.IsCredential(name):
			return delivery.Hidden
		case strings.Contains(v, "://"):
			return delivery.RedactURL(v)
		}
	}
	return value
}
