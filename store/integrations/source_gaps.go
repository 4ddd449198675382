package integrations

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// NoteGap writes down that messages may have been lost at a source. Without noted it was known already.
func (s *Registry) NoteGap(ctx context.Context, g delivery.NotedGap) (noted bool, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		noted, err = noteGap(tx, g)
		return err
	})
	return noted, err
}

func noteGap(tx *gorm.DB, g delivery.NotedGap) (noted bool, err error) {
	g.What = g.What.Storable()
	if g.Next != nil {
		if noted, err = movePosition(tx, g); err != nil || !noted {
			return false, err
		}
	}
	err = tx.Exec(`INSERT INTO redrive.gaps (integration, place, began_at, ended_at, what, partition, from_offset, to_offset, records, notice)
		VALUES (?, ?, ?, ?, ?::jsonb, ?, ?, ?, ?, ?)`, g.Integration, g.Place, g.From, g.To, g.What,
		g.Partition, g.FromOffset, g.ToOffset, g.Records, g.Notice).Error
	if err != nil {
		return false, fmt.Errorf("writing a gap down: %w", err)
	}
	if err := audit.Record(tx, gapEntry(g)); err != nil || g.Notice || !g.Hold {
		return err == nil, err
	}
	return true, hold(tx, g)
}

// movePosition reports whether the kept position was before the gap's end.
func movePosition(tx *gorm.DB, g delivery.NotedGap) (bool, error) {
	set := "next_offset = @next WHERE next_offset < @next AND"
	if g.Again {
		set = "next_offset = least(next_offset, @next) WHERE"
	}
	moved := tx.Exec("UPDATE redrive.source_positions SET "+set+sourceSQL+" AND partition = @partition",
		named(g.Of, map[string]any{"next": *g.Next, "partition": *g.Partition}))
	if moved.Error != nil {
		return false, fmt.Errorf("moving a source's position: %w", moved.Error)
	}
	return moved.RowsAffected > 0, nil
}

// gapEntry is what the audit keeps of a gap.
func gapEntry(g delivery.NotedGap) delivery.AuditEntry {
	members := map[string]any{"place": g.Place, "why": g.Phrase()}
	if g.Partition != nil {
		members["partition"] = *g.Partition
	}
	for name, n := range map[string]*int64{"from_offset": g.FromOffset, "to_offset": g.ToOffset, "records": g.Records} {
		if n != nil {
			members[name] = *n
		}
	}
	action := "integration.gap"
	if g.Notice {
		action = "integration.source-change"
	}
	return delivery.AuditEntry{Actor: delivery.ActorPolicy, Action: action, SubjectType: "integration", Subject: g.Integration,
		Details: audit.Details(members)}
}

// hold pauses an integration because of a gap. One that is paused stays as it is.
func hold(tx *gorm.DB, g delivery.NotedGap) error {
	why := delivery.Say("gap.held", "why", g.Phrase())
	paused := tx.Exec(`UPDATE redrive.integrations SET paused_at = clock_timestamp(), paused_by = ?, pause_says = ?::jsonb
		WHERE name = ? AND paused_at IS NULL`, delivery.ActorPolicy, why, g.Integration)
	if paused.Error != nil || paused.RowsAffected == 0 {
		return paused.Error
	}
	return audit.Record(tx, delivery.AuditEntry{Actor: delivery.ActorPolicy, Action: "integration.pause", SubjectType: "integration",
		Subject: g.Integration, Details: audit.Details(map[string]any{"why": why})})
}

// gapsSQL are gaps and notices, newest first; those of an integration when it is not empty.
const gapsSQL = `
SELECT * FROM (
    SELECT integration, count(*) FILTER (WHERE NOT notice) OVER i AS count, coalesce(sum(records) FILTER (WHERE NOT notice) OVER i, 0)::bigint AS records_lost,
        row_number() OVER (PARTITION BY integration ORDER BY id DESC) AS n, NOT notice AND row_number() OVER (PARTITION BY integration, notice ORDER BY id DESC) = 1 AS last,
        began_at AS "from", ended_at AS "to", what, partition, from_offset, to_offset, records, notice, noted_at
    FROM redrive.gaps WHERE @integration IN ('', integration) WINDOW i AS (PARTITION BY integration)
) g WHERE n <= @most OR last ORDER BY integration, n`

// SourceGaps returns where and when messages may have been lost at an integration's source.
func (s *Registry) SourceGaps(ctx context.Context, integration string) (delivery.SourceGaps, error) {
	gaps, err := sourceGaps(s.Gorm.WithContext(ctx), integration)
	return gaps[integration], err
}

// sourceGaps are those of every integration when integration is empty.
func sourceGaps(db *gorm.DB, integration string) (map[string]delivery.SourceGaps, error) {
	type row struct {
		Integration        string
		Count, RecordsLost int64
		N                  int
		Last               bool
		delivery.SourceGap
	}
	list, err := pg.Scan[row](db, gapsSQL, map[string]any{"integration": integration, "most": delivery.MaxLatestGaps})
	if err != nil {
		return nil, fmt.Errorf("reading the sources' gaps: %w", err)
	}
	gaps := map[string]delivery.SourceGaps{}
	for _, r := range list {
		g := gaps[r.Integration]
		g.Count, g.Records = r.Count, r.RecordsLost
		if r.Last {
			g.Last = r.SourceGap
		}
		if r.N <= delivery.MaxLatestGaps {
			g.Latest = append(g.Latest, r.SourceGap)
		}
		gaps[r.Integration] = g
	}
	return gaps, nil
}

