package people

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

var operatorColumns = "o.id::text, o.name, o.role, " + pg.GrantsOf("operator_id", "o.id") +
	", o.password_hash, coalesce(o.issuer, ''), coalesce(o.subject, ''), " + hasCodesSQL + ", o.generation, o.created_at, o.disabled_at"

const hasCodesSQL = "EXISTS (SELECT FROM redrive.totp c WHERE c.operator_id = o.id AND c.confirmed_at IS NOT NULL)"

func operatorPointers(o *delivery.Operator) []any {
	return []any{&o.ID, &o.Name, &o.Role, &o.Grants, &o.PasswordHash, &o.Issuer, &o.Subject, &o.HasCodes, &o.Generation, &o.CreatedAt, &o.DisabledAt}
}

// Operator returns an operator by id, disabled or not.
func (s *People) Operator(ctx context.Context, id string) (delivery.Operator, error) {
	if !delivery.IsUUID(id) {
		return delivery.Operator{}, delivery.ErrNotFound
	}
	return operator(s.Gorm.WithContext(ctx), "o.id = ?", id)
}

// OperatorByName returns the operator who has a name now, disabled or not.
func (s *People) OperatorByName(ctx context.Context, name string) (delivery.Operator, error) {
	return operator(s.Gorm.WithContext(ctx), "o.name = ?", name)
}

func operator(db *gorm.DB, condition string, args ...any) (delivery.Operator, error) {
	o, err := pg.ReadOne(db, operatorPointers, "SELECT "+operatorColumns+" FROM redrive.operators o WHERE "+condition, args...)
	if err != nil {
		return o, pg.DomainError(fmt.Errorf("reading an operator: %w", err))
	}
	return o, nil
}

// ChooseLanguage keeps the language that a person wants to read; empty: none. It is nobody else's affair, and not audited.
func (s *People) ChooseLanguage(ctx context.Context, operator, lang string) error {
	changed := s.Gorm.WithContext(ctx).Exec("UPDATE redrive.operators SET language = ? WHERE id = ? AND language <> ?", lang, operator, lang)
	if changed.Error != nil {
		return fmt.Errorf("keeping the language of somebody: %w", changed.Error)
	}
	return nil
}

// Operators lists everybody by name.
func (s *People) Operators(ctx context.Context) ([]delivery.Operator, error) {
	list, err := pg.Read(s.Gorm.WithContext(ctx), operatorPointers,
		"SELECT "+operatorColumns+" FROM redrive.operators o ORDER BY o.name")
	if err != nil {
		return nil, fmt.Errorf("reading operators: %w", err)
	}
	return list, nil
}

// EnsureFirstOperator creates an administrator when there is no operator at all.
func (s *People) EnsureFirstOperator(ctx context.Context, name, passwordHash string) (created bool, err error) {
	err = s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		inserted := tx.Exec(`INSERT INTO redrive.operators (name, role, password_hash) SELECT ?, 'admin', ?
			WHERE NOT EXISTS (SELECT FROM redrive.operators)`, name, passwordHash)
		if created = inserted.RowsAffected > 0; !created {
			return inserted.Error
		}
		return audit.Record(tx,
			delivery.AuditEntry{Actor: delivery.ActorProgram, Action: "operator.create", SubjectType: "operator", Subject: name,
				Details: audit.Details(map[string]any{"role": "admin", "why": delivery.Say("audit.first_operator")})})
	})
	return created, err
}

// peopleLock lets one change of people and tokens after the other happen: so there is always an administrator left.
const peopleLock = "LOCK TABLE redrive.operators IN SHARE ROW EXCLUSIVE MODE"

// CreateOperator adds a person. A name that is taken is an *delivery.InputError.
func (s *People) CreateOperator(ctx context.Context, o delivery.Operator, actor string) (delivery.Operator, error) {
	err := s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		id, err := pg.ReadOne(tx, pg.Single[string], `INSERT INTO redrive.operators (name, role, password_hash) VALUES (?, ?, ?)
			ON CONFLICT (name) DO NOTHING RETURNING id::text`, o.Name, string(o.Role), o.PasswordHash)
		if errors.Is(err, delivery.ErrNotFound) {
			return delivery.Mistake("name_taken.operator", "name")
		}
		if err == nil {
			err = give(tx, "operator_id", id, o.Grants)
		}
		if err == nil {
			o, err = operator(tx, "o.id = ?", id)
		}
		if err != nil {
			return err
		}
		return audit.Record(tx, operatorEntry("create", actor, o, nil))
	})
	return o, err
}

func operatorEntry(what, actor string, o delivery.Operator, members map[string]any) delivery.AuditEntry {
	all := map[string]any{"role": string(o.Role), "operator_id": o.ID}
	if len(o.Grants) > 0 {
		all["grants"] = o.Grants
	}
	maps.Copy(all, members)
	return delivery.AuditEntry{Actor: actor, Action: "operator." + what, SubjectType: "operator", Subject: o.Name, Details: audit.Details(all)}
}

