package api

import (
	_ "embed"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
	"redrive/handlers/web"
)

//go:embed openapi.json
var OpenAPI []byte

// Routes is the public interface; openapi.json describes each route, which a test checks.
func (s *API) Routes() {
	s.Route(http.MethodGet, "/api/openapi.json", web.Open,
		func(c echo.Context) error { return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, OpenAPI) })
	s.post("/messages", s.acceptMessage, delivery.PermitSend)
	s.get("/messages/:id", s.showMessage, delivery.PermitView)
	s.get("/deliveries/:id", s.showDelivery, delivery.PermitView)
	s.post("/deliveries/:id/reveal", s.revealField, delivery.PermitViewPayload, delivery.PermitReveal)
	s.get("/failures", s.listFailures, delivery.PermitView)
	for _, d := range delivery.Decisions.Alone() {
		s.post("/failures/:id/"+string(d.Action), s.actOnFailure(d.Action), d.Needs)
	}
	s.get("/failures/count", s.countFailures, delivery.PermitView)
	s.post("/failures/:id/edit", s.editFailure, delivery.PermitEdit)
	s.post("/failures/:id/redirect", s.redirectFailure, delivery.PermitRedirect)
	s.route(http.MethodPatch, "/failures/:id/case", web.Permit(delivery.PermitTriage), s.patchCase)
	s.post("/failures/:id/notes", s.addNote, delivery.PermitTriage)
	s.viewRoutes()
	s.get("/groups", s.listGroups, delivery.PermitView)
	s.get("/groups/:id", s.showGroup, delivery.PermitView)
	s.operationRoutes()
	s.approvalRoutes()
	s.ignoreRuleRoutes()
	s.get("/integrations", s.listIntegrations, delivery.PermitView)
	s.post("/integrations/:name/pause", s.setPaused(true), delivery.PermitPause)
	s.post("/integrations/:name/resnapshot", s.resnapshot, delivery.PermitResend)
	s.post("/integrations/:name/resume", s.setPaused(false), delivery.PermitPause)
	s.post("/integrations/:name/runs", s.requestRun, delivery.PermitResend)
	s.get("/integrations/:name/runs", s.listRuns, delivery.PermitView)
	s.secretRoutes()
	s.peopleRoutes()
	s.tokenRoutes()
	s.get("/files/:id", s.showFile, delivery.PermitView)
	s.route(http.MethodGet, "/files/:id/content", web.TakesBytes, s.FileContent)
	s.get("/audit", s.listAudit, delivery.PermitAudit)
	s.get("/audit/head", s.auditHead, delivery.PermitAudit)
	s.get("/audit/checkpoint", s.auditCheckpoint, delivery.PermitAudit)
	s.get("/audit/:id/proof", s.auditProof, delivery.PermitAudit)
}

func (s *API) route(method, path string, access web.Access, h echo.HandlerFunc) {
	s.Route(method, "/api/v1"+path, access, h)
}

func (s *API) get(path string, h echo.HandlerFunc, needs ...delivery.Permission) {
	s.route(http.MethodGet, path, web.Permit(needs...), h)
}

func (s *API) post(path string, h echo.HandlerFunc, needs ...delivery.Permission) {
	s.route(http.MethodPost, path, web.Permit(needs...), h)
}

// List is the answer of everything that has pages.
type List[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func listOf[T, R any](page delivery.Page[T], show func(T) R) List[R] {
	out := List[R]{Items: make([]R, 0, len(page.Items))}
	for _, item := range page.Items {
		out.Items = append(out.Items, show(item))
	}
	if page.Next != "" {
		out.Next = &page.Next
	}
	return out
}

func (s *API) listFailures(c echo.Context) error {
	f, err := web.FailureFilter(c.QueryParams(), web.FailureParams)
	if err != nil {
		return err
	}
	page, err := s.store.Failures(c.Request().Context(), web.Mine(c, f))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, s.deliveryJSON))
}

func (s *API) showDelivery(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	d, err := s.store.Delivery(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.detailJSON(d))
}

