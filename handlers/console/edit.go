package console

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
	"redrive/views"
)

// Bounds of what is edited in a browser, and of what is shown of a difference.
const (
	MaxEditable  = 1 << 20   // larger pages take a browser seconds, and the server many times as much memory
	maxEditText  = 2 << 20   // of it laid out; a form takes up to three times as many bytes for it
	maxCompared  = 128 << 10 // of versions that the page of a failure compares each time
	maxDiffLines = 400
	versionDiffs = 10 // the latest versions are shown with what they changed
)

// editRoutes adds the pages that send something else, or elsewhere.
func (s *Console) editRoutes() {
	s.get(web.EditRoute, s.editForm, delivery.PermitEdit)
	s.post(web.EditRoute, s.editByForm, delivery.PermitEdit)
	s.get(views.Failures+"/:id/redirect", s.redirectForm, delivery.PermitRedirect)
	s.post(views.Failures+"/:id/redirect", s.redirectByForm, delivery.PermitRedirect)
	s.Route(http.MethodGet, views.Failures+"/:id/versions/:number/payload", web.TakesBytes, s.versionPayload)
}

// editing is a page that edits, and what it starts from.
type editing struct {
	page  views.EditPage
	sent  delivery.Message // as it is sent now
	seen  web.PayloadView  // what may be seen of that
	paths []string         // masked
	text  string           // of the payload as the form shows it
}

func (s *Console) editing(c echo.Context) (e editing, err error) {
	base, err := s.deliveryPage(c)
	if err != nil {
		return e, err
	}
	e = editing{page: views.EditPage{DeliveryPage: base, Number: nextVersion(base.D)}, sent: base.D.Sent()}
	e.page.Title = base.Say(delivery.Say("title.edit", "type", base.D.Type, "integration", base.D.Integration))
	e.seen = s.RevealVersion(base.D.Message, e.sent, base.D.Integration)
	e.paths = s.Masks.For(e.sent, base.D.Integration).Paths
	if e.page.Fixed = e.page.Say(unseen(e.seen, e.sent.Dropped)); e.page.Fixed == "" {
		e.text, _ = delivery.EditText(e.sent.Payload, e.paths)
		e.page.Typed.Base64 = delivery.EditFormat(e.sent.Payload) == delivery.EditBase64
	}
	if len(e.text) > maxEditText {
		e.page.Fixed, e.text = e.page.Say(delivery.Say(tooLargeHere)), ""
	}
	e.page.Kept = e.sent.Typed()
	for _, h := range headerList(e.seen.Headers) {
		if delivery.ProtectedHeader(h.Name) {
			e.page.Protected = append(e.page.Protected,
				views.ProtectedHeader{Name: h.Name, Value: h.Value, Why: base.Say(delivery.Say("edit.protected"))})
		} else {
			e.page.Typed.Headers = append(e.page.Typed.Headers, h)
		}
	}
	return e, nil
}

func nextVersion(d delivery.Detail) int {
	if n := len(d.Edits); n > 0 {
		return d.Edits[n-1].Number + 1
	}
	return 2
}

const tooLargeHere = "edit.too_large"

// unseen is why a payload cannot be edited or compared here; zero when it can.
func unseen(seen web.PayloadView, dropped bool) (why delivery.Phrase) {
	switch {
	case dropped:
		return delivery.Say("edit.dropped")
	case seen.Masked && seen.Shown == nil:
		return delivery.Say("edit.masked")
	case len(seen.Shown) > MaxEditable:
		return delivery.Say(tooLargeHere)
	}
	return why
}

// editForm is the page to type.
func (s *Console) editForm(c echo.Context) error {
	e, err := s.editing(c)
	if err != nil {
		return err
	}
	e.page.Typed.Payload, e.page.Typed.Token, e.page.Typed.Version = e.text, NewToken(), e.page.D.Version
	e.page.Typed.Null = e.seen.Null
	return web.Render(c, http.StatusOK, views.EditView(e.page))
}

