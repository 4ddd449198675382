package store

import (
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
)

// checkDatabase answers *delivery.CopiedError when the outbox's positions are another database's.
func checkDatabase(db *gorm.DB) error {
	current, err := databaseID(db)
	if err != nil {
		return err
	}
	saved, err := readOne(db, single[string], "SELECT coalesce(database_id, '') FROM redrive.positions WHERE feed = ?", delivery.OutboxMain)
	if err != nil {
		return fmt.Errorf("reading the outbox's position: %w", err)
	}
	if saved != "" && !sameDatabase(saved, current) {
		return &delivery.CopiedError{Saved: saved, Current: current}
	}
	return nil
}

// databaseID names this database among all: its cluster's system identifier and its own number there. Where the first may not be
// asked for it is empty, and only a copy within one cluster, or into a database with another number, is told apart.
func databaseID(db *gorm.DB) (string, error) {
	var allowed bool
	var id string
	err := db.Raw("SELECT " + mayAskSQL).Row().Scan(&allowed)
	if err == nil {
		err = db.Raw(databaseIDSQL(allowed)).Row().Scan(&id)
	}
	if err != nil {
		return "", fmt.Errorf("asking which database this is: %w", err)
	}
	return id, nil
}

const mayAskSQL = "has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"

// databaseIDSQL leaves out what may not be asked for: that it is not called is not enough, Postgres asks for the right before.
func databaseIDSQL(allowed bool) string {
	system := "''"
	if allowed {
		system = "(SELECT system_identifier FROM pg_catalog.pg_control_system())"
	}
	return "SELECT " + system + " || '/' || oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
}

// sameDatabase compares what is known of both.
func sameDatabase(a, b string) bool {
	systemA, numberA, _ := strings.Cut(a, "/")
	systemB, numberB, _ := strings.Cut(b, "/")
	return numberA == numberB && (systemA == systemB || systemA == "" || systemB == "")
}
