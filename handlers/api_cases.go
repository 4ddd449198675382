package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// caseJSON is what people keep about a failure. Version 0: nobody has kept anything.
type caseJSON struct {
	Version        int        `json:"version"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	Assignee       string     `json:"assignee"`
	Tags           []string   `json:"tags"`
	Ticket         string     `json:"ticket"`
}

func caseJSONOf(k delivery.Case) caseJSON {
	return caseJSON{Version: k.Version, AcknowledgedAt: utc(k.AcknowledgedAt), AcknowledgedBy: k.AcknowledgedBy, Assignee: k.Assignee,
		Tags: append([]string{}, k.Tags...), Ticket: k.Ticket}
}

type noteJSON struct {
	ID     string     `json:"id"`
	At     *time.Time `json:"at"`
	Author string     `json:"author"`
	Text   string     `json:"text"`
}

func noteJSONOf(n delivery.Note) noteJSON {
	return noteJSON{ID: n.ID, At: utc(&n.At), Author: n.Author, Text: n.Text}
}

// editJSON is one version of what is sent, shown as far as people may see it.
type editJSON struct {
	Number        int               `json:"number"`
	Actor         string            `json:"actor"`
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

// editJSONOf answers the hash of the exact bytes, or of what is shown of them: a short secret could be guessed from the former.
func editJSONOf(e delivery.Edit, view payloadView) editJSON {
	out := editJSON{Number: e.Number, Actor: e.Actor, Reason: e.Reason, CreatedAt: utc(&e.CreatedAt), AfterAttempt: e.AfterAttempt, Headers: view.Headers,
		Masked: view.Masked, Size: e.Size, SHA256: view.SHA256, Omitted: e.Omitted, Dropped: e.Dropped,
		HeaderList: view.listed(), PayloadNull: view.Null}
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
	out.PayloadBase64, out.ShownBase64 = view.encoded()
	return out
}

// patchCase changes what is given; null takes a value away.
func (s *Server) patchCase(c echo.Context) error {
	change := delivery.CaseChange{Version: -1, Actor: who(c).Name}
	return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
		change.ID, change.Token = id, token
		err := decodeObject(body, fields{
			"acknowledged": acknowledgedField(&change.Acknowledge),
			"assignee":     patchField(&change.Assignee, func(into *string) field { return textField("assignee", delivery.MaxType, into) }),
			"ticket":       patchField(&change.Ticket, func(into *string) field { return textField("ticket", delivery.MaxReason, into) }),
			"tags":         patchField(&change.Tags, func(into *[]string) field { return textsField("tags", delivery.MaxType, into) }),
			"reason":       textField("reason", delivery.MaxReason, &change.Reason),
			"version":      caseVersionField(&change.Version),
		})
		if err != nil {
			return delivery.Delivery{}, err
		}
		if change.Acknowledge == nil && change.Assignee == nil && change.Tags == nil && change.Ticket == nil {
			return delivery.Delivery{}, unprocessable("nothing_to_change.case", "acknowledged")
		}
		change.Reason = strings.TrimSpace(change.Reason)
		return s.cfg.Store.ChangeCase(c.Request().Context(), change)
	})
}

func acknowledgedField(into **bool) field {
	return func(raw json.RawMessage) error {
		yes := string(raw) == "true"
		if !yes && string(raw) != "false" {
			return unprocessable("invalid_field.boolean", "acknowledged", "field", "acknowledged")
		}
		*into = &yes
		return nil
	}
}

// caseVersionField takes the version of the case, in which 0 says that nobody has kept anything.
func caseVersionField(into *int) field {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		if json.Unmarshal(raw, into) != nil || *into < 0 {
			return unprocessable("invalid_field.case_version", "version")
		}
		return nil
	}
}

// addNote answers all notes of the failure.
func (s *Server) addNote(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	token, err := requestToken(c)
	if err != nil {
		return err
	}
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	var text string
	if err := decodeObject(body, fields{"text": textField("text", formBodyLimit, &text)}); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.cfg.Store.AddNote(ctx, id, who(c).Name, text, token); err != nil {
		return err
	}
	d, err := s.cfg.Store.Delivery(ctx, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, listOf(delivery.Page[delivery.Note]{Items: d.Notes}, noteJSONOf))
}

// savedViewJSON is a search that is kept under a name.
type savedViewJSON struct {
	ID     string `json:"id"`
	Owner  string `json:"owner"`
	Name   string `json:"name"`
	Search string `json:"search"`
	Shared bool   `json:"shared"`
}

func savedViewJSONOf(v delivery.SavedView) savedViewJSON {
	return savedViewJSON{ID: v.ID, Owner: v.Owner, Name: v.Name, Search: v.Search, Shared: v.Shared}
}

// viewAPI adds the routes of saved views. Whoever looks may keep a view; to share it takes an operator.
func (s *Server) viewAPI(v1 *echo.Group, look echo.MiddlewareFunc) {
	v1.GET("/views", s.listViews, look)
	v1.POST("/views", s.keepView, look)
	v1.DELETE("/views/:id", s.forgetView, look)
}

func (s *Server) listViews(c echo.Context) error {
	if err := onlyParams(c.QueryParams()); err != nil {
		return err
	}
	views, err := s.cfg.Store.SavedViews(c.Request().Context(), who(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.SavedView]{Items: views}, savedViewJSONOf))
}

func (s *Server) keepView(c echo.Context) error {
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	view := delivery.SavedView{Owner: who(c).Name}
	if err := decodeObject(body, fields{
		"name":   textField("name", delivery.MaxReason, &view.Name),
		"search": textField("search", delivery.MaxSearch, &view.Search),
		"shared": truthField("shared", &view.Shared),
	}); err != nil {
		return err
	}
	if view.Shared && !who(c).Role.Allows(delivery.RoleOperator) {
		return newProblem(http.StatusForbidden, "forbidden.share", "own", who(c).Role)
	}
	if _, err := delivery.ParseSearch(view.Search, time.Now(), time.UTC); err != nil {
		return err
	}
	saved, err := s.cfg.Store.SaveView(c.Request().Context(), view)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, savedViewJSONOf(saved))
}

func (s *Server) forgetView(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Store.DeleteView(c.Request().Context(), id, who(c).Name, who(c).Role.Allows(delivery.RoleAdmin)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
