package handlers

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/views"
)

// past is a database that an earlier version filled, with who was there.
type past struct {
	*sql.DB
	t      *testing.T
	rights map[string]delivery.Rights // of people and tokens, by name
}

func (p past) exec(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.ExecContext(p.t.Context(), statement, args...); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// pastSecret makes the codes of an app.
const pastSecret = "12345678901234567890"

// pastID is the id of the one of that name.
func pastID(name string) string {
	return fmt.Sprintf("0190a0a0-0000-7000-8000-%x", sha256.Sum256([]byte(name)))[:36]
}

// holders fills people and tokens with one of each role, by SQL as that version had them; each token's secret is its name.
func (p past) holders(version int64) {
	hash := web.ArgonHash{Memory: 8, Time: 1, Lanes: 1, Salt: make([]byte, web.SaltBytes)}
	hash.Key = hash.Derive(ownPassword, web.KeyBytes)
	roles := []delivery.Role{delivery.RoleViewer, delivery.RoleOperator, delivery.RoleAdmin}
	if version > 22 {
		roles = append(delivery.Roles, "")
	}
	for _, role := range roles {
		name := "p-" + string(role)
		sum := sha256.Sum256([]byte("t-" + name))
		p.exec("INSERT INTO redrive.operators (id, name, role, password_hash, generation) VALUES ($1, $2, $3, $4, 3)", pastID(name), name, role, hash.String())
		p.exec("INSERT INTO redrive.api_tokens (id, name, role, token_hash) VALUES ($1, $2, $3, $4)", pastID("t-"+name), "t-"+name, role, sum[:])
		var grants delivery.Grants
		if role == "" {
			grants = delivery.Grants{{Role: delivery.RoleOperator, Permissions: []delivery.Permission{delivery.PermitReveal}, Integrations: []string{"push"}, Within: []string{"push"}}}
			for column, id := range map[string]string{"operator_id": pastID(name), "token_id": pastID("t-" + name)} {
				p.exec("INSERT INTO redrive.grants ("+column+", role, permissions, integrations) VALUES ($1, 'operator', '{reveal}', '{push}')", id)
			}
		}
		p.rights[name] = delivery.RightsOf(role, grants)
	}
	gone := sha256.Sum256([]byte("t-revoked"))
	p.exec("INSERT INTO redrive.operators (name, role, password_hash, disabled_at) VALUES ('p-disabled', 'admin', $1, now())", hash.String())
	p.exec("INSERT INTO redrive.api_tokens (name, role, token_hash, revoked_at) VALUES ('t-revoked', 'admin', $1, now())", gone[:])
	setting := sha256.Sum256([]byte("t-setting"))
	p.exec("INSERT INTO redrive.api_tokens (name, role, token_hash, of_setting) VALUES ('environment', 'admin', $1, true)", setting[:])
}

// deeds fills what they have and did: a session, views, entries of the audit.
func (p past) deeds(version int64) {
	for n, shared := range []bool{false, true} {
		for _, owner := range []string{"p-viewer", "t-p-operator"} {
			p.exec("INSERT INTO redrive.saved_views (owner, name, search, shared) VALUES ($1, $2, 'state:dead', $3)", pastID(owner), fmt.Sprint(owner, " ", n), shared)
		}
	}
	for _, who := range []string{"p-viewer", "p-operator", "p-admin", "t-p-operator"} {
		p.exec("INSERT INTO redrive.audit (actor, action, subject_type, subject, details) VALUES ($1, 'delivery.retry', 'delivery', 'x', $2)", who, fmt.Sprintf(`{"actor_id": %q}`, pastID(who)))
	}
	p.exec("INSERT INTO redrive.audit (actor, action, subject_type, subject) VALUES ('policy', 'delivery.ignore', 'delivery', 'x')")
	deadline := time.Now().Add(time.Hour)
	data, err := scs.GobCodec{}.Encode(deadline, map[string]any{})
	if err != nil {
		p.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("session"))
	p.exec("INSERT INTO redrive.sessions (token_hash, data, expiry, operator_id, generation) VALUES ($1, $2, $3, $4, 3)", sum[:], data, deadline, pastID("p-operator"))
	if version < 24 {
		return
	}
	p.exec("INSERT INTO redrive.operators (id, name, role, password_hash, issuer, subject) VALUES ($1, 'p-provided', 'operator', '', 'https://login.example.com', 's-1')", pastID("p-provided"))
	if version < 31 {
		return
	}
	p.exec("INSERT INTO redrive.totp (operator_id, secret, confirmed_at) VALUES ($1, $2, now())", pastID("p-auditor"), []byte(pastSecret))
	p.exec("INSERT INTO redrive.recovery_codes (operator_id, code_hash) VALUES ($1, $2)", pastID("p-auditor"), web.RecoveryHash("abcd-efgh"))
	p.exec("INSERT INTO redrive.passkeys (operator_id, credential_id, credential, name, sign_count) VALUES ($1, 'c', '{}', 'key', 7)", pastID("p-admin"))
}

// entries is the audit as it stands.
func (p past) entries() (text string) {
	p.t.Helper()
	err := p.QueryRowContext(p.t.Context(), "SELECT string_agg(concat_ws(' ', seq, at, actor, action, subject, details, encode(hash, 'hex')), chr(10) ORDER BY seq) FROM redrive.audit").Scan(&text)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// Whoever was there before an upgrade signs in, does what they could, and has what they had; what was written down of them stays.
func TestPeopleAndTokensSurviveAnUpgrade(t *testing.T) {
	for name, version := range map[string]int64{"before rights": 22, "before second factors": 27, "before people's tokens": 31} {
		t.Run(name, func(t *testing.T) {
			dsn, db := storetest.Earlier(t, version)
			p := past{db, t, map[string]delivery.Rights{}}
			p.holders(version)
			p.deeds(version)
			before := p.entries()
			upgraded, err := store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler))
			if err == nil {
				err = upgraded.Migrate(t.Context())
				upgraded.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			s := siteOn(t, dsn, func(c *web.Config) { c.Now = func() time.Time { return now } })
			s.checkHolders(p)
			s.checkDeeds(p)
			if after := p.entries(); !strings.HasPrefix(after, before) {
				t.Errorf("the audit was\n%s\nand is\n%s", before, after)
			}
			if report, err := s.store.VerifyAudit(t.Context()); err != nil || !report.OK() {
				t.Errorf("%s %v", report, err)
			}
			if version >= 31 {
				s.checkFactors()
				keys, err := s.store.Passkeys(t.Context(), pastID("p-admin"))
				if s.must(err); len(keys) != 1 || keys[0].Name != "key" || keys[0].SignCount != 7 {
					t.Errorf("%+v", keys)
				}
			}
		})
	}
}

func (s *site) checkHolders(p past) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(p.rights)) {
		b := s.stranger()
		if a := b.submit("/sign-in", "name", name, "password", ownPassword); name == "p-auditor" && field(a.body, "ticket") != "" {
			b.shows(a, 200, "Code of your app") // with a second factor: see checkFactors
		} else {
			b.shows(b.goes(a, "/"), 200, name)
		}
		o, err := s.store.OperatorByName(s.t.Context(), name)
		if s.must(err); o.ID != pastID(name) || !reflect.DeepEqual(o.Rights(), p.rights[name]) {
			s.t.Errorf("%s is %s and may %v, before %v", name, o.ID, o.Rights(), p.rights[name])
		}
		sum := sha256.Sum256([]byte("t-" + name))
		token, err := s.store.TokenByHash(s.t.Context(), sum[:])
		if err != nil || token.ID != pastID("t-"+name) || !reflect.DeepEqual(token.Rights(), p.rights[name]) || token.Owner != nil {
			s.t.Errorf("t-%s is %s and may %v, before %v: %v", name, token.ID, token.Rights(), p.rights[name], err)
		}
		for path, need := range map[string]delivery.Permission{"/api/v1/failures": delivery.PermitView, "/api/v1/tokens": delivery.PermitAdminister} {
			if a := s.send("t-"+name, "GET", path, ""); (a.StatusCode == 200) != p.rights[name].May(need) {
				s.t.Errorf("t-%s: %s answers %d", name, path, a.StatusCode)
			}
		}
	}
	b := s.stranger()
	b.shows(b.submit("/sign-in", "name", "p-disabled", "password", ownPassword), 401)
	s.wants("a revoked token", s.send("t-revoked", "GET", "/api/v1/failures", ""), 401, "invalid_token")
	sum := sha256.Sum256([]byte("t-setting"))
	s.must(s.store.EnsureEnvToken(s.t.Context(), sum[:])) // as the start does: it stays the same one
	if a := s.send("t-setting", "GET", "/api/v1/tokens", ""); a.StatusCode != 200 {
		s.t.Errorf("that of the setting: %d", a.StatusCode)
	}
	if a := s.send("", "GET", "/api/v1/failures", "", "Cookie", "redrive_session=session"); a.StatusCode != 200 {
		s.t.Errorf("who was signed in: %d", a.StatusCode)
	}
}

