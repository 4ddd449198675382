package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// TokenJSON is a token with what is known of its secrets: never a secret itself.
type TokenJSON struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	State     string            `json:"state"`  // valid, expired or revoked
	Person    *CalledJSON       `json:"person"` // null: a robot's
	Role      *delivery.Role    `json:"role"`
	Grants    []GrantJSON       `json:"grants"`
	CreatedAt time.Time         `json:"created_at"`
	RevokedAt *time.Time        `json:"revoked_at"`
	Secrets   []TokenSecretJSON `json:"secrets"` // the newest first
}

// CalledJSON is a person with the name of now.
type CalledJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// TokenSecretJSON is when a secret was made, until when it lets in, and when and from where it did so last.
type TokenSecretJSON struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	Expired   bool       `json:"expired"`
	UsedAt    *time.Time `json:"used_at"`
	UsedFrom  string     `json:"used_from"`
}

// NewTokenJSON has the secret, this once.
type NewTokenJSON struct {
	TokenJSON
	Secret string `json:"secret"`
}

func (s *API) tokenRoutes() {
	s.get("/tokens", s.listTokens, delivery.PermitAdminister)
	s.post("/tokens", s.createToken, delivery.PermitAdminister)
	s.post("/tokens/:id/rotate", s.rotateToken, delivery.PermitAdminister)
	s.post("/tokens/:id/revoke", s.revokeToken, delivery.PermitAdminister)
}

func (s *API) listTokens(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	list, err := s.store.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.Token]{Items: list}, tokenJSONOf))
}

func tokenJSONOf(t delivery.Token) TokenJSON {
	out := TokenJSON{ID: t.ID, Name: t.Name, State: "valid", Role: roleJSON(t.Role), Grants: grantsJSON(t.Grants), CreatedAt: t.CreatedAt.UTC(),
		RevokedAt: web.Utc(t.RevokedAt), Secrets: []TokenSecretJSON{}}
	switch {
	case t.RevokedAt != nil:
		out.State = "revoked"
	case t.Secrets.Expired():
		out.State = "expired"
	}
	if t.Owner != nil {
		out.Person = &CalledJSON{t.Owner.ID, t.Owner.Name}
	}
	for _, one := range t.Secrets {
		out.Secrets = append(out.Secrets, TokenSecretJSON{ID: one.ID, CreatedAt: one.CreatedAt.UTC(), ExpiresAt: web.Utc(one.ExpiresAt),
			Expired: one.Expired, UsedAt: web.Utc(one.UsedAt), UsedFrom: one.UsedFrom})
	}
	return out
}

// createToken makes a robot's token. People make theirs on the page of their account.
func (s *API) createToken(c echo.Context) error {
	t := delivery.Token{}
	role, lifetime := "", 0
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{
			"name":           web.TextField("name", delivery.MaxName*4, &t.Name),
			"role":           web.TextField("role", delivery.MaxName, &role),
			"grants":         grantsField(&t.Grants),
			"lifetime_hours": web.WholeField("lifetime_hours", &lifetime),
		})
	}
	t.Role = delivery.Role(role)
	if err == nil {
		t.Lifetime, err = s.Config.TokenLifetimes.Of(lifetime)
	}
	if err = web.FirstError(err, t.Check()); err != nil {
		return err
	}
	secret, id, err := web.NewToken(c, s.store, t)
	return s.answerSecret(c, http.StatusCreated, id, secret, err)
}

// answerSecret shows a token with its new secret.
func (s *API) answerSecret(c echo.Context, status int, id, secret string, err error) error {
	if err != nil {
		return err
	}
	t, err := s.store.Token(c.Request().Context(), id)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(status, NewTokenJSON{tokenJSONOf(t), secret})
}

func (s *API) rotateToken(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	lifetime, overlap := 0, int(delivery.StandardTokenOverlap/time.Hour)
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{
			"lifetime_hours": web.WholeField("lifetime_hours", &lifetime),
			"overlap_hours":  web.WholeField("overlap_hours", &overlap),
		})
	}
	if err != nil {
		return err
	}
	r := delivery.TokenRotation{ID: id}
	if r.Lifetime, err = s.Config.TokenLifetimes.Of(lifetime); err != nil {
		return err
	}
	if r.Overlap, err = delivery.TokenOverlap(overlap); err != nil {
		return err
	}
	if err := web.OfRobot(c, s.store); err != nil {
		return err
	}
	secret, err := web.RotateToken(c, s.store, r)
	return s.answerSecret(c, http.StatusOK, id, secret, err)
}

func (s *API) revokeToken(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err == nil {
		err = noBody(c)
	}
	if err == nil {
		err = s.store.RevokeToken(c.Request().Context(), id, web.Who(c).ID)
	}
	if err != nil {
		return err
	}
	t, err := s.store.Token(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, tokenJSONOf(t))
}

// noBody refuses members where there are none.
func noBody(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{})
	}
	return err
}

// GrantJSON is what somebody may do for some integrations, or for all when it names neither integrations nor labels.
type GrantJSON struct {
	ID           string                `json:"id"`
	Role         *delivery.Role        `json:"role"`
	Permissions  []delivery.Permission `json:"permissions"` // beside those of the role
	Integrations []string              `json:"integrations"`
	Labels       map[string]string     `json:"labels"`
	Within       []string              `json:"within"`   // the integrations that it is for now; null: all
	Provided     bool                  `json:"provided"` // by the groups of single sign-on: it is not withdrawn here
}

func roleJSON(r delivery.Role) *delivery.Role {
	if r == "" {
		return nil
	}
	return &r
}

func grantsJSON(grants delivery.Grants) []GrantJSON {
	list := []GrantJSON{}
	for _, g := range grants {
		one := GrantJSON{ID: g.ID, Role: roleJSON(g.Role), Permissions: append([]delivery.Permission{}, g.Permissions...),
			Integrations: append([]string{}, g.Integrations...), Labels: g.Labels, Provided: g.Provided}
		if one.Labels == nil {
			one.Labels = map[string]string{}
		}
		if !g.Everywhere() {
			one.Within = append([]string{}, g.Within...)
		}
		list = append(list, one)
	}
	return list
}

// grantFields are the members of a grant. What it may not have is for Grant.Check to say.
func grantFields(g *delivery.Grant) web.Fields {
	return web.Fields{
		"role": func(raw json.RawMessage) error {
			text := ""
			err := web.TextField("role", delivery.MaxName, &text)(raw)
			g.Role = delivery.Role(text)
			return err
		},
		"permissions": func(raw json.RawMessage) error {
			var list []string
			err := web.TextsField("permissions", delivery.MaxName, &list)(raw)
			for _, text := range list {
				g.Permissions = append(g.Permissions, delivery.Permission(text))
			}
			return err
		},
		"integrations": web.TextsField("integrations", delivery.MaxName, &g.Integrations),
		"labels":       web.TextMapField("labels", &g.Labels),
	}
}

// grantsField takes a list of grants.
func grantsField(into *delivery.Grants) web.Field {
	return web.ListField("grants", MaxGrants, func(raw json.RawMessage) error {
		var g delivery.Grant
		if err := web.DecodeObject(raw, grantFields(&g)); err != nil {
			return err
		}
		*into = append(*into, g)
		return nil
	})
}

// MaxGrants is how many a new token may have.
const MaxGrants = 50
