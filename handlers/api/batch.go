package api

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

var runParams = []string{"after", "limit"}

// RunJSON is one run of a batch.
type RunJSON struct {
	ID           string                `json:"id"`
	Integration  string                `json:"integration"`
	BusinessDate *string               `json:"business_date"`
	ScheduledAt  *time.Time            `json:"scheduled_at"`
	Trigger      delivery.BatchTrigger `json:"trigger"`
	RequestedBy  string                `json:"requested_by"`
	RequestedID  string                `json:"requested_by_id"`
	Reason       string                `json:"reason"`
	State        delivery.RunState     `json:"state"`
	Attempts     int                   `json:"attempts"`
	Rows         int64                 `json:"rows"`
	Error        string                `json:"error"`
	CreatedAt    *time.Time            `json:"created_at"`
	StartedAt    *time.Time            `json:"started_at"`
	FinishedAt   *time.Time            `json:"finished_at"`
	DeliveryID   *string               `json:"delivery_id"`
	File         *FileJSON             `json:"file"`
}

// FileJSON is a stored file with what became of it.
type FileJSON struct {
	ID              string          `json:"id"`
	Name            string          `json:"name"`
	Integration     string          `json:"integration"`
	BusinessDate    string          `json:"business_date"`
	Sequence        int64           `json:"sequence"`
	Rows            int64           `json:"rows"`
	Bytes           int64           `json:"bytes"`
	SHA256          string          `json:"sha256"`
	ControlTotal    *string         `json:"control_total"`
	PreviousSHA256  *string         `json:"previous_sha256"`
	CorrectionOf    *int64          `json:"correction_of"`
	CreatedAt       *time.Time      `json:"created_at"`
	DeliveryID      *string         `json:"delivery_id"`
	State           *delivery.State `json:"state"`
	Acknowledgement *string         `json:"acknowledgement"`
	AcknowledgedAt  *time.Time      `json:"acknowledged_at"`
}

// known is nil for the zero value, which JSON shows as null.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (s *API) runJSON(c echo.Context, r delivery.BatchRun) RunJSON {
	out := RunJSON{
		ID:           r.ID,
		Integration:  r.Integration,
		BusinessDate: known(r.BusinessDate),
		ScheduledAt:  web.Utc(&r.ScheduledAt),
		Trigger:      r.Trigger,
		RequestedBy:  r.RequestedBy,
		RequestedID:  r.RequestedID,
		Reason:       cmp.Or(r.Reason, web.English(r.Because)),
		State:        r.State,
		Attempts:     r.Attempts,
		Rows:         r.Rows,
		Error:        web.English(r.Error),
		CreatedAt:    web.Utc(&r.CreatedAt),
		StartedAt:    web.Utc(r.StartedAt),
		FinishedAt:   web.Utc(r.FinishedAt),
		DeliveryID:   known(r.DeliveryID),
	}
	if r.File != nil {
		file := fileJSONOf(s.SeenFile(c, *r.File))
		out.File = &file
	}
	return out
}

func fileJSONOf(f delivery.StoredFile) FileJSON {
	return FileJSON{
		ID:              f.ID,
		Name:            f.Name,
		Integration:     f.Integration,
		BusinessDate:    f.BusinessDate,
		Sequence:        f.Sequence,
		Rows:            f.Rows,
		Bytes:           f.Bytes,
		SHA256:          f.SHA256,
		ControlTotal:    known(f.Control),
		PreviousSHA256:  known(f.Previous),
		CorrectionOf:    known(f.CorrectionOf),
		CreatedAt:       web.Utc(&f.CreatedAt),
		DeliveryID:      known(f.DeliveryID),
		State:           known(f.State),
		Acknowledgement: known(f.Acknowledgement),
		AcknowledgedAt:  web.Utc(f.AcknowledgedAt),
	}
}

// requestRun asks for a run of a batch, of now or of a business date.
func (s *API) requestRun(c echo.Context) error {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return err
	}
	var date, reason string
	err = web.DecodeObject(body, web.Fields{"business_date": web.TextField("business_date", len(time.DateOnly), &date),
		"reason": web.TextField("reason", delivery.MaxReason, &reason)})
	if err != nil {
		return err
	}
	name := c.Param("name")
	if !delivery.IsName(name) {
		return delivery.ErrNotFound
	}
	run, err := s.store.RequestRun(c.Request().Context(), name, date, web.Who(c).ID, reason)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, s.runJSON(c, run))
}

func (s *API) listRuns(c echo.Context) error {
	q, name := c.QueryParams(), c.Param("name")
	if err := web.OnlyParams(q, runParams...); err != nil {
		return err
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > delivery.MaxPage {
			return web.BadParameter("invalid_parameter.page", "limit", "max", delivery.MaxPage)
		}
	}
	if _, ok := s.BatchNamed(name); !ok {
		return delivery.ErrNotFound
	}
	page, err := s.store.Runs(c.Request().Context(), name, q.Get("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, func(r delivery.BatchRun) RunJSON { return s.runJSON(c, r) }))
}

func (s *API) showFile(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	f, err := s.store.File(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, fileJSONOf(s.SeenFile(c, f)))
}
