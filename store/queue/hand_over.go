package queue

import (
	"encoding/json"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
)

const commandsSQL = `
WITH given AS (
    SELECT coalesce(id, redrive.new_id()) AS id, key, payload FROM unnest(?::uuid[], ?::text[], ?::bytea[]) AS g(id, key, payload)
), kept AS (
    INSERT INTO redrive.messages (id, kind, integration, type, key, payload, sender)
    SELECT id, 'command', ?, ?, nullif(key, ''), payload, ? FROM given RETURNING id, integration
)
INSERT INTO redrive.queue (id, message_id, integration) SELECT redrive.delivery_id(id, integration), id, integration FROM kept`

// AddCommands makes a command, and its place in the queue, of each key and payload, in an integration that keeps no order. Without ids
// they get new ones.
func AddCommands(tx *gorm.DB, integration, typ string, ids, keys []string, payloads [][]byte) error {
	return tx.Exec(commandsSQL, &ids, &keys, &payloads, integration, typ, delivery.SenderIntegration+integration).Error
}

// capturedSQL writes messages and the places of the commands among them. In an ordered integration the place in the lane is given
// by Place, as for producers: nobody waits for a lane here.
const capturedSQL = `
WITH given AS (
    SELECT * FROM unnest(?::uuid[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::text[]) AS g(id, integration, type, key, payload, origin)
), kept AS (
    INSERT INTO redrive.messages (id, kind, integration, type, key, payload, origin, sender)
    SELECT id, CASE WHEN integration = '' THEN 'event' ELSE 'command' END, nullif(integration, ''), type, nullif(key, ''), payload, origin::jsonb, ? FROM given
)
INSERT INTO redrive.queue (id, message_id, integration, due_at, lane)
SELECT redrive.delivery_id(g.id, g.integration), g.id, g.integration,
    CASE WHEN i.ordered AND g.key <> '' THEN ` + WaitsForTurn + ` ELSE clock_timestamp() END, CASE WHEN i.ordered THEN nullif(g.key, '') END
FROM given g JOIN redrive.integrations i ON i.name = g.integration`

// RetriesSQL puts deliveries into the queue once more: those of moved (id, message_id, integration, attempts, edit). The head of a lane stays
// its head: what waits behind it goes on only when it is settled. What has left its lane goes outside of the order. Each is due a little later
// than the one before, so that they go in this order.
const RetriesSQL = `
    INSERT INTO redrive.queue (id, message_id, integration, attempts, round_start, edit, lane, position, due_at)
    SELECT c.id, c.message_id, c.integration, c.attempts, c.attempts, c.edit, l.key, CASE WHEN l.head IS NOT NULL THEN 0 END,
        CASE WHEN EXISTS (SELECT FROM redrive.batch_rows b WHERE b.delivery_id = c.id)
            OR EXISTS (SELECT FROM redrive.batch_runs b WHERE b.delivery_id = c.id) THEN ` + LeaderAnswers + ` ELSE clock_timestamp() END
    FROM moved c LEFT JOIN redrive.lanes l ON l.head = c.id`

// Captured is messages that became of changes in a source, turned into columns.
type Captured struct {
	ids, integrations, types, keys, origins []string
	payloads                                [][]byte
}

// Add takes a message for one integration, or for all that subscribe to its type when the name is empty.
func (b *Captured) Add(id, integration string, m delivery.Message) error {
	origin, err := json.Marshal(m.Origin)
	if err != nil {
		return fmt.Errorf("encoding the origin: %w", err)
	}
	b.ids, b.integrations = append(b.ids, id), append(b.integrations, integration)
	b.types, b.keys = append(b.types, delivery.Storable(m.Type)), append(b.keys, delivery.Storable(m.Key))
	b.payloads, b.origins = append(b.payloads, m.Payload), append(b.origins, string(origin))
	return nil
}

// Write makes them durable, with the places of the commands among them, as what came from the source of an integration.
func (b *Captured) Write(tx *gorm.DB, source string) error {
	if len(b.ids) == 0 {
		return nil
	}
	if err := tx.Exec(capturedSQL, &b.ids, &b.integrations, &b.types, &b.keys, &b.payloads, &b.origins, delivery.SenderIntegration+source).Error; err != nil {
		return fmt.Errorf("writing captured messages: %w", err)
	}
	return nil
}
