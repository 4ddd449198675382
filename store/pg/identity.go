package pg

import (
	"fmt"
	"strings"

	"gorm.io/gorm"

	"redrive/delivery"
)

// CheckDatabase returns *delivery.CopiedError when the outbox's positions are another database's.
func CheckDatabase(db *gorm.DB) error {
	current, err := DatabaseID(db)
	if err != nil {
		return err
	}
	saved, err := ReadOne(db, Single[string],
		"SELECT coalesce(database_id, '') FROM redrive.positions WHERE feed = ?", delivery.OutboxMain)
	if err != nil {
		return fmt.Errorf("reading the outbox's position: %w", err)
	}
	if saved != "" && !SameDatabase(saved, current) {
		return &delivery.CopiedError{Saved: saved, Current: current}
	}
	return nil
}

// DatabaseID names this database among all: its cluster's system identifier and its own number there. Where the first may not be
// asked for it is empty, and only a copy within one cluster, or into a database with another number, is told apart.
func DatabaseID(db *gorm.DB) (string, error) {
	var allowed bool
	var id string
	err := db.Raw("SELECT " + MayAskSQL).Row().Scan(&allowed)
	if err == nil {
		err = db.Raw(DatabaseIDSQL(allowed)).Row().Scan(&id)
	}
	if err != nil {
		return "", fmt.Errorf("asking which database this is: %w", err)
	}
	return id, nil
}

// MayAskSQL reports whether this role may ask for the cluster's identifier.
const MayAskSQL = "has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"

// DatabaseIDSQL leaves out what may not be asked for: that it is not called is not enough, Postgres asks for the right before.
func DatabaseIDSQL(allowed bool) string {
	system := "''"
	if allowed {
		system = "(SELECT system_identifier FROM pg_catalog.pg_control_system())"
	}
	return "SELECT " + system + " || '/' || oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
}

// SameDatabase compares what is known of both.
func SameDatabase(a, b string) bool {
	systemA, numberA, _ := strings.Cut(a, "/")
	systemB, numberB, _ := strings.Cut(b, "/")
	return numberA == numberB && (systemA == systemB || systemA == "" || systemB == "")
}
