package handlers

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

var runParams = []string{"after", "limit"}

// runJSON is one run of a batch.
type runJSON struct {
	ID           string                `json:"id"`
	Integration  string                `json:"integration"`
	BusinessDate *string               `json:"business_date"`
	ScheduledAt  *time.Time            `json:"scheduled_at"`
	Trigger      delivery.BatchTrigger `json:"trigger"`
	RequestedBy  string                `json:"requested_by"`
	Reason       string                `json:"reason"`
	State        delivery.RunState     `json:"state"`
	Attempts     int                   `json:"attempts"`
	Rows         int64                 `json:"rows"`
	Error        string                `json:"error"`
	CreatedAt    *time.Time            `json:"created_at"`
	StartedAt    *time.Time            `json:"started_at"`
	FinishedAt   *time.Time            `json:"finished_at"`
	DeliveryID   *string               `json:"delivery_id"`
	File         *fileJSON             `json:"file"`
}

// fileJSON is a stored file with what became of it.
type fileJSON struct {
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

func runJSONOf(r delivery.BatchRun) runJSON {
	out := runJSON{ID: r.ID, Integration: r.Integration, BusinessDate: known(r.BusinessDate), ScheduledAt: utc(&r.ScheduledAt), Trigger: r.Trigger,
		RequestedBy: r.RequestedBy, Reason: cmp.Or(r.Reason, english(r.Because)), State: r.State, Attempts: r.Attempts, Rows: r.Rows, Error: r.Error,
		CreatedAt: utc(&r.CreatedAt), StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
		DeliveryID: known(r.DeliveryID)}
	if r.File != nil {
		file := fileJSONOf(*r.File)
		out.File = &file
	}
	return out
}

func fileJSONOf(f delivery.StoredFile) fileJSON {
	return fileJSON{ID: f.ID, Name: f.Name, Integration: f.Integration, BusinessDate: f.BusinessDate, Sequence: f.Sequence, Rows: f.Rows, Bytes: f.Bytes,
		SHA256: f.SHA256, ControlTotal: known(f.Control), PreviousSHA256: known(f.Previous), CorrectionOf: known(f.CorrectionOf), CreatedAt: utc(&f.CreatedAt),
		DeliveryID: known(f.DeliveryID), State: known(f.State), Acknowledgement: known(f.Acknowledgement), AcknowledgedAt: utc(f.AcknowledgedAt)}
}

// requestRun asks for a run of a batch, of now or of a business date.
func (s *Server) requestRun(c echo.Context) error {
	body, err := readJSONBody(c.Request())
	if err != nil {
		return err
	}
	var date, reason string
	if err := decodeObject(body, fields{"business_date": textField("business_date", len(time.DateOnly), &date),
		"reason": textField("reason", delivery.MaxReason, &reason)}); err != nil {
		return err
	}
	name := c.Param("name")
	if !delivery.IsName(name) {
		return delivery.ErrNotFound
	}
	run, err := s.cfg.Store.RequestRun(c.Request().Context(), name, date, who(c).Name, reason)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, runJSONOf(run))
}

func (s *Server) listRuns(c echo.Context) error {
	q, name := c.QueryParams(), c.Param("name")
	if err := onlyParams(q, runParams...); err != nil {
		return err
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > delivery.MaxPage {
			return badParameter("invalid_parameter.page", "limit", "max", delivery.MaxPage)
		}
	}
	if _, ok := s.batchNamed(name); !ok {
		return delivery.ErrNotFound
	}
	page, err := s.cfg.Store.Runs(c.Request().Context(), name, q.Get("after"), limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, runJSONOf))
}

// batchNamed answers the integration of that name, if it is a batch.
func (s *Server) batchNamed(name string) (delivery.Integration, bool) {
	for _, i := range s.cfg.Integrations {
		if i.Name == name {
			return i, i.Method == delivery.MethodBatch
		}
	}
	return delivery.Integration{}, false
}

func (s *Server) showFile(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	f, err := s.cfg.Store.File(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, fileJSONOf(f))
}

// fileContent hands out the stored bytes of a file and writes down who took them.
func (s *Server) fileContent(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	f, err := s.cfg.Store.File(ctx, id)
	if err != nil {
		return err
	}
	if s.masks.For(delivery.Message{}, f.Integration).Hides() && !who(c).Role.Allows(delivery.RoleAdmin) {
		return newProblem(http.StatusForbidden, "masked.file")
	}
	content, err := s.cfg.Store.OpenFile(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return newProblem(http.StatusNotFound, "not_kept")
	}
	if err != nil {
		return err
	}
	defer content.Close()
	if err := s.record(c, who(c).Name, "batch.file-read", "message", f.ID); err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	header.Set("Cache-Control", "no-store")
	header.Set(echo.HeaderContentLength, strconv.FormatInt(f.Bytes, 10))
	header.Set(echo.HeaderContentType, echo.MIMEOctetStream)
	c.Response().WriteHeader(http.StatusOK)
	_, err = io.Copy(c.Response(), content)
	return err
}
