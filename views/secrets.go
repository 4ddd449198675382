package views

import (
	"net/url"

	"redrive/delivery"
)

// SecretsPage lists what is stored for an integration, sets and removes it. Values are never on it.
type SecretsPage struct {
	Layout
	Integration   string
	Items         []delivery.StoredSecret
	Name, Problem string // what was typed into a form that was refused, without the value
}

// Secrets is the page of an integration's stored secrets, and where the form to set one goes.
func Secrets(name string) string { return Integrations + "/" + url.PathEscape(name) + "/secrets" }

// SecretRemove is where the form to remove one goes.
func SecretRemove(name, secret string) string {
	return Secrets(name) + "/" + url.PathEscape(secret) + "/remove"
}