func (s *API) showMessage(c echo.Context) error {
	id, err := web.UuidParam(c)
	if err != nil {
		return err
	}
	m, deliveries, err := s.store.Message(c.Request().Context(), id)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(deliveries))
	for _, d := range deliveries {
		names = append(names, d.Integration)
	}
	shown := MessageWithDeliveries{messageJSON: messageJSONOf(m, s.Reveal(m, names...)), Deliveries: []DeliveryJSON{}}
	for _, d := range deliveries {
		shown.Deliveries = append(shown.Deliveries, s.deliveryJSON(d))
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *API) actOnFailure(action delivery.Action) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
			request, err := ParseAction(action, body, time.Now())
			if err != nil {
				return delivery.Delivery{}, err
			}
			request.ID, request.Actor, request.Token = id, web.Who(c).ID, token
			return s.store.Act(c.Request().Context(), request)
		})
	}
}

// countFailures counts what a list would show, up to a bound.
func (s *API) countFailures(c echo.Context) error {
	f, err := web.FailureFilter(c.QueryParams(), operationParams)
	if err != nil {
		return err
	}
	n, capped, err := s.store.CountFailures(c.Request().Context(), web.Mine(c, f), countedFailures)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, CountJSON{Count: n, Capped: capped})
}

// countedFailures is how far is counted; more is said to be more.
const countedFailures = 1_000_000

func (s *API) listIntegrations(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	health, err := s.Health(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.IntegrationHealth]{Items: health}, s.integrationJSON(time.Now())))
}

func (s *API) setPaused(paused bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		reason, until, err := readPause(c, paused)
		if err != nil {
			return err
		}
		ctx, name, who := c.Request().Context(), c.Param("name"), web.Who(c).ID
		switch {
		case !delivery.IsName(name):
			return delivery.ErrNotFound
		case until != nil:
			err = s.store.PauseUntil(ctx, name, who, reason, *until)
		default:
			err = s.store.SetPaused(ctx, name, paused, who, reason)
		}
		if err != nil {
			return err
		}
		if !paused {
			s.Config.Wake()
		}
		return s.showIntegration(c, name)
	}
}

// readPause reads a body that may give a reason and, for a pause, its end.
func readPause(c echo.Context, paused bool) (reason string, until *time.Time, err error) {
	if !paused {
		reason, err = readReason(c)
		return reason, nil, err
	}
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{"reason": web.TextField("reason", delivery.MaxReason, &reason),
			"until": web.TimeField("until", &until)})
	}
	return reason, until, err
}

// readReason reads a body that may give a reason and nothing else.
func readReason(c echo.Context) (reason string, err error) {
	body, err := web.ReadJSONBody(c.Request())
	if err != nil {
		return "", err
	}
	err = web.DecodeObject(body, web.Fields{"reason": web.TextField("reason", delivery.MaxReason, &reason)})
	return reason, err
}

func (s *API) resnapshot(c echo.Context) error {
	var reason, table string
	body, err := web.ReadJSONBody(c.Request())
	if err == nil {
		err = web.DecodeObject(body, web.Fields{
			"reason": web.TextField("reason", delivery.MaxReason, &reason),
			"table":  web.TextField("table", web.MaxTable, &table),
		})
	}
	if err != nil {
		return err
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return web.Unprocessable("reason_required.resnapshot", "reason")
	}
	name := c.Param("name")
	if !delivery.IsName(name) {
		return delivery.ErrNotFound
	}
	if err := s.RequestSnapshot(c, name, table, reason); err != nil {
		return err
	}
	return s.showIntegration(c, name)
}

func (s *API) showIntegration(c echo.Context, name string) error {
	health, err := s.Health(c.Request().Context())
	if err != nil {
		return err
	}
	for _, h := range health {
		if h.Name == name {
			return c.JSON(http.StatusOK, s.integrationJSON(time.Now())(h))
		}
	}
	return delivery.ErrNotFound
}

func (s *API) listAudit(c echo.Context) error {
	f, err := web.AuditFilter(c.QueryParams())
	if err == nil {
		err = s.HashSubject(c.Request().Context(), &f)
	}
	if err != nil {
		return err
	}
	page, err := s.store.Audit(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, auditJSONOf))
}

func (s *API) auditHead(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	head, err := s.store.AuditHead(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, auditJSONOf(head))
}

// auditCheckpoint is the newest signed checkpoint, with the cosignatures of witnesses.
func (s *API) auditCheckpoint(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	signed, err := s.store.LastCheckpoint(c.Request().Context())
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, signed)
}

// auditProof is the proof that an entry is in the log.
func (s *API) auditProof(c echo.Context) error {
	if err := web.OnlyParams(c.QueryParams()); err != nil {
		return err
	}
	seq, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || seq < 1 {
		return delivery.ErrNotFound
	}
	p, err := s.store.Prove(c.Request().Context(), seq)
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, p.String())
}
