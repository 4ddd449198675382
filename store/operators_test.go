package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"redrive/delivery"
	"redrive/store"
	"redrive/store/storetest"
)

func TestOperators(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	if created, err := d.EnsureFirstOperator(ctx, "admin", "h"); !created || err != nil {
		t.Fatal(created, err)
	}
	if created, err := d.EnsureFirstOperator(ctx, "other", "h"); created || err != nil {
		t.Fatal("a second first operator", err)
	}
	if _, err := d.CreateOperator(ctx, delivery.Operator{Name: "admin", Role: delivery.RoleViewer, PasswordHash: "h"}, "admin"); inputCode(t, err) != "name_taken" {
		t.Error(err)
	}
	admin, err := d.OperatorByName(ctx, "admin")
	d.must(err)
	viewer := delivery.RoleViewer
	demotion := delivery.OperatorChange{ID: admin.ID, Actor: "ann", Role: &viewer}
	if _, err := d.ChangeOperator(ctx, demotion); inputCode(t, err) != "last_admin" {
		t.Error(err)
	}
	_, err = d.CreateOperator(ctx, delivery.Operator{Name: "ann", Role: delivery.RoleAdmin, PasswordHash: "h"}, "admin")
	d.must(err)
	_, err = d.ChangeOperator(ctx, demotion)
	d.must(err)
	list, err := d.Operators(ctx)
	if err != nil || len(list) != 2 || list[0].Role != delivery.RoleViewer {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := d.OperatorByName(ctx, "nobody"); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'operator'"); n != 3 {
		t.Errorf("%d audit entries for three changes", n)
	}
}

func TestTokens(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	hash := bytes.Repeat([]byte{1}, 32)
	token, err := d.CreateToken(ctx, delivery.Token{Name: "ci", Role: delivery.RoleOperator}, hash, "ann")
	d.must(err)
	if found, err := d.TokenByHash(ctx, hash); err != nil || found.ID != token.ID || found.Role != delivery.RoleOperator {
		t.Errorf("%+v %v", found, err)
	}
	d.must(d.RevokeToken(ctx, token.ID, "ann"))
	d.must(d.RevokeToken(ctx, token.ID, "bob"))
	if _, err := d.TokenByHash(ctx, hash); !errors.Is(err, delivery.ErrNotFound) {
		t.Error("a revoked token was found", err)
	}
	env, other := bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	d.must(d.EnsureEnvToken(ctx, env))
	d.must(d.EnsureEnvToken(ctx, env))
	d.must(d.EnsureEnvToken(ctx, other))
	if _, err := d.TokenByHash(ctx, env); !errors.Is(err, delivery.ErrNotFound) {
		t.Error("the environment's former token still works", err)
	}
	d.must(d.EnsureEnvToken(ctx, nil))
	if _, err := d.TokenByHash(ctx, other); !errors.Is(err, delivery.ErrNotFound) {
		t.Error("the environment's token works although it is not set", err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.audit WHERE subject_type = 'token'"); n != 5 {
		t.Errorf("%d audit entries", n)
	}
}

func TestSessions(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.must(d.CommitCtx(ctx, "old", []byte("x"), time.Now().Add(-time.Minute)))
	d.must(d.CommitCtx(ctx, "tok", []byte("data"), time.Now().Add(time.Hour)))
	d.must(d.CommitCtx(ctx, "tok", []byte("more"), time.Now().Add(time.Hour)))
	if b, found, err := d.FindCtx(ctx, "tok"); err != nil || !found || string(b) != "more" {
		t.Errorf("%q %v %v", b, found, err)
	}
	if _, found, err := d.FindCtx(ctx, "old"); found || err != nil {
		t.Errorf("an expired session: %v %v", found, err)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.sessions"); n != 1 {
		t.Errorf("%d sessions kept", n)
	}
	if n := value[int](d, "SELECT count(*) FROM redrive.sessions WHERE token_hash = 'tok'"); n != 0 {
		t.Error("the token itself is in the table")
	}
	d.must(d.DeleteCtx(ctx, "tok"))
	if _, found, _ := d.FindCtx(ctx, "tok"); found {
		t.Error("found after its end")
	}
}

func TestMigrateTogetherAndRefuseTheNewer(t *testing.T) {
	dsn := storetest.Empty(t)
	log := slog.New(slog.DiscardHandler)
	var starts sync.WaitGroup
	for range 3 {
		starts.Go(func() {
			s, err := store.Open(t.Context(), dsn, log)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	s, err := store.Open(t.Context(), dsn, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	d := desk{Store: s, t: t, dsn: dsn}
	d.must(d.sql("INSERT INTO redrive.schema_version (version_id, is_applied) VALUES (99, true)"))
	for _, err := range []error{s.Migrate(t.Context()), s.Ready(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("a newer schema: %v", err)
		}
	}
}

func TestMigrateIntoASchemaMadeByAnAdministrator(t *testing.T) {
	admin := desk{t: t, dsn: storetest.Empty(t)}
	role := fmt.Sprintf("plain_%d", os.Getpid())
	admin.must(admin.sql("CREATE ROLE " + role + " LOGIN PASSWORD 'plain'; CREATE SCHEMA redrive AUTHORIZATION " + role))
	defer func() { admin.must(admin.sql("DROP OWNED BY " + role + "; DROP ROLE " + role)) }()
	config, err := pgx.ParseConfig(admin.dsn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), fmt.Sprintf("host=%s port=%d dbname=%s user=%s password=plain", config.Host, config.Port, config.Database, role),
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(s.Migrate(t.Context()), s.Ready(t.Context())); err != nil {
		t.Error("a role that may not create schemas:", err)
	}
}

func TestOpenDoesNotTellThePassword(t *testing.T) {
	t.Parallel() // an address at which nobody listens is tried for a while
	for _, dsn := range []string{"postgres://u:hunter2@[::1", "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=1"} {
		if _, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
