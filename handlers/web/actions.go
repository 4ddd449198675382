package web

import (
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

// CheckAction says what a decision lacks; the console's forms go through it as well.
func CheckAction(a *delivery.ActionRequest, now time.Time) error {
	a.Reason, a.Evidence = strings.TrimSpace(a.Reason), strings.TrimSpace(a.Evidence)
	given := map[string]string{
		delivery.FieldReason:   a.Reason,
		delivery.FieldCategory: a.Category,
		delivery.FieldEvidence: a.Evidence,
	}
	switch missing := a.Action.Row().Missing(given); {
	case missing == delivery.FieldReason:
		return Unprocessable("reason_required.decision", "reason")
	case missing == delivery.FieldCategory:
		return Unprocessable("category_required.form", "category", "categories", delivery.IgnoreCategories)
	case missing != "":
		return Unprocessable(missing+"_required", missing)
	case a.Category != "" && !delivery.IsCategory(a.Category):
		return Unprocessable("invalid_category", "category", "categories", delivery.IgnoreCategories)
	}
	return CheckEnd(a.End, now)
}

// CheckEnd says what is wrong with when something ignored comes back.
func CheckEnd(e delivery.End, now time.Time) error {
	if e.Until != nil && !e.Until.After(now) {
		return Unprocessable("invalid_until", "until")
	}
	return e.Check()
}

// EndFields are the members that name an end, one of four.
func EndFields(e *delivery.End) Fields {
	return Fields{
		delivery.FieldUntil:   TimeField(delivery.FieldUntil, &e.Until),
		delivery.FieldCount:   WholeField(delivery.FieldCount, &e.Count),
		delivery.FieldGrows:   NumberField(delivery.FieldGrows, &e.Grows),
		delivery.FieldForGood: TruthField(delivery.FieldForGood, &e.ForGood),
	}
}

// CheckSchema says what of an edited payload does not fit the integration's schema, if it has one; nil is a payload that stays. Hidden values
// that were left alone are not looked at: whether they fit is for nobody to learn.
func (s *Core) CheckSchema(integration string, r delivery.EditRequest) error {
	check, has := s.Config.Schemas[integration]
	if !has || r.Payload == nil && !r.PayloadNull {
		return nil
	}
	typed := r.Payload // of none it is what it says of an empty one
	if r.Typed != nil {
		typed = r.Typed
	}
	wrong := check(typed)
	if len(wrong) == 0 {
		return nil
	}
	p := Unprocessable("schema_violation", "payload", "integration", integration, "violations", strings.Join(wrong, "; "))
	p.Violations = wrong
	return p
}

// FindOperation returns the operation that the address names, or delivery.ErrNotFound.
func (s *Core) FindOperation(c echo.Context) (delivery.Operation, error) {
	if !delivery.IsUUID(c.Param("id")) {
		return delivery.Operation{}, delivery.ErrNotFound
	}
	return s.store.Operation(c.Request().Context(), c.Param("id"))
}

// RequestSnapshot is of everything that an integration reads where no table is named.
func (s *Core) RequestSnapshot(c echo.Context, name, table, reason string) error {
	if table == "" {
		return s.store.RequestResnapshot(c.Request().Context(), name, Who(c).ID, reason)
	}
	return s.store.RequestTable(c.Request().Context(), name, table, Who(c).ID, reason)
}

// BatchNamed returns the integration of that name, if it is a batch.
func (s *Core) BatchNamed(name string) (delivery.Integration, bool) {
	i := s.Named(name)
	return i, i.Method == delivery.MethodBatch
}

// Named is what the file says of an integration; of one that left it, nothing.
func (s *Core) Named(name string) delivery.Integration {
	for _, i := range s.Config.Integrations {
		if i.Name == name {
			return i
		}
	}
	return delivery.Integration{}
}

// hidesFiles reports whether something is masked in the files of an integration that a request may not reveal.
func (s *Core) hidesFiles(c echo.Context, integration string) bool {
	return s.Masks.For(delivery.Message{}, integration).Hides() && !MayAll(c, []string{integration}, delivery.PermitReveal)
}

// SeenFile is a file as a request may see it.
func (s *Core) SeenFile(c echo.Context, f delivery.StoredFile) delivery.StoredFile {
	if s.hidesFiles(c, f.Integration) {
		f.BatchFile = f.WithoutDigests()
	}
	return f
}

// FileContent hands out the stored bytes of a file and writes down who took them.
func (s *Core) FileContent(c echo.Context) error {
	id, err := UuidParam(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	f, err := s.store.File(ctx, id)
	if err != nil {
		return err
	}
	if s.hidesFiles(c, f.Integration) {
		return NewProblem(http.StatusForbidden, "masked.file")
	}
	content, err := s.store.OpenFile(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return NewProblem(http.StatusNotFound, "not_kept")
	}
	if err != nil {
		return err
	}
	defer content.Close()
	if err := s.Record(c, Who(c).ID, "batch.file-read", "message", f.ID); err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	header.Set(echo.HeaderContentLength, strconv.FormatInt(f.Bytes, 10))
	header.Set(echo.HeaderContentType, echo.MIMEOctetStream)
	c.Response().WriteHeader(http.StatusOK)
	_, err = io.Copy(c.Response(), content)
	return err
}

// MaxTable is more than two names of Postgres and a dot have.
const MaxTable = 255
