package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/audit"
	"redrive/store/pg"
)

// SignInProvided lets a person of single sign-on in: known by issuer and subject, made when they come for the first time, with the name, the
// role and the grants that their provider gives them now. Another role, and other grants, end their sessions of before. What a person
// granted them stays. Whoever is disabled here is returned and not let in.
func (s *People) SignInProvided(ctx context.Context, p delivery.ProvidedPerson, details json.RawMessage) (o delivery.Operator, err error) {
	known := false
	err = s.Transact(ctx, func(tx *gorm.DB) error { // mostly nothing changes, and nobody has to wait for anybody
		o, err = provided(tx, p, " FOR SHARE OF o")
		known = err == nil && (o.DisabledAt != nil || o.Role == p.Role && calledSo(o.Name, p.Name) && grantedSo(o.Grants.Provided(), p.Grants))
		if !known || o.DisabledAt != nil {
			return ignoreNotFound(err)
		}
		return audit.Record(tx, signInEntry(o, details))
	})
	if err != nil || known {
		return o, err
	}
	err = s.TransactAfter(ctx, peopleLock, func(tx *gorm.DB) error {
		if o, err = updateProvided(tx, p); err != nil || o.DisabledAt != nil {
			return err
		}
		return audit.Record(tx, signInEntry(o, details))
	})
	return o, err
}

func signInEntry(o delivery.Operator, details json.RawMessage) delivery.AuditEntry {
	return delivery.AuditEntry{Actor: o.ID, Action: "session.sign-in", SubjectType: "operator", Subject: o.Name, Details: details}
}

func ignoreNotFound(err error) error {
	if errors.Is(err, delivery.ErrNotFound) {
		return nil
	}
	return err
}

func provided(tx *gorm.DB, p delivery.ProvidedPerson, lock string) (delivery.Operator, error) {
	return operator(tx, "o.issuer = ? AND o.subject = ?"+lock, p.Issuer, p.Subject)
}

// updateProvided makes the person or brings name and role up to date, each with its entry in the audit.
func updateProvided(tx *gorm.DB, p delivery.ProvidedPerson) (o delivery.Operator, err error) {
	o, err = provided(tx, p, "")
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return createProvided(tx, p)
	case err != nil || o.DisabledAt != nil:
		return o, err
	}
	if !calledSo(o.Name, p.Name) {
		name, err := freeName(tx, p.Name)
		if err != nil {
			return o, err
		}
		if o, err = changeProvided(tx, o, delivery.OperatorChange{Name: &name}); err != nil {
			return o, err
		}
	}
	if o.Role != p.Role {
		if o, err = changeProvided(tx, o, delivery.OperatorChange{Role: &p.Role}); err != nil {
			return o, err
		}
	}
	return grantProvided(tx, o, p.Grants)
}

// grantedSo reports whether somebody has just the grants that their groups give.
func grantedSo(has, wanted delivery.Grants) bool {
	return len(has.Lacking(wanted)) == 0 && len(wanted.Lacking(has)) == 0
}

// grantProvided takes away the grants of groups that somebody is not in any more, and adds those of new ones.
func grantProvided(tx *gorm.DB, o delivery.Operator, wanted delivery.Grants) (_ delivery.Operator, err error) {
	has := o.Grants.Provided()
	for _, g := range wanted.Lacking(has) {
		if o, err = changeProvided(tx, o, delivery.OperatorChange{Withdraw: &g.ID}); err != nil {
			return o, err
		}
	}
	for _, g := range has.Lacking(wanted) {
		if o, err = changeProvided(tx, o, delivery.OperatorChange{Grant: &g}); err != nil {
			return o, err
		}
	}
	return o, nil
}

func changeProvided(tx *gorm.DB, was delivery.Operator, c delivery.OperatorChange) (delivery.Operator, error) {
	c.ID = was.ID
	o, err := changeOperator(tx, c)
	if err != nil {
		return o, err
	}
	return o, audit.Record(tx, operatorEntry(c.What(), delivery.ActorProgram, o, providedBy(o, renamed(was, o))))
}

func createProvided(tx *gorm.DB, p delivery.ProvidedPerson) (o delivery.Operator, err error) {
	name, err := freeName(tx, p.Name)
	if err != nil {
		return o, err
	}
	o, err = pg.ReadOne(tx, operatorPointers, `INSERT INTO redrive.operators AS o (name, role, password_hash, issuer, subject)
		VALUES (?, ?, '', ?, ?) RETURNING `+operatorColumns, name, string(p.Role), p.Issuer, p.Subject)
	if err != nil {
		return o, fmt.Errorf("adding a person of single sign-on: %w", err)
	}
	if err := give(tx, "operator_id", o.ID, delivery.Grants{}.Lacking(p.Grants)); err != nil {
		return o, err
	}
	if o, err = provided(tx, p, ""); err != nil {
		return o, err
	}
	return o, audit.Record(tx, operatorEntry("create", delivery.ActorProgram, o, providedBy(o, nil)))
}

func providedBy(o delivery.Operator, members map[string]any) map[string]any {
	if members == nil {
		members = map[string]any{}
	}
	members["issuer"], members["subject"] = o.Issuer, o.Subject
	return members
}

// calledSo reports whether somebody has the name they want, or that with the number behind it that tells them from others.
func calledSo(name, wanted string) bool {
	base := providedName(wanted)
	rest, found := strings.CutPrefix(name, base)
	return found && (rest == "" || strings.HasPrefix(rest, "-") && strings.Trim(rest[1:], "0123456789") == "")
}

// freeName is the name somebody wants, with a number behind it where others have it.
func freeName(tx *gorm.DB, wanted string) (string, error) {
	base := providedName(wanted)
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		_, err := operator(tx, "o.name = ?", name)
		if errors.Is(err, delivery.ErrNotFound) && delivery.CheckOperatorName(name) == nil {
			return name, nil
		}
		if err != nil && !errors.Is(err, delivery.ErrNotFound) {
			return "", err
		}
	}
}

// maxNumber is how long what freeName puts behind a name may become.
const maxNumber = 8

// providedName makes a name that an operator can have of what a provider calls somebody.
func providedName(wanted string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._@-", r):
			return r
		}
		return '-'
	}, strings.TrimSpace(wanted))
	name = strings.TrimLeft(name, "._@-")
	if runes := []rune(name); len(runes) > delivery.MaxName-maxNumber {
		name = string(runes[:delivery.MaxName-maxNumber])
	}
	if name == "" || delivery.IsUUID(name) {
		return "person"
	}
	return name
}