// ChangeOperator changes one thing about a person and nothing else, and returns the person after it. All but a new name ends their
// sessions, and being disabled their tokens for good. The last administrator can be neither disabled nor demoted. A generation that is over is
// an *delivery.RightError, and where it is the one that was looked at an *delivery.InputError (conflict).
func (s *People) ChangeOperator(ctx context.Context, c delivery.OperatorChange) (o delivery.Operator, err error) {
	if !delivery.IsUUID(c.ID) {
		return o, delivery.ErrNotFound
	}
	err = s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		was, err := operator(tx, "o.id = ?", c.ID)
		switch {
		case err != nil:
			return err
		case c.Since != 0 && c.Since != was.Generation:
			r, _ := delivery.RightOf(ctx)
			return &delivery.RightError{Right: r}
		case c.Seen != 0 && c.Seen != was.Generation:
			return delivery.Mistake("conflict.person", "version", "name", was.Name, "version", was.Generation)
		case !was.IsLocal() && (c.Name != nil || c.Role != nil || c.PasswordHash != nil):
			return delivery.Mistake("provided_person", c.What())
		case c.Withdraw != nil && was.Grants.Provided().Has(*c.Withdraw):
			return delivery.Mistake("provided_grant", "grant")
		}
		if err := checkName(tx, c); err != nil {
			return err
		}
		if c.Disabled != nil && *c.Disabled {
			if err := endTokens(tx, c); err != nil {
				return err
			}
		}
		if o, err = changeOperator(tx, c); err != nil {
			return err
		}
		if err := checkAdmin(tx); err != nil {
			return err
		}
		return audit.Record(tx, operatorEntry(c.What(), c.Actor, o, renamed(was, o)))
	})
	return o, err
}

// checkName refuses the name of somebody else.
func checkName(tx *gorm.DB, c delivery.OperatorChange) error {
	if c.Name == nil {
		return nil
	}
	switch o, err := operator(tx, "o.name = ?", *c.Name); {
	case errors.Is(err, delivery.ErrNotFound) || err == nil && o.ID == c.ID:
		return nil
	case err != nil:
		return err
	}
	return delivery.Mistake("name_taken.operator", "name")
}

// changeOperator writes the one column; without any it only ends the sessions.
func changeOperator(tx *gorm.DB, c delivery.OperatorChange) (o delivery.Operator, err error) {
	if err := changeGrants(tx, c); err != nil {
		return o, err
	}
	set, args := "generation = generation + 1", []any{}
	put := func(column string, value any) { set, args = column+", "+set, append(args, value) }
	switch {
	case c.Name != nil:
		set, args = "name = ?", append(args, *c.Name)
	case c.Role != nil:
		put("role = ?", string(*c.Role))
	case c.PasswordHash != nil:
		put("password_hash = ?", *c.PasswordHash)
	case c.Disabled != nil:
		put("disabled_at = CASE WHEN ? THEN coalesce(disabled_at, clock_timestamp()) END", *c.Disabled)
	case c.RemoveCodes:
		err = removeCodes(tx, c.ID)
	}
	if err != nil {
		return o, err
	}
	o, err = pg.ReadOne(tx, operatorPointers, "UPDATE redrive.operators o SET "+set+" WHERE o.id = ? RETURNING "+operatorColumns, append(args, c.ID)...)
	if err != nil {
		return o, fmt.Errorf("changing a person: %w", err)
	}
	if c.PasswordHash != nil {
		if err := tx.Exec("DELETE FROM redrive.places WHERE operator_id = ?", o.ID).Error; err != nil {
			return o, err
		}
	}
	return o, tx.Exec("DELETE FROM redrive.sessions WHERE operator_id = ? AND generation < ?", o.ID, o.Generation).Error
}

// checkAdmin refuses a change after which nobody administers who can sign in while the provider of single sign-on is away.
func checkAdmin(tx *gorm.DB) error {
	admins, err := pg.ReadOne(tx, pg.Single[int], `SELECT count(*) FROM redrive.operators o WHERE o.disabled_at IS NULL AND o.issuer IS NULL AND (o.role = 'admin'
		OR EXISTS (SELECT FROM redrive.grants g WHERE g.operator_id = o.id AND (g.role = 'admin' OR 'administer' = ANY(g.permissions))
			AND g.integrations = '{}' AND g.labels = '{}'))`)
	if err == nil && admins == 0 {
		err = delivery.Mistake("last_admin", "role")
	}
	return err
}

func renamed(was, is delivery.Operator) map[string]any {
	if was.Name == is.Name {
		return nil
	}
	return map[string]any{"was": was.Name}
}
