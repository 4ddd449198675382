package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

// NoteJSON is a note that somebody wrote.
type NoteJSON struct {
	ID       string     `json:"id"`
	At       *time.Time `json:"at"`
	Author   string     `json:"author"`
	AuthorID string     `json:"author_id"`
	Text     string     `json:"text"`
}

func noteJSONOf(n delivery.Note) NoteJSON {
	return NoteJSON{ID: n.ID, At: web.Utc(&n.At), Author: n.Author, AuthorID: n.AuthorID, Text: n.Text}
}

// editJSON is one version of what is sent, shown as far as people may see it.
type editJSON struct {
	Number        int               `json:"number"`
	Actor         string            `json:"actor"`
	ActorID       string            `json:"actor_id"`
	Reason        string            `json:"reason"`
	CreatedAt     *time.Time        `json:"created_at"`
	AfterAttempt  int               `json:"after_attempt"`
	Headers       map[string]string `json:"headers"`
	HeaderList    []delivery.Field  `json:"header_list,omitempty"`
	Payload       json.RawMessage   `json:"payload,omitempty"`
	PayloadNull   bool              `json:"payload_null,omitempty"`
	PayloadBase64 *string           `json:"payload_base64,omitempty"`
	ShownBase64   *string           `json:"shown_base64,omitempty"`
	Masked        bool              `json:"masked"`
	Size          int               `json:"size"`
	SHA256        string            `json:"sha256,omitempty"`
	Omitted       bool              `json:"omitted,omitempty"`
	Dropped       bool              `json:"dropped,omitempty"`
}

// editJSONOf returns the hash of the exact bytes, or of what is shown of them: a short secret could be guessed from the former.
func editJSONOf(e delivery.Edit, view web.PayloadView) editJSON {
	out := editJSON{
		Number:       e.Number,
		Actor:        e.Actor,
		ActorID:      e.ActorID,
		Reason:       e.Reason,
		CreatedAt:    web.Utc(&e.CreatedAt),
		AfterAttempt: e.AfterAttempt,
		Headers:      view.Headers,
		Masked:       view.Masked,
		Size:         view.Size(e.Size),
		SHA256:       view.SHA256,
		Omitted:      e.Omitted,
		Dropped:      e.Dropped,
		HeaderList:   view.Listed(),
		PayloadNull:  view.Null,
	}
	if e.Omitted || e.Dropped {
		out.SHA256 = ""
		return out
	}
	if view.Masked && view.Shown != nil {
		sum := sha256.Sum256(view.Shown)
		out.SHA256 = hex.EncodeToString(sum[:])
	}
	if view.IsJSON {
		out.Payload = view.Shown
	}
	out.PayloadBase64, out.ShownBase64 = view.Encoded()
	return out
}

// patchCase changes what is given; null takes a value away.
func (s *API) patchCase(c echo.Context) error {
	change := delivery.CaseChange{Version: -1, Actor: web.Who(c).ID}
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		change.ID, change.Token = id, token
		err := web.DecodeObject(body, web.Fields{
			"acknowledged": acknowledgedField(&change.Acknowledge),
			"assignee": web.PatchField(&change.Assignee,
				func(into *string) web.Field { return web.TextField("assignee", delivery.MaxType, into) }),
			"ticket": web.PatchField(&change.Ticket,
				func(into *string) web.Field { return web.TextField("ticket", delivery.MaxReason, into) }),
			"tags": web.PatchField(&change.Tags,
				func(into *[]string) web.Field { return web.TextsField("tags", delivery.MaxType, into) }),
			"reason":  web.TextField("reason", delivery.MaxReason, &change.Reason),
			"version": caseVersionField(&change.Version),
		})
		if err != nil {
			return delivery.Delivery{}, err
		}
		if change.Acknowledge == nil && change.Assignee == nil && change.Tags == nil && change.Ticket == nil {
			return delivery.Delivery{}, web.Unprocessable("nothing_to_change.case", "acknowledged")
		}
		change.Reason = strings.TrimSpace(change.Reason)
		return s.store.ChangeCase(c.Request().Context(), change)
	})
}

func acknowledgedField(into **bool) web.Field {
	return func(raw json.RawMessage) error {
		yes := string(raw) == "true"
		if !yes && string(raw) != "false" {
			return web.Unprocessable("invalid_field.boolean", "acknowledged", "field", "acknowledged")
		}
		*into = &yes
		return nil
	}
}

// caseVersionField takes the version of the case, in which 0 says that nobody has kept anything.
func caseVersionField(into *int) web.Field {
	return func(raw json.RawMessage) error {
		if web.IsNull(raw) {
			return nil
		}
		if json.Unmarshal(raw, into) != nil || *into < 0 {
			return web.Unprocessable("invalid_field.case_version", "version")
		}
		return nil
	}
}

// addNote returns all notes of the failure.
func (s *API) addNote(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	token, err := web.RequestToken(c)
	if err != nil {
		return err
	}
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	var text string
	if err := web.DecodeObject(body, web.Fields{"text": web.TextField("text", web.FormBodyLimit, &text)}); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.store.AddNote(ctx, id, web.Who(c).ID, text, token); err != nil {
		return err
	}
	d, err := s.store.Delivery(ctx, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, listOf(delivery.Page[delivery.Note]{Items: d.Notes}, noteJSONOf))
}

// SavedViewJSON is a search that is kept under a name.
type SavedViewJSON struct {
	ID      string `json:"id"`
	Owner   string `json:"owner"`
	OwnerID string `json:"owner_id"`
	Name    string `json:"name"`
	Search  string `json:"search"`
	Shared  bool   `json:"shared"`
}

func savedViewJSONOf(v delivery.SavedView) SavedViewJSON {
	return SavedViewJSON{ID: v.ID, Owner: v.Owner, OwnerID: v.OwnerID, Name: v.Name, Search: v.Search, Shared: v.Shared}
}

// viewRoutes adds the routes of saved views. Whoever looks may keep a view; to share it takes a permission.
func (s *API) viewRoutes() {
	s.get("/views", s.listViews, delivery.PermitView)
	s.post("/views", s.keepView, delivery.PermitView)
	s.route(http.MethodDelete, "/views/:id", web.Permit(delivery.PermitView), s.forgetView)
}

func (s *API) listViews(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	views, err := s.store.SavedViews(c.Request().Context(), web.Who(c).ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.SavedView]{Items: views}, savedViewJSONOf))
}

func (s *API) keepView(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	view := delivery.SavedView{Owner: web.Who(c).ID}
	if err := web.DecodeObject(body, web.Fields{
		"name":   web.TextField("name", delivery.MaxReason, &view.Name),
		"search": web.TextField("search", delivery.MaxSearch, &view.Search),
		"shared": web.TruthField("shared", &view.Shared),
	}); err != nil {
		return err
	}
	if _, err := delivery.ParseSearch(view.Search, time.Now(), time.UTC); err != nil {
		return err
	}
	saved, err := s.store.SaveView(c.Request().Context(), view)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, savedViewJSONOf(saved))
}

func (s *API) forgetView(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	err = s.store.DeleteView(c.Request().Context(), id, web.Who(c).ID)
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