// checkFactors signs in with what was there beside the password: a code of the app, and without it a recovery code.
func (s *site) checkFactors() {
	s.t.Helper()
	sealed, err := s.store.SealCodes(s.t.Context()) // as the start does
	if s.must(err); sealed != 1 {
		s.t.Errorf("%d secrets of codes were sealed", sealed)
	}
	now := s.Config.Now()
	for _, code := range []string{app{s.t, web.CodeSecretText([]byte(pastSecret)), &now}.code(0), "abcd-efgh"} {
		b := s.stranger()
		a := b.submit("/sign-in", "name", "p-auditor", "password", ownPassword)
		b.shows(b.goes(b.submit(views.SignInCode, "ticket", field(a.body, "ticket"), "code", code, "next", "/"), "/"), 200, "p-auditor")
	}
}

func (s *site) checkDeeds(p past) {
	s.t.Helper()
	for who, want := range map[string][]string{pastID("p-viewer"): {"p-viewer p-viewer 0", "p-viewer p-viewer 1", "token:t-p-operator t-p-operator 1"},
		pastID("t-p-operator"): {"p-viewer p-viewer 1", "token:t-p-operator t-p-operator 0", "token:t-p-operator t-p-operator 1"},
		pastID("p-admin"):      {"p-viewer p-viewer 1", "token:t-p-operator t-p-operator 1"}} {
		list, err := s.store.SavedViews(s.t.Context(), who)
		s.must(err)
		var got []string
		for _, v := range list {
			got = append(got, v.Owner+" "+v.Name)
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("%s has the views %q, want %q", who, got, want)
		}
	}
	for _, who := range []string{"p-viewer", "t-p-operator"} {
		page, err := s.store.Audit(s.t.Context(), delivery.AuditFilter{Actor: pastID(who), Action: "delivery.retry"})
		if s.must(err); len(page.Items) != 1 || page.Items[0].Actor != who || page.Items[0].ActorID != pastID(who) {
			s.t.Errorf("of %s is written down %+v", who, page.Items)
		}
	}
}