// editByForm shows the difference that was typed, or saves what was shown.
func (s *Console) editByForm(c echo.Context) error {
	e, err := s.editing(c)
	if err != nil {
		return err
	}
	if err := e.read(c); err != nil {
		return err
	}
	if c.FormValue("again") != "" {
		return web.Render(c, http.StatusOK, views.EditView(e.page))
	}
	request, err := e.request(c)
	if err == nil {
		err = s.CheckSchema(e.page.D.Integration, request)
	}
	save := c.FormValue("step") == "save"
	if save && (err == nil || request.Version != e.page.D.Version) { // changed since: the store knows whether by this very form
		return s.saveEdit(c, e, request)
	}
	if err == nil && e.page.Typed.Version != e.page.D.Version {
		err = changedSince(e.page.D)
	}
	if err != nil {
		return s.refusedEdit(c, e, err)
	}
	e.page.Review = s.review(e, request)
	return web.Render(c, http.StatusOK, views.EditView(e.page))
}

// read takes over what was typed.
func (e *editing) read(c echo.Context) error {
	params, err := c.FormParams()
	if err != nil {
		return web.NewProblem(http.StatusBadRequest, "bad_form")
	}
	t := views.EditForm{Payload: UnixLines(params.Get("payload")), Reason: params.Get("reason"), Token: params.Get("token"),
		Version: parseVersion(params.Get("version"))}
	for n, name := range params["header"] {
		if n < len(params["value"]) && strings.TrimSpace(name)+params["value"][n] != "" {
			t.Headers = append(t.Headers, views.Header{Name: strings.TrimSpace(name), Value: params["value"][n]})
		}
	}
	t.Base64, t.Null = e.page.Typed.Base64, params.Get("payload_null") != ""
	e.page.Typed = t
	return nil
}

// UnixLines returns a form's text with the line ends that were shown.
func UnixLines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// request checks what was typed.
func (e *editing) request(c echo.Context) (r delivery.EditRequest, err error) {
	t := e.page.Typed
	r = delivery.EditRequest{
		ID:      e.page.D.ID,
		Version: t.Version,
		Actor:   web.Who(c).ID,
		Reason:  strings.TrimSpace(t.Reason),
		Token:   t.Token,
	}
	if r.Version < 1 || !delivery.IsUUID(r.Token) {
		return r, web.Unprocessable("version_required.edit", "")
	}
	if r.Payload, r.PayloadNull, err = e.payload(); err != nil {
		return r, err
	}
	if r.Payload != nil && len(e.paths) > 0 && delivery.EditFormat(e.sent.Payload) == delivery.EditJSON {
		r.Typed = []byte(UnixLines(t.Payload))
	}
	if r.Headers, err = e.headers(); err != nil {
		return r, err
	}
	switch {
	case r.Payload == nil && !r.PayloadNull && r.Headers == nil:
		return r, web.Unprocessable("unchanged", "")
	case r.Reason == "":
		return r, web.Unprocessable("reason_required.decision", "reason")
	case len(r.Reason) > delivery.MaxReason:
		return r, delivery.CheckReason(r.Reason)
	}
	return r, nil
}

// payload is what was typed as it will be sent: nil when nothing was changed, null when there shall be none.
func (e *editing) payload() (next []byte, null bool, err error) {
	if e.page.Fixed != "" {
		return nil, false, nil
	}
	typed, had := e.page.Typed.Payload, !e.seen.Null
	if e.page.Typed.Null {
		if typed != "" && typed != UnixLines(e.text) {
			return nil, false, web.Unprocessable("payload_ambiguous.form", "payload")
		}
		return nil, had, nil
	}
	next, err = delivery.FromEditText(typed, e.sent.Payload, e.paths)
	switch {
	case err != nil || had && bytes.Equal(next, e.sent.Payload) && (len(e.paths) == 0 || typed == UnixLines(e.text)):
		// where something is masked, what was typed counts: whether it is what is there already is for nobody to learn
		return nil, false, err
	}
	seen, ok := delivery.Masking{Paths: e.paths}.Payload(next) // of what comes back in it not even the length is told
	if !ok {
		seen = next
	}
	if len(seen) > MaxEditable {
		return nil, false, web.Unprocessable("payload_too_large.form", "payload", "max", MaxEditable, "count", len(seen))
	}
	return append([]byte{}, next...), false, nil // not nil, even when it is empty
}

