package views

import (
	"strings"

	"redrive/delivery"
)

const maxLossNames = 12

// losses say in words what a destination does not get of a message as it is.
func (l Locale) losses(list []delivery.Loss) (sentences []string) {
	names := map[delivery.LossKind][]string{}
	for _, loss := range list {
		names[loss.What] = append(names[loss.What], loss.Name)
	}
	add := func(kind delivery.LossKind, text string) {
		if len(names[kind]) > 0 {
			sentences = append(sentences, strings.ReplaceAll(l.T(text), "{names}", l.listed(names[kind])))
		}
	}
	add(delivery.LossProperty, "Not sent, because the destination has no such properties: {names}.")
	add(delivery.LossHeader, "Not sent, because the destination takes no such headers: {names}.")
	add(delivery.LossType, "Sent as text, because the destination has no other types: {names}.")
	add(delivery.LossUser, "The broker lets nobody name another user: {names} is sent as the header redrive-user-id.")
	add(delivery.LossRouting, "Not sent, because other queues would get the message again: {names}.")
	add(delivery.LossNull, "It has no payload (null), which the destination cannot be told: an empty one is sent.")
	return sentences
}

func (l Locale) listed(names []string) string {
	if len(names) <= maxLossNames {
		return l.List(names)
	}
	return l.List(names[:maxLossNames]) + l.T(" and %d more", len(names)-maxLossNames)
}
