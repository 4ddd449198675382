package wire

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"redrive/delivery"
)

// Names of AMQP's properties.
const (
	PropertyType       = "type"
	PropertyMessageID  = "message_id"
	PropertyUserID     = "user_id"
	PropertyExpiration = "expiration"
)

// texts are the properties of a message that are text.
func texts(p *amqp091.Publishing) map[string]*string {
	return map[string]*string{
		"content_type":     &p.ContentType,
		"content_encoding": &p.ContentEncoding,
		"correlation_id":   &p.CorrelationId,
		"reply_to":         &p.ReplyTo,
		PropertyExpiration: &p.Expiration,
		PropertyMessageID:  &p.MessageId,
		PropertyType:       &p.Type,
		PropertyUserID:     &p.UserId,
		"app_id":           &p.AppId,
	}
}

// RabbitMQProperties are the properties of a message that RabbitMQ delivered, without headers. The protocol's library does not
// tell a property that is not there from one that is empty or zero: neither is listed.
func RabbitMQProperties(m *amqp091.Delivery) []delivery.Field {
	p := amqp091.Publishing{
		ContentType:     m.ContentType,
		ContentEncoding: m.ContentEncoding,
		CorrelationId:   m.CorrelationId,
		ReplyTo:         m.ReplyTo,
		Expiration:      m.Expiration,
		MessageId:       m.MessageId,
		Type:            m.Type,
		UserId:          m.UserId,
		AppId:           m.AppId,
	}
	list := []delivery.Field{} // never nil: they are known
	for name, value := range texts(&p) {
		if *value != "" {
			list = append(list, rabbitField(name, *value))
		}
	}
	if m.DeliveryMode != 0 {
		list = append(list, rabbitField("delivery_mode", m.DeliveryMode))
	}
	if m.Priority != 0 {
		list = append(list, rabbitField("priority", m.Priority))
	}
	if !m.Timestamp.IsZero() {
		list = append(list, rabbitField("timestamp", m.Timestamp))
	}
	slices.SortFunc(list, func(a, b delivery.Field) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// RabbitMQHeaders are the headers of a message with their types, by name.
func RabbitMQHeaders(table amqp091.Table) (list []delivery.Field) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		list = append(list, rabbitField(name, table[name]))
	}
	return list
}

func rabbitField(name string, value any) delivery.Field {
	f := delivery.Field{Name: name}
	set := func(kind delivery.FieldType, text string) { f.Type, f.Value = kind, []byte(text) }
	switch v := value.(type) {
	case string:
		f.Value = []byte(v)
	case []byte:
		set(delivery.FieldBytes, string(v))
	case bool:
		set(delivery.FieldBool, strconv.FormatBool(v))
	case float32:
		set(delivery.FieldFloat32, strconv.FormatFloat(float64(v), 'g', -1, 32))
	case float64:
		set(delivery.FieldFloat64, strconv.FormatFloat(v, 'g', -1, 64))
	case amqp091.Decimal:
		set(delivery.FieldDecimal, decimalText(v))
	case time.Time:
		set(delivery.FieldTimestamp, timestampText(v))
	case amqp091.Table:
		f.Type, f.Fields = delivery.FieldTable, RabbitMQHeaders(v)
	case []any:
		f.Type = delivery.FieldArray
		for _, inner := range v {
			f.Fields = append(f.Fields, rabbitField("", inner))
		}
	case nil:
	default:
		set(whole(v), fmt.Sprint(v))
	}
	return f
}

func whole(value any) delivery.FieldType {
	switch value.(type) {
	case int8:
		return delivery.FieldInt8
	case uint8:
		return delivery.FieldUint8
	case int16:
		return delivery.FieldInt16
	case uint16:
		return delivery.FieldUint16
	case int32:
		return delivery.FieldInt32
	case uint32:
		return delivery.FieldUint32
	}
	return delivery.FieldInt64
}

// decimalText has as many digits behind the point as the decimal's scale says.
func decimalText(d amqp091.Decimal) string {
	sign, digits := "", strconv.FormatInt(int64(d.Value), 10)
	if d.Value < 0 {
		sign, digits = "-", digits[1:]
	}
	if missing := int(d.Scale) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - int(d.Scale)
	if d.Scale == 0 {
		return sign + digits
	}
	return sign + digits[:point] + "." + digits[point:]
}