// headers are what was typed, hidden values put back; nil when nothing was changed.
func (e *editing) headers() (map[string]string, error) {
	out, changed := map[string]string{}, false
	for _, h := range e.page.Typed.Headers {
		before, had := e.seen.Headers[h.Name]
		switch _, twice := out[h.Name]; {
		case h.Name == "":
			return nil, web.Unprocessable("invalid_header.unnamed", "headers")
		case twice:
			return nil, web.Unprocessable("invalid_header.row_twice", "headers", "header", h.Name)
		case had && before == h.Value:
			out[h.Name] = e.sent.Headers[h.Name]
		case h.Value == delivery.Hidden:
			return nil, web.Unprocessable("invalid_header.hidden", "headers", "header", h.Name)
		default:
			out[h.Name], changed = h.Value, true
		}
	}
	next, err := delivery.EditHeaders(out, e.sent.Headers)
	if err == nil {
		err = delivery.CheckHeaders(next, e.sent.Headers)
	}
	if err != nil || !changed && len(next) == len(e.sent.Headers) {
		return nil, err
	}
	return next, nil
}

// review is the difference between what is sent now and what would be.
func (s *Console) review(e editing, r delivery.EditRequest) *views.EditReview {
	next := e.sent
	if r.Payload != nil || r.PayloadNull {
		next.Payload = r.Payload
	}
	if r.Headers != nil {
		next.Headers = r.Headers
	}
	seen := s.Reveal(next, e.page.D.Integration)
	for _, h := range e.page.Typed.Headers {
		seen.Headers[h.Name] = h.Value // as it was shown or typed, whatever it repeats
	}
	return &views.EditReview{
		Payload: differ(diffText(e.page.Locale, e.seen), diffText(e.page.Locale, seen)),
		Headers: differ(headerText(e.seen), headerText(seen)),
	}
}

func (s *Console) saveEdit(c echo.Context, e editing, r delivery.EditRequest) error {
	d, err := s.store.Edit(c.Request().Context(), r)
	if err != nil {
		return s.refusedEdit(c, e, err)
	}
	s.Config.Wake()
	done := good(c, "done.edit", "version", d.Edit)
	s.SetFlash(c, onceOnly(c, d, done))
	return c.Redirect(http.StatusSeeOther, views.FailureFrom(r.ID, e.page.Return))
}

// refusedEdit shows the form again, with everything that was typed.
func (s *Console) refusedEdit(c echo.Context, e editing, err error) error {
	if errors.As(err, &e.page.Conflict) {
		e.page.Typed.Version, e.page.Typed.Token = e.page.D.Version, NewToken()
		return web.Render(c, http.StatusConflict, views.EditView(e.page))
	}
	var invalid *delivery.InputError
	if errors.As(err, &invalid) { // of the payload as it was typed, not of the request
		err = web.ProblemSaying(http.StatusUnprocessableEntity, invalid.Code, invalid.Field, invalid.Phrase())
	}
	p, err := web.Mistake(err)
	if err != nil {
		return err
	}
	field, _, _ := strings.Cut(p.Field, ".")
	e.page.Typed.Field, e.page.Typed.Problem = field, e.page.Say(p.Says)
	return web.Render(c, p.Status, views.EditView(e.page))
}

// changedSince says who changed a delivery after it was shown.
func changedSince(d delivery.Detail) *delivery.ConflictError {
	conflict := &delivery.ConflictError{ID: d.ID, State: d.State, Version: d.Version, Actor: delivery.ActorEngine, Action: "attempt"}
	for _, a := range d.Timeline {
		conflict.At = a.StartedAt
	}
	for _, e := range d.History {
		if e.At.After(conflict.At) {
			conflict.Actor, conflict.Action, conflict.At = e.Actor, e.Action, e.At
		}
	}
	return conflict
}

// versions are what was sent over time, each with what it changed.
func (s *Console) versions(l views.Locale, d delivery.Detail) (out []views.Version) {
	var before web.PayloadView
	readable := false
	for n, e := range d.Edits {
		seen := s.RevealVersion(d.Message, web.VersionOf(d.Message, e), d.Integration)
		v := views.Version{Null: e.Null, Number: e.Number, Actor: e.Actor, Reason: e.Reason, At: e.CreatedAt, Size: seen.Size(e.Size)}
		now := !e.Omitted && !e.Dropped && v.Size <= maxCompared
		if !e.Omitted && !e.Dropped {
			v.SHA256 = seen.SHA256
		}
		if now && readable && n >= len(d.Edits)-versionDiffs {
			v.Compared, v.Payload = true, differ(diffText(l, before), diffText(l, seen))
		}
		v.Headers = differ(headerText(before), headerText(seen))
		before, readable = seen, now
		out = append(out, v)
	}
	return out
}

