// Package kinds is the one list of the kinds of destinations and sources. Whoever wants to know what there is asks here, or, below
// the rooms, delivery.DestinationKinds, which is told from here.
package kinds

import (
	"errors"
	"slices"

	"redrive/delivery"
	"redrive/delivery/broker"
	"redrive/delivery/form"
	filesend "redrive/delivery/send/file"
	httpsend "redrive/delivery/send/http"
	kafkasend "redrive/delivery/send/kafka"
	rabbitsend "redrive/delivery/send/rabbitmq"
	redissend "redrive/delivery/send/redis"
	tablesend "redrive/delivery/send/table"
)

// destinations are in the order in which people read them.
var destinations = []form.Destination{
	httpsend.Kind,
	kafkasend.Kind,
	rabbitsend.Kind,
	redissend.Kind,
	filesend.Kind,
	tablesend.Kind,
}

func init() { tell() }

func tell() {
	names := make([]string, len(destinations))
	for i, kind := range destinations {
		names[i] = kind.Name
	}
	delivery.KnowDestinations(names)
}

// Destinations are all kinds of destinations.
func Destinations() []form.Destination { return slices.Clone(destinations) }

// Sources are all kinds of brokers to take messages from. They share one room, which lists them.
func Sources() []form.Source { return broker.Sources() }

// Add puts a kind of destination at the end of the list until it is taken away. It is for tests, and nothing else may run.
func Add(kind form.Destination) (remove func()) {
	before := destinations
	destinations = append(slices.Clone(before), kind)
	tell()
	return func() {
		destinations = before
		tell()
	}
}

// NewSender makes the sender of an integration's destination. A *delivery.SettingError names the setting in the integration's part
// of the file.
func NewSender(in delivery.Integration, m form.Means) (delivery.Sender, error) {
	if upload, ok := in.Destination.To.(*delivery.HTTPDestination); ok && in.Batch != nil && in.Batch.Per == delivery.PerFile {
		// a batch that goes to http in one piece is a file that is uploaded
		to := delivery.FileDestination{Format: in.BatchFormat(), Upload: upload, Timeout: upload.Timeout}
		sender, err := filesend.NewUpload(to, m.Files, m.Dialer)
		return sender, delivery.SettingOf("destination."+httpsend.Kind.Name, err)
	}
	i := slices.IndexFunc(destinations, func(kind form.Destination) bool { return kind.Name == in.Destination.Kind() })
	if i < 0 {
		return nil, errors.New("no destination")
	}
	sender, err := destinations[i].New(in.Destination.To, m)
	return sender, delivery.SettingOf("destination."+destinations[i].Name, err)
}
