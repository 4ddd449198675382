package config

import (
	"fmt"
	"reflect"

	"redrive/delivery"
	"redrive/delivery/form"
	"redrive/delivery/kinds"
)

// given is a block that stands in the file: the index of its kind in the list, and a pointer to the block as written.
type given struct {
	kind  int
	block any
}

// rawDestination is what stands below destination.
type rawDestination struct{ given []given }

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (d *rawDestination) UnmarshalYAML(unmarshal func(any) error) (err error) {
	d.given, err = readBlocks(unmarshal, destinationType(), 0)
	return err
}

// destinationType is the mapping below destination: a block of each kind.
func destinationType() reflect.Type {
	var fields []reflect.StructField
	for _, kind := range kinds.Destinations() {
		fields = append(fields, field(len(fields), kind.Name, reflect.PointerTo(kind.Block.Type)))
	}
	return reflect.StructOf(fields)
}

// rawBroker is what stands below broker.
type rawBroker struct {
	given       []given
	DeadLetters rawDeadLetters
	Prefetch    *form.Whole
	OnGap       string
}

// rawDeadLetters is false, true, or a mapping, which is true.
type rawDeadLetters int

const (
	noDeadLetters rawDeadLetters = iota
	deadLetters
	deadLettersFetched
	deadLettersAsIs
)

type rawOriginals struct {
	Original form.Original `yaml:"original"`
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (d *rawDeadLetters) UnmarshalYAML(unmarshal func(any) error) error {
	var mapping map[string]any
	var is form.Truth
	var block rawOriginals
	if unmarshal(&mapping) != nil || mapping == nil {
		if err := unmarshal(&is); err != nil || !bool(is) {
			return err
		}
	} else if err := unmarshal(&block); err != nil {
		return err
	}
	switch delivery.Original(block.Original) {
	case delivery.OriginalFetch:
		*d = deadLettersFetched
	case delivery.OriginalAsIs:
		*d = deadLettersAsIs
	default:
		*d = deadLetters
	}
	return nil
}

// original is whose originals are read.
func (d rawDeadLetters) original() delivery.Original {
	switch d {
	case deadLettersFetched:
		return delivery.OriginalFetch
	case deadLettersAsIs:
		return delivery.OriginalAsIs
	}
	return delivery.OriginalLost
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (b *rawBroker) UnmarshalYAML(unmarshal func(any) error) (err error) {
	b.given, err = readBlocks(unmarshal, brokerType(), len(brokerSettings), &b.DeadLetters, &b.Prefetch, &b.OnGap)
	return err
}

// brokerSettings are those of a broker block beside the block of its kind.
var brokerSettings = []reflect.StructField{
	field(0, "dead_letters", reflect.TypeFor[rawDeadLetters]()), field(1, "prefetch", reflect.TypeFor[*form.Whole]()),
	field(2, "on_gap", reflect.TypeFor[string]()),
}

// brokerType is the mapping below broker: its own settings, then a block of each kind.
func brokerType() reflect.Type {
	fields := brokerSettings[:len(brokerSettings):len(brokerSettings)]
	for _, kind := range kinds.Sources() {
		fields = append(fields, field(len(fields), kind.Name, reflect.PointerTo(kind.Block.Type)))
	}
	return reflect.StructOf(fields)
}

func field(n int, name string, of reflect.Type) reflect.StructField {
	return reflect.StructField{Name: fmt.Sprintf("F%d", n), Type: of, Tag: reflect.StructTag(fmt.Sprintf("yaml:%q", name))}
}

// readBlocks reads a mapping as the YAML library reads any struct, strictly and with lines. Of its fields the first go into own, the
// others are blocks, of which it returns those that are there.
func readBlocks(unmarshal func(any) error, as reflect.Type, own int, into ...any) (list []given, err error) {
	mapping := reflect.New(as)
	if err := unmarshal(mapping.Interface()); err != nil {
		return nil, err
	}
	for i := range as.NumField() {
		switch f := mapping.Elem().Field(i); {
		case i < own:
			reflect.ValueOf(into[i]).Elem().Set(f)
		case !f.IsNil():
			list = append(list, given{i - own, f.Interface()})
		}
	}
	return list, nil
}
