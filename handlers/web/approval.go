package web

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/views"
)

// ApprovalJSON is a request for approval as the API shows it.
type ApprovalJSON struct {
	ID           string                 `json:"id"`
	State        delivery.ApprovalState `json:"state"`
	Kind         delivery.ApprovalKind  `json:"kind"`
	Action       string                 `json:"action"`
	Target       string                 `json:"target"`
	Actor        string                 `json:"actor"`
	ActorID      string                 `json:"actor_id"`
	Reason       string                 `json:"reason"`
	Rules        []delivery.Rule        `json:"rules"`
	Integrations []string               `json:"integrations"`
	Items        int                    `json:"items"`
	Hash         string                 `json:"hash"`
	CreatedAt    *time.Time             `json:"created_at"`
	ExpiresAt    *time.Time             `json:"expires_at"`
	DecidedAt    *time.Time             `json:"decided_at"`
	DecidedBy    *string                `json:"decided_by"`
	DecidedByID  *string                `json:"decided_by_id"`
	Comment      *string                `json:"comment"`
	VoidBecause  *string                `json:"void_because"`
	Result       *string                `json:"result"`
}

// ApprovalJSONOf is how a request is shown; what it says of itself is English.
func ApprovalJSONOf(a delivery.Approval) ApprovalJSON {
	out := ApprovalJSON{
		ID:           a.ID,
		State:        a.State,
		Kind:         a.Kind,
		Action:       a.Action,
		Target:       a.Target,
		Actor:        a.Actor,
		ActorID:      a.ActorID,
		Reason:       a.Reason,
		Rules:        a.Rules,
		Integrations: a.Integrations,
		Items:        a.Count,
		Hash:         a.Hash,
		CreatedAt:    Utc(&a.CreatedAt),
		ExpiresAt:    Utc(&a.ExpiresAt),
		DecidedAt:    Utc(a.DecidedAt),
		DecidedBy:    given(a.Decider),
		DecidedByID:  given(a.DeciderID),
		Comment:      given(a.Comment),
		Result:       given(a.Result),
	}
	if !a.Void.IsZero() {
		why := English(a.Void)
		out.VoidBecause = &why
	}
	return out
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// answerAsked tells whoever wanted to act that another person is asked: a program gets the request, a person its page.
func (s *Core) answerAsked(c echo.Context, asked *delivery.AskedError) error {
	a := asked.Approval
	if wantsJSON(c.Request()) {
		c.Response().Header().Set(echo.HeaderLocation, "/api/v1/approvals/"+a.ID)
		return c.JSON(http.StatusAccepted, map[string]ApprovalJSON{"approval": ApprovalJSONOf(a)})
	}
	s.SetFlash(c, views.Flash{Kind: "good", Text: ReaderOf(c).Say(asked.Phrase())})
	return c.Redirect(http.StatusSeeOther, views.Approval(a.ID))
}

// ParametersOf are the parameters of a request by the names of the public interface, without what is null and without a payload: only
// whether there is one. Nil where they are not kept any more.
func ParametersOf(a delivery.Approval) json.RawMessage {
	p := delivery.ParametersOf(a)
	if p == nil {
		return nil
	}
	raw, _ := json.Marshal(p) // texts, numbers and times
	return raw
}