func parseDecimal(text string) (amqp091.Decimal, error) {
	before, after, _ := strings.Cut(text, ".")
	value, err := strconv.ParseInt(before+after, 10, 32)
	if err == nil && len(after) > 255 {
		err = strconv.ErrRange
	}
	return amqp091.Decimal{Scale: uint8(len(after)), Value: int32(value)}, err // checked above
}

// timestampText is RFC 3339, or seconds since 1970 where that has no year for it.
func timestampText(at time.Time) string {
	if year := at.UTC().Year(); year < 0 || year > 9999 {
		return strconv.FormatInt(at.Unix(), 10)
	}
	return at.UTC().Format(time.RFC3339)
}

func parseTimestamp(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	return time.Parse(time.RFC3339, text)
}

// RabbitMQTable makes headers of fields. An error names the field that is none of RabbitMQ's types.
func RabbitMQTable(fields []delivery.Field) (amqp091.Table, error) {
	table := amqp091.Table{}
	for _, f := range fields {
		value, err := rabbitValue(f)
		if err != nil {
			// err repeats the value
			return nil, fmt.Errorf("header %q is kept with a value that its type %q does not have", f.Name, f.Type)
		}
		table[f.Name] = value
	}
	return table, nil
}

// SetRabbitMQ sets a property; unknown names are left alone.
func SetRabbitMQ(p *amqp091.Publishing, f delivery.Field) error {
	if text, ok := texts(p)[f.Name]; ok {
		*text = string(f.Value)
		return nil
	}
	value, err := rabbitValue(f)
	if err != nil {
		return fmt.Errorf("property %s is kept with a value that its type %q does not have", f.Name, f.Type)
	}
	octet, _ := value.(uint8)
	switch f.Name {
	case "delivery_mode":
		p.DeliveryMode = octet
	case "priority":
		p.Priority = octet
	case "timestamp":
		p.Timestamp, _ = value.(time.Time)
	}
	return nil
}

func rabbitValue(f delivery.Field) (value any, err error) {
	text := string(f.Value)
	switch f.Type {
	case "":
		if f.IsNull() {
			return nil, nil
		}
		return text, nil
	case delivery.FieldBytes:
		return append([]byte{}, f.Value...), nil
	case delivery.FieldBool:
		return strconv.ParseBool(text)
	case delivery.FieldFloat32:
		v, err := strconv.ParseFloat(text, 32)
		return float32(v), err
	case delivery.FieldFloat64:
		return strconv.ParseFloat(text, 64)
	case delivery.FieldDecimal:
		return parseDecimal(text)
	case delivery.FieldTimestamp:
		return parseTimestamp(text)
	case delivery.FieldTable:
		return RabbitMQTable(f.Fields)
	case delivery.FieldArray:
		list := []any{}
		for _, inner := range f.Fields {
			value, err := rabbitValue(inner)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	}
	return wholeValue(f.Type, text)
}

func wholeValue(kind delivery.FieldType, text string) (any, error) {
	signed := func(bits int) (int64, error) { return strconv.ParseInt(text, 10, bits) }
	unsigned := func(bits int) (uint64, error) { return strconv.ParseUint(text, 10, bits) }
	switch kind { // the parsers answer nothing that the conversions would cut
	case delivery.FieldInt8:
		v, err := signed(8)
		return int8(v), err // see above
	case delivery.FieldUint8:
		v, err := unsigned(8)
		return uint8(v), err // see above
	case delivery.FieldInt16:
		v, err := signed(16)
		return int16(v), err // see above
	case delivery.FieldUint16:
		v, err := unsigned(16)
		return uint16(v), err // see above
	case delivery.FieldInt32:
		v, err := signed(32)
		return int32(v), err // see above
	case delivery.FieldUint32:
		v, err := unsigned(32)
		return uint32(v), err // see above
	case delivery.FieldInt64:
		return signed(64)
	}
	return nil, fmt.Errorf("%q is no type of RabbitMQ", kind)
}
