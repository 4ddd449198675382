// Package approve asks a second person: it says whether one is needed, keeps what was asked for, and has it carried out in the transaction in
// which another person approves it.
package approve

import (
	"context"
	"maps"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/pg"
)

// Executor carries out what was approved, by the rights of whoever asked, and returns the id of what it began or changed.
type Executor func(tx *gorm.DB, a delivery.Approval) (result string, err error)

// Executors are those of a room, by what each carries out.
type Executors map[delivery.ApprovalKind]Executor

// Requests keeps requests for approval.
type Requests struct {
	*pg.DB
	executors Executors
}

// New returns the room on a pool of connections, with the executors of the rooms that ask.
func New(db *pg.DB, rooms ...Executors) *Requests {
	all := Executors{}
	for _, room := range rooms {
		maps.Copy(all, room)
	}
	return &Requests{DB: db, executors: all}
}

type grantedKey struct{}

// granted returns a context in which what an approval holds for is carried out. Nobody else can make one.
func granted(ctx context.Context, a delivery.Approval) context.Context {
	return context.WithValue(ctx, grantedKey{}, a)
}

// Of is the approval that a transaction carries out; ok is false where it carries out none.
func Of(tx *gorm.DB) (a delivery.Approval, ok bool) {
	a, ok = tx.Statement.Context.Value(grantedKey{}).(delivery.Approval)
	return a, ok
}

// Member is what entries of the audit say of the approval that they follow from; nil where there is none.
func Member(tx *gorm.DB) any {
	if a, ok := Of(tx); ok {
		return a.ID
	}
	return nil
}
