package capture

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// RequestTable asks whoever reads an integration's source to read one table (schema.table as rules name it) again and to go on with
// it. What is asked for already changes nothing and is not audited.
func (s *Captures) RequestTable(ctx context.Context, integration, table, actor, reason string) error {
	if table == "" {
		return delivery.Mistake("unknown_table", "", "integration", integration, "table", table)
	}
	return s.request(ctx, delivery.RunRequest{Integration: integration, Table: table, Actor: actor, Reason: reason})
}

// mustKnow refuses a table that no rule of the integration names.
func mustKnow(tx *gorm.DB, integration, table string) error {
	known, err := pg.Read(tx, pg.Single[string],
		`SELECT jsonb_object_keys(tables) FROM redrive.captures WHERE integration = ? ORDER BY 1`, integration)
	if err != nil {
		return err
	}
	if !slices.Contains(known, table) {
		if len(known) == 0 {
			return delivery.Mistake("unknown_table", "", "integration", integration, "table", table)
		}
		return delivery.Mistake("unknown_table.others", "", "integration", integration, "table", table, "known", known)
	}
	return nil
}

func requestTable(tx *gorm.DB, r delivery.RunRequest) error {
	result := tx.Exec(`UPDATE redrive.captures SET resnapshot_tables = resnapshot_tables || ?::text
		WHERE integration = ? AND NOT ? = ANY(resnapshot_tables)`, r.Table, r.Integration, r.Table)
	if result.Error != nil || result.RowsAffected == 0 {
		return result.Error
	}
	return recordSnapshot(tx, r)
}

// SaveTables keeps how a source's tables are, and up to where nothing of them is missing, with the gaps that were found. It fails
// when the position was begun anew meanwhile.
func (s *Captures) SaveTables(ctx context.Context, integration string, p delivery.CapturePosition) error {
	err := s.Transact(ctx, func(tx *gorm.DB) error {
		result := tx.Exec(`UPDATE redrive.captures SET tables = ?::jsonb, verified = ?::pg_lsn
			WHERE integration = ? AND system_identifier = ? AND slot = ?`, tables(p), p.Verified.String(), integration, p.SystemIdentifier, p.Slot)
		if result.Error == nil && result.RowsAffected == 0 {
			return errPositionMoved
		}
		if result.Error != nil {
			return result.Error
		}
		return noteGaps(tx, integration, p.Gaps)
	})
	if err != nil {
		return fmt.Errorf("saving how the tables of %s are: %w", integration, err)
	}
	return nil
}

// noteGaps opens gaps; a table that has one keeps it.
func noteGaps(tx *gorm.DB, integration string, gaps []delivery.CaptureGap) error {
	for _, g := range gaps {
		err := tx.Exec(`INSERT INTO redrive.capture_gaps (integration, table_name, from_lsn, stopped_lsn, why)
			VALUES (?, ?, ?::pg_lsn, ?::pg_lsn, ?::jsonb)
			ON CONFLICT (integration, table_name) WHERE closed_at IS NULL DO NOTHING`,
			integration, g.Table, g.From.String(), g.Stopped.String(), g.Why.Storable()).Error
		if err != nil {
			return fmt.Errorf("noting what is missing of %s: %w", g.Table, err)
		}
	}
	return nil
}

// BeginTable goes on with a table from a place, with a snapshot of it from its beginning: its gap ends at to.
func (l *Term) BeginTable(ctx context.Context, integration, table string, to delivery.LSN, p delivery.CapturePosition) error {
	err := l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := tx.Exec(`UPDATE redrive.captures SET snapshot = ?::jsonb, tables = ?::jsonb,
			resnapshot_tables = array_remove(resnapshot_tables, ?) WHERE integration = ?`,
			progress(p), tables(p), table, integration).Error
		if err != nil {
			return err
		}
		return tx.Exec(`UPDATE redrive.capture_gaps SET to_lsn = ?::pg_lsn, closed_at = clock_timestamp()
			WHERE integration = ? AND table_name = ? AND closed_at IS NULL`, to.String(), integration, table).Error
	})
	if err != nil {
		return fmt.Errorf("beginning table %s of %s anew: %w", table, integration, err)
	}
	return nil
}

// RenameTable goes on with a table under another name. p is the position with the new one.
func (l *Term) RenameTable(ctx context.Context, integration, from, to string, p delivery.CapturePosition) error {
	err := l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := tx.Exec(`UPDATE redrive.captures SET snapshot = ?::jsonb, tables = ?::jsonb WHERE integration = ?`,
			progress(p), tables(p), integration).Error
		if err != nil {
			return err
		}
		return tx.Exec(`UPDATE redrive.capture_gaps SET table_name = ?
			WHERE integration = ? AND table_name = ? AND closed_at IS NULL`, to, integration, from).Error
	})
	if err != nil {
		return fmt.Errorf("renaming table %s of %s: %w", from, integration, err)
	}
	return nil
}

// RefuseTable says why a snapshot of a table that was asked for cannot begin. It is not asked for any more.
func (l *Term) RefuseTable(ctx context.Context, integration, table string, why delivery.Phrase) error {
	err := l.Gorm.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		err := tx.Exec(`UPDATE redrive.captures SET resnapshot_tables = array_remove(resnapshot_tables, ?)
			WHERE integration = ?`, table, integration).Error
		if err != nil {
			return err
		}
		return tx.Exec(`UPDATE redrive.capture_gaps SET note = ?::jsonb WHERE integration = ? AND table_name = ? AND closed_at IS NULL`,
			why.Storable(), integration, table).Error
	})
	if err != nil {
		return fmt.Errorf("refusing a snapshot of %s: %w", table, err)
	}
	return nil
}

const gapsSQL = `SELECT g.integration, g.table_name AS "table", (g.from_lsn - pg_lsn '0/0')::bigint AS "from", (g.to_lsn - pg_lsn '0/0')::bigint AS "to",
	(g.stopped_lsn - pg_lsn '0/0')::bigint AS stopped, g.why, g.note, g.found_at, g.closed_at IS NULL AND g.table_name = ANY(c.resnapshot_tables) AS asked
	FROM redrive.capture_gaps g JOIN redrive.captures c USING (integration)`

// CaptureGaps returns what is missing of tables and not read again yet, by integration and table.
func (s *Captures) CaptureGaps(ctx context.Context) (map[string][]delivery.CaptureGap, error) {
	w := pg.NewWhere()
	w.Add("g.closed_at IS NULL")
	w.In("g.integration", pg.Seen(s.Gorm.WithContext(ctx)))
	return captureGaps(s.Gorm.WithContext(ctx), gapsSQL+w.Sql()+" ORDER BY g.integration, g.table_name", w.Args...)
}

// CaptureGaps returns the open gaps of one integration.
func (l *Term) CaptureGaps(ctx context.Context, integration string) ([]delivery.CaptureGap, error) {
	all, err := captureGaps(l.Gorm.WithContext(ctx),
		gapsSQL+" WHERE g.closed_at IS NULL AND g.integration = ? ORDER BY g.table_name", integration)
	return all[integration], err
}

func captureGaps(db *gorm.DB, sql string, args ...any) (map[string][]delivery.CaptureGap, error) {
	type row struct {
		Integration string
		delivery.CaptureGap
	}
	rows, err := pg.Scan[row](db, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what is missing of tables: %w", err)
	}
	gaps := map[string][]delivery.CaptureGap{}
	for _, r := range rows {
		gaps[r.Integration] = append(gaps[r.Integration], r.CaptureGap)
	}
	return gaps, nil
}
