package pg

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"redrive/delivery"
)

// pools are the connections of engine and people: each statement and each transaction goes to those of its context.
type pools struct{ engine, people *sql.DB }

var (
	_ gorm.ConnPool         = pools{}
	_ gorm.ConnPoolBeginner = pools{}
)

func (p pools) of(ctx context.Context) *sql.DB {
	if delivery.IsApart(ctx) {
		return p.people
	}
	return p.engine
}

func (p pools) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return p.of(ctx).PrepareContext(ctx, query)
}

func (p pools) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.of(ctx).ExecContext(ctx, query, args...)
}

func (p pools) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.of(ctx).QueryContext(ctx, query, args...)
}

func (p pools) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p.of(ctx).QueryRowContext(ctx, query, args...)
}

func (p pools) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.of(ctx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err // never a nil transaction in an interface
	}
	return tx, nil
}
