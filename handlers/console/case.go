package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// caseRoutes adds the forms about what people keep about a failure.
func (s *Console) caseRoutes() {
	for _, what := range []string{"acknowledge", "unacknowledge", "assign", "fields"} {
		s.post(views.Failures+"/:id/case/"+what, s.changeCase(what), delivery.PermitTriage)
	}
	s.post(views.Failures+"/:id/case/note", s.writeNote, delivery.PermitTriage)
	s.get(views.Failures+"/:id/case/:what", s.backToFailure, delivery.PermitView)
}

// people are the names that can be given a case.
func (s *Console) people(c echo.Context) ([]string, error) {
	if !web.Who(c).Rights.May(delivery.PermitTriage) {
		return nil, nil
	}
	operators, err := s.store.Operators(c.Request().Context())
	var names []string
	for _, o := range operators {
		if o.DisabledAt == nil {
			names = append(names, o.Name)
		}
	}
	return names, err
}

// ticketURL is where a ticket can be read; empty when nobody has said how to get there.
func (s *Console) ticketURL(ticket string) string {
	if ticket == "" || s.Config.TicketURL == "" {
		return ""
	}
	return strings.ReplaceAll(s.Config.TicketURL, "{ticket}", url.PathEscape(ticket))
}

// changeCase changes what people keep about a failure.
func (s *Console) changeCase(what string) echo.HandlerFunc {
	return func(c echo.Context) error {
		form := views.CaseForm{
			What:     what,
			Assignee: c.FormValue("assignee"),
			Tags:     c.FormValue("tags"),
			Ticket:   c.FormValue("ticket"),
		}
		if !delivery.IsUUID(c.Param("id")) {
			return delivery.ErrNotFound
		}
		var d delivery.Delivery
		change, err := caseChange(c, form)
		if err == nil {
			d, err = s.store.ChangeCase(c.Request().Context(), change)
		}
		if err != nil {
			return s.refusedCase(c, form, err)
		}
		s.SetFlash(c, onceOnly(c, d, good(c, "done.case."+what)))
		return c.Redirect(http.StatusSeeOther, views.FailureFrom(change.ID, backTo(c)))
	}
}

// caseChange reads a form about a case.
func caseChange(c echo.Context, form views.CaseForm) (delivery.CaseChange, error) {
	change := delivery.CaseChange{
		ID:      c.Param("id"),
		Version: parseVersion(c.FormValue("version")),
		Actor:   web.Who(c).ID,
		Token:   c.FormValue("token"),
	}
	if change.Version < 0 {
		return change, web.Unprocessable("version_required", "version")
	}
	yes := form.What == "acknowledge"
	switch form.What {
	case "acknowledge", "unacknowledge":
		change.Acknowledge = &yes
	case "assign":
		change.Assignee = &change.Actor
	default:
		tags := []string{}
		for _, tag := range strings.FieldsFunc(form.Tags, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
			tags = append(tags, strings.TrimSpace(tag))
		}
		change.Assignee, change.Ticket, change.Tags = &form.Assignee, &form.Ticket, &tags
	}
	return change, nil
}

// refusedCase shows the failure again, with what was typed and why it was not taken.
func (s *Console) refusedCase(c echo.Context, form views.CaseForm, err error) error {
	var conflict *delivery.CaseConflictError
	status := http.StatusConflict
	if errors.As(err, &conflict) {
		form.Conflict, form.Problem = true, web.Say(c, delivery.Say("case.changed", "actor", conflict.By))
	} else {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		form.Field, form.Problem, status = p.Field, web.Say(c, p.Says), p.Status
	}
	page, err := s.deliveryPage(c)
	if err != nil {
		return err
	}
	page.Case = form
	return web.Render(c, status, views.DeliveryView(page))
}

// writeNote keeps a note about a failure.
func (s *Console) writeNote(c echo.Context) error {
	id, form := c.Param("id"), views.CaseForm{What: "note", Note: c.FormValue("note")}
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	text := strings.TrimSpace(strings.ReplaceAll(form.Note, "\r\n", "\n"))
	var d delivery.Delivery
	var err error
	switch {
	case text == "":
		err = web.Unprocessable("note_required", "note")
	case utf8.RuneCountInString(text) > delivery.MaxNote:
		err = web.Unprocessable("too_long.note", "note", "max", delivery.MaxNote)
	default:
		d, err = s.store.AddNote(c.Request().Context(), id, web.Who(c).ID, text, c.FormValue("token"))
	}
	if err != nil {
		return s.refusedCase(c, form, err)
	}
	s.SetFlash(c, onceOnly(c, d, good(c, "done.note")))
	return c.Redirect(http.StatusSeeOther, views.FailureFrom(id, backTo(c)))
}
