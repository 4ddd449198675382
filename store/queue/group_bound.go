package queue

import (
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// Bounds of the groups of one integration and error class: a receiver that answers another text each time makes no list that anybody
// could read. What is beyond them is one group.
const (
	newGroupsHourly = 50   // first seen in the last hour
	livingGroups    = 1000 // seen in the last 30 days
)

// groupRoom is how many groups of an integration and class may still be new.
type groupRoom struct {
	integration, class string
	left               int
}

const groupRoomSQL = `
SELECT integration, error_class, least(? - count(*) FILTER (WHERE first_seen > statement_timestamp() - interval '1 hour'), ? - count(*))
FROM redrive.groups WHERE (integration, error_class) IN (SELECT * FROM unnest(?::text[], ?::text[])) AND last_seen > statement_timestamp() - interval '30 days'
GROUP BY integration, error_class`

// BoundGroups gives failures the group for texts that always differ instead of one more group of their own, where there are too many.
// Processes that write at the same time do not see each other's new groups: each may add as many.
func BoundGroups(tx *gorm.DB, integrations, classes, groups, texts []string) error {
	known, err := pg.Read(tx, pg.Single[string], "SELECT id FROM redrive.groups WHERE id = ANY(?::text[])", &groups)
	if err != nil {
		return fmt.Errorf("looking for groups: %w", err)
	}
	taken := map[string]bool{"": true}
	for _, id := range known {
		taken[id] = true
	}
	var askedIn, askedClass []string
	rooms := map[[2]string]int{}
	for i, id := range groups {
		if pair := [2]string{integrations[i], classes[i]}; !taken[id] {
			if _, asked := rooms[pair]; !asked {
				rooms[pair] = newGroupsHourly
				askedIn, askedClass = append(askedIn, pair[0]), append(askedClass, pair[1])
			}
		}
	}
	if len(rooms) == 0 {
		return nil
	}
	list, err := pg.Read(tx, func(r *groupRoom) []any { return []any{&r.integration, &r.class, &r.left} }, groupRoomSQL,
		newGroupsHourly, livingGroups, &askedIn, &askedClass)
	if err != nil {
		return fmt.Errorf("counting groups: %w", err)
	}
	for _, r := range list {
		rooms[[2]string{r.integration, r.class}] = r.left
	}
	for i, id := range groups {
		pair := [2]string{integrations[i], classes[i]}
		switch {
		case taken[id]:
		case rooms[pair] > 0:
			rooms[pair]--
			taken[id] = true
		default:
			groups[i], texts[i] = delivery.ManyTexts(pair[0], pair[1])
		}
	}
	return nil
}