// hider takes the masked values of every version out of texts that may repeat them.
func (s *Console) hider(d delivery.Detail) web.PayloadView {
	view, _ := s.RevealAll(d)
	return view
}

// diffText is what is compared of a payload.
func diffText(l views.Locale, seen web.PayloadView) string {
	if seen.Null {
		return l.Say(delivery.Say("edit.null"))
	}
	if why := unseen(seen, false); !why.IsZero() {
		return l.Say(why)
	}
	text, _ := delivery.EditText(seen.Shown, nil)
	return text
}

func headerText(seen web.PayloadView) string {
	var lines []string
	for _, h := range headerList(seen.Headers) {
		lines = append(lines, h.Name+": "+h.Value)
	}
	return strings.Join(lines, "\n")
}

// versionPayload hands out the exact bytes of one version and writes down who took them.
func (s *Console) versionPayload(c echo.Context) error {
	number, err := strconv.Atoi(c.Param("number"))
	if !delivery.IsUUID(c.Param("id")) || err != nil {
		return delivery.ErrNotFound
	}
	d, err := s.store.Delivery(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	version, err := s.store.EditOf(c.Request().Context(), d.ID, number)
	if err != nil {
		return err
	}
	m := web.VersionOf(d.Message, version)
	return s.handOut(c, m, s.Reveal(m, d.Integration), d.Integration)
}

// redirectForm asks where to.
func (s *Console) redirectForm(c echo.Context) error {
	return s.redirectPage(c, http.StatusOK, views.RedirectPage{})
}

func (s *Console) redirectPage(c echo.Context, status int, page views.RedirectPage) error {
	conflict := page.Conflict
	base, err := s.deliveryPage(c)
	if err != nil {
		return err
	}
	page.DeliveryPage = base
	page.Conflict = conflict
	page.Title = page.Say(delivery.Say("title.redirect", "type", page.D.Type, "integration", page.D.Integration))
	if page.Targets, err = s.store.RedirectTargets(c.Request().Context(), page.D.ID); err != nil {
		return err
	}
	page.About = map[string]views.Target{}
	for _, target := range page.Targets {
		i := s.Named(target)
		page.About[target] = views.Target{Address: i.Destination.Address(), Other: len(i.Subscribe) > 0 && !slices.Contains(i.Subscribe, page.D.Type)}
		if losses := s.Losses(page.D.Sent(), target); len(losses) > 0 {
			page.Lost = append(page.Lost, views.TargetLosses{Name: target, Losses: losses})
		}
	}
	return web.Render(c, status, views.RedirectView(page))
}

// redirectByForm sends a dead letter by another integration.
func (s *Console) redirectByForm(c echo.Context) error {
	id := c.Param("id")
	if !delivery.IsUUID(id) {
		return delivery.ErrNotFound
	}
	page := views.RedirectPage{Integration: c.FormValue("integration"), Reason: c.FormValue("reason")}
	r := delivery.RedirectRequest{
		ID:          id,
		Version:     parseVersion(c.FormValue("version")),
		Actor:       web.Who(c).ID,
		Reason:      strings.TrimSpace(page.Reason),
		Integration: page.Integration,
		Token:       c.FormValue("token"),
	}
	d, err := s.redirect(c, r)
	var conflict *delivery.ConflictError
	if errors.As(err, &conflict) {
		page.Conflict = conflict
		return s.redirectPage(c, http.StatusConflict, page)
	}
	if err != nil {
		p, err := web.Mistake(err)
		if err != nil {
			return err
		}
		page.Field, page.Problem = p.Field, web.Say(c, p.Says)
		return s.redirectPage(c, p.Status, page)
	}
	s.Config.Wake()
	s.SetFlash(c, onceOnly(c, d, good(c, "done.redirect")))
	return c.Redirect(http.StatusSeeOther, views.FailureFrom(id, backTo(c)))
}

func (s *Console) redirect(c echo.Context, r delivery.RedirectRequest) (d delivery.Delivery, err error) {
	switch {
	case r.Version < 1:
		err = web.Unprocessable("version_required.edit", "")
	case r.Integration == "":
		err = web.Unprocessable("integration_required.redirect", "integration")
	case r.Reason == "":
		err = web.Unprocessable("reason_required.decision", "reason")
	case len(r.Reason) > delivery.MaxReason:
		err = delivery.CheckReason(r.Reason)
	default:
		d, err = s.store.Redirect(c.Request().Context(), r)
	}
	return d, err
}