// sourceSQL finds the rows of a delivery.SourceName.
const sourceSQL = " integration = @integration AND topic = @topic AND consumers = @consumers"

func named(n delivery.SourceName, more map[string]any) map[string]any {
	more["integration"], more["topic"], more["consumers"] = n.Integration, n.Topic, n.Group
	return more
}

// KeptTopic returns what is kept of a topic; without partitions: nothing.
func (s *Registry) KeptTopic(ctx context.Context, n delivery.SourceName) (delivery.SourceTopic, error) {
	t := delivery.SourceTopic{SourceName: n, Positions: map[int32]delivery.SourcePosition{}}
	type row struct {
		TopicID               string
		Partitions, MadeAgain int
		Compacted, Gone       bool
	}
	db := s.Gorm.WithContext(ctx)
	topics, err := pg.Scan[row](db, "SELECT topic_id, partitions, made_again, compacted, gone FROM redrive.source_topics WHERE"+sourceSQL,
		named(n, map[string]any{}))
	if err != nil {
		return t, fmt.Errorf("reading what is kept of a topic: %w", err)
	}
	if len(topics) == 0 {
		return t, nil
	}
	t.ID, t.Partitions, t.MadeAgain = topics[0].TopicID, topics[0].Partitions, topics[0].MadeAgain
	t.Compacted, t.Gone = topics[0].Compacted, topics[0].Gone
	positions, err := pg.Scan[delivery.SourcePosition](db,
		`SELECT partition, next_offset AS next, end_offset AS "end" FROM redrive.source_positions WHERE`+sourceSQL, named(n, map[string]any{}))
	for _, p := range positions {
		t.Positions[p.Partition] = p
	}
	if err != nil {
		return t, fmt.Errorf("reading a source's positions: %w", err)
	}
	return t, nil
}

// KeepTopic keeps what a topic is like now, with the gaps of that change. Without kept somebody else was faster: look again. Another
// topic is read from its first record, and so is a partition that was added.
func (s *Registry) KeepTopic(ctx context.Context, was, now delivery.SourceTopic, gaps []delivery.NotedGap) (kept bool, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		kept, err = keepTopic(tx, was, now)
		if err != nil || !kept {
			return err
		}
		for _, g := range gaps {
			if _, err := noteGap(tx, g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("keeping what a topic is like: %w", err)
	}
	return kept, nil
}

func keepTopic(tx *gorm.DB, was, now delivery.SourceTopic) (kept bool, err error) {
	args := named(now.SourceName, map[string]any{"id": now.ID, "partitions": now.Partitions, "again": now.MadeAgain, "gone": now.Gone, "compacted": now.Compacted,
		"was_id": was.ID, "was_partitions": was.Partitions, "was_again": was.MadeAgain, "was_gone": was.Gone})
	if was.Partitions == 0 {
		first := tx.Exec(`INSERT INTO redrive.source_topics (integration, topic, consumers, topic_id, partitions, compacted)
			VALUES (@integration, @topic, @consumers, @id, @partitions, @compacted) ON CONFLICT DO NOTHING`, args)
		return first.RowsAffected > 0, first.Error
	}
	changed := tx.Exec(`UPDATE redrive.source_topics SET topic_id = @id, partitions = @partitions, compacted = @compacted, made_again = @again, gone = @gone
		WHERE`+sourceSQL+`
		AND topic_id = @was_id AND partitions = @was_partitions AND made_again = @was_again AND gone = @was_gone`, args)
	if changed.Error != nil || changed.RowsAffected == 0 {
		return false, changed.Error
	}
	if now.MadeAgain != was.MadeAgain {
		args["was_partitions"] = 0
		if err := tx.Exec("DELETE FROM redrive.source_positions WHERE"+sourceSQL, args).Error; err != nil {
			return false, err
		}
	}
	return true, tx.Exec(`INSERT INTO redrive.source_positions (integration, topic, consumers, partition, next_offset, end_offset)
		SELECT @integration, @topic, @consumers, n, 0, 0 FROM generate_series((@was_partitions)::int, (@partitions)::int - 1) n ON CONFLICT DO NOTHING`, args).Error
}

// keepSQL moves positions on, never back, unless the topic is not there any more or another one.
const keepSQL = `
INSERT INTO redrive.source_positions AS p (integration, topic, consumers, partition, next_offset, end_offset)
SELECT @integration, @topic, @consumers, g.partition, g.next, g.ends FROM unnest((@numbers)::int[], (@nexts)::bigint[], (@ends)::bigint[]) AS g(partition, next, ends)
WHERE EXISTS (SELECT FROM redrive.source_topics WHERE` + sourceSQL + ` AND topic_id = @id AND NOT gone)
ON CONFLICT (integration, topic, consumers, partition) DO UPDATE SET next_offset = greatest(p.next_offset, excluded.next_offset), end_offset = excluded.end_offset`

// KeepPositions notes up to where partitions of the topic with that id are dealt with.
func (s *Registry) KeepPositions(ctx context.Context, n delivery.SourceName, id string, list []delivery.SourcePosition) error {
	numbers, nexts, ends := []int32{}, []int64{}, []int64{}
	for _, p := range list {
		numbers, nexts, ends = append(numbers, p.Partition), append(nexts, p.Next), append(ends, p.End)
	}
	args := named(n, map[string]any{"id": id, "numbers": &numbers, "nexts": &nexts, "ends": &ends})
	if err := s.Gorm.WithContext(ctx).Exec(keepSQL, args).Error; err != nil {
		return fmt.Errorf("noting a source's positions: %w", err)
	}
	return nil
}
