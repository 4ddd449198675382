package handlers

import (
	_ "embed"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"redrive/delivery"
)

//go:embed openapi.json
var openAPI []byte

// apiRoutes is the public interface; openapi.json describes each route, which a test checks.
func (s *Server) apiRoutes() {
	s.echo.GET("/api/openapi.json", func(c echo.Context) error { return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, openAPI) })
	look, act := s.require(delivery.RoleViewer), s.require(delivery.RoleOperator)
	v1 := s.echo.Group("/api/v1")
	v1.POST("/messages", s.acceptMessage, act)
	v1.GET("/messages/:id", s.showMessage, look)
	v1.GET("/deliveries/:id", s.showDelivery, look)
	v1.GET("/failures", s.listFailures, look)
	for _, d := range delivery.Decisions.Alone() {
		v1.POST("/failures/:id/"+string(d.Action), s.actOnFailure(d.Action), s.require(d.Role))
	}
	v1.GET("/failures/count", s.countFailures, look)
	v1.POST("/failures/:id/edit", s.editFailure, act)
	v1.POST("/failures/:id/redirect", s.redirectFailure, act)
	v1.PATCH("/failures/:id/case", s.patchCase, act)
	v1.POST("/failures/:id/notes", s.addNote, act)
	s.viewAPI(v1, look)
	v1.GET("/groups", s.listGroups, look)
	v1.GET("/groups/:id", s.showGroup, look)
	s.operationAPI(v1, look, act)
	v1.GET("/integrations", s.listIntegrations, look)
	v1.POST("/integrations/:name/pause", s.setPaused(true), act)
	v1.POST("/integrations/:name/resnapshot", s.resnapshot, act)
	v1.POST("/integrations/:name/resume", s.setPaused(false), act)
	v1.POST("/integrations/:name/runs", s.requestRun, act)
	v1.GET("/integrations/:name/runs", s.listRuns, look)
	v1.GET("/files/:id", s.showFile, look)
	v1.GET("/files/:id/content", s.fileContent, act)
	v1.GET("/audit", s.listAudit, look)
	v1.GET("/audit/head", s.auditHead, look)
}

// list is the answer of everything that has pages.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func listOf[T, R any](page delivery.Page[T], show func(T) R) list[R] {
	out := list[R]{Items: make([]R, 0, len(page.Items))}
	for _, item := range page.Items {
		out.Items = append(out.Items, show(item))
	}
	if page.Next != "" {
		out.Next = &page.Next
	}
	return out
}

// uuidParam answers a path's id in canonical form; what is no UUID names nothing.
func uuidParam(c echo.Context) (string, error) {
	id := strings.ToLower(c.Param("id"))
	if !delivery.IsUUID(id) {
		return "", delivery.ErrNotFound
	}
	return id, nil
}

func (s *Server) listFailures(c echo.Context) error {
	f, err := failureFilter(c.QueryParams(), failureParams)
	if err != nil {
		return err
	}
	page, err := s.cfg.Store.Failures(c.Request().Context(), mine(c, f))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, s.deliveryJSON))
}

func (s *Server) showDelivery(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	d, err := s.cfg.Store.Delivery(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.detailJSON(d))
}

func (s *Server) showMessage(c echo.Context) error {
	id, err := uuidParam(c)
	if err != nil {
		return err
	}
	m, deliveries, err := s.cfg.Store.Message(c.Request().Context(), id)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(deliveries))
	for _, d := range deliveries {
		names = append(names, d.Integration)
	}
	shown := messageWithDeliveries{messageJSON: messageJSONOf(m, s.reveal(m, names...)), Deliveries: []deliveryJSON{}}
	for _, d := range deliveries {
		shown.Deliveries = append(shown.Deliveries, s.deliveryJSON(d))
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) actOnFailure(action delivery.Action) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.changeFailure(c, func(id, token string, body []byte) (delivery.Delivery, error) {
			request, err := parseAction(action, body, time.Now())
			if err != nil {
				return delivery.Delivery{}, err
			}
			request.ID, request.Actor, request.Token = id, who(c).Name, token
			return s.cfg.Store.Act(c.Request().Context(), request)
		})
	}
}

// countFailures counts what a list would show, up to a bound.
func (s *Server) countFailures(c echo.Context) error {
	f, err := failureFilter(c.QueryParams(), operationParams)
	if err != nil {
		return err
	}
	n, capped, err := s.cfg.Store.CountFailures(c.Request().Context(), mine(c, f), countedFailures)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, countJSON{Count: n, Capped: capped})
}

// countedFailures is how far is counted; more is said to be more.
const countedFailures = 1_000_000

func (s *Server) listIntegrations(c echo.Context) error {
	if err := onlyParams(c.QueryParams()); err != nil {
		return err
	}
	health, err := s.health(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(delivery.Page[delivery.IntegrationHealth]{Items: health}, s.integrationJSON(time.Now())))
}

func (s *Server) setPaused(paused bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		reason, err := readReason(c)
		if err != nil {
			return err
		}
		ctx, name := c.Request().Context(), c.Param("name")
		if !delivery.IsName(name) {
			return delivery.ErrNotFound
		}
		if err := s.cfg.Store.SetPaused(ctx, name, paused, who(c).Name, reason); err != nil {
			return err
		}
		if !paused {
			s.cfg.Wake()
		}
		return s.showIntegration(c, name)
	}
}

// readReason reads a body that may give a reason and nothing else.
func readReason(c echo.Context) (reason string, err error) {
	body, err := readJSONBody(c.Request())
	if err != nil {
		return "", err
	}
	err = decodeObject(body, fields{"reason": textField("reason", delivery.MaxReason, &reason)})
	return reason, err
}

func (s *Server) resnapshot(c echo.Context) error {
	var reason, table string
	body, err := readJSONBody(c.Request())
	if err == nil {
		err = decodeObject(body, fields{"reason": textField("reason", delivery.MaxReason, &reason), "table": textField("table", maxTable, &table)})
	}
	if err != nil {
		return err
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return unprocessable("reason_required.resnapshot", "reason")
	}
	name := c.Param("name")
	if !delivery.IsName(name) {
		return delivery.ErrNotFound
	}
	if err := s.requestSnapshot(c, name, table, reason); err != nil {
		return err
	}
	return s.showIntegration(c, name)
}

// maxTable is more than two names of Postgres and a dot have.
const maxTable = 255

// requestSnapshot is of everything that an integration reads where no table is named.
func (s *Server) requestSnapshot(c echo.Context, name, table, reason string) error {
	if table == "" {
		return s.cfg.Store.RequestResnapshot(c.Request().Context(), name, who(c).Name, reason)
	}
	return s.cfg.Store.RequestTable(c.Request().Context(), name, table, who(c).Name, reason)
}

func (s *Server) showIntegration(c echo.Context, name string) error {
	health, err := s.health(c.Request().Context())
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

func (s *Server) listAudit(c echo.Context) error {
	f, err := auditFilter(c.QueryParams())
	if err != nil {
		return err
	}
	page, err := s.cfg.Store.Audit(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, listOf(page, auditJSONOf))
}

func (s *Server) auditHead(c echo.Context) error {
	if err := onlyParams(c.QueryParams()); err != nil {
		return err
	}
	head, err := s.cfg.Store.AuditHead(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, auditJSONOf(head))
}
