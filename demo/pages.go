package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"redrive/delivery"
)

const maxForm = 64 << 10

//go:embed pages.html style.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages.html"))

// page is what every page is made of; Rooms, Room or Receivers is its content.
type page struct {
	Title     string
	Nav       []*room
	Rooms     []*room
	Room      *roomPage
	Receivers []state
	Problem   string
}

type roomPage struct {
	*room
	Inputs    []input
	Rows      []row
	MessageID string // of what has just been sent
	Files     []pointsFile
}

type input struct {
	field
	Value, Problem string
}

// Path, Heading, Lead, Button, Done, Receiver and Columns are the room's texts for the template.
func (r *room) Path() string      { return "/demo/" + r.path }
func (r *room) Heading() string   { return r.title }
func (r *room) Lead() string      { return r.lead }
func (r *room) Button() string    { return r.button }
func (r *room) Done() string      { return r.done }
func (r *room) Receiver() string  { return r.receiver }
func (r *room) Columns() []string { return r.columns }
func (r *room) Durable() bool     { return r.send != "" } // its messages are kept whatever becomes of them

func (r *room) Captured() bool { return r.captured }

func (s *Shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo", s.overview)
	mux.HandleFunc("GET /demo/{$}", s.overview)
	mux.HandleFunc("GET /demo/style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "style.css")
	})
	for _, r := range s.rooms {
		mux.HandleFunc("GET "+r.Path(), func(w http.ResponseWriter, req *http.Request) { s.showRoom(w, req, r) })
		mux.HandleFunc("POST "+r.Path(), func(w http.ResponseWriter, req *http.Request) { s.postRoom(w, req, r) })
	}
	mux.HandleFunc("GET /demo/receivers", func(w http.ResponseWriter, _ *http.Request) { s.showReceivers(w, http.StatusOK, "") })
	mux.HandleFunc("GET /demo/receivers/{name}", s.withReceiver(func(w http.ResponseWriter, _ *http.Request, r *receiver) {
		s.json(w, r.state())
	}))
	mux.HandleFunc("POST /demo/receivers/{name}/deliver",
		s.withReceiver(func(w http.ResponseWriter, req *http.Request, r *receiver) {
			r.ServeHTTP(w, req)
		}))
	mux.HandleFunc("PUT /demo/receivers/{name}/knobs", s.withReceiver(s.putKnobs))
	mux.HandleFunc("POST /demo/receivers/{name}/knobs", s.withReceiver(s.postKnobs))
	mux.HandleFunc("POST /demo/receivers/{name}/repair",
		s.withReceiver(func(w http.ResponseWriter, req *http.Request, r *receiver) {
			r.set(Knobs{})
			http.Redirect(w, req, "/demo/receivers#"+r.name, http.StatusSeeOther)
		}))
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *Shop) withReceiver(next func(http.ResponseWriter, *http.Request, *receiver)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		r, ok := s.receivers[req.PathValue("name")]
		if !ok {
			http.Error(w, "no receiver has this name", http.StatusNotFound)
			return
		}
		next(w, req, r)
	}
}

func (s *Shop) overview(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, page{Title: "Demo", Rooms: s.rooms})
}

func (s *Shop) showRoom(w http.ResponseWriter, req *http.Request, r *room) {
	inputs := make([]input, len(r.fields))
	for i, f := range r.fields {
		inputs[i] = input{field: f}
	}
	sent := req.URL.Query().Get("sent")
	if !delivery.IsUUID(sent) && !(r.captured && sent == sentByCapture) {
		sent = ""
	}
	s.renderRoom(w, req, http.StatusOK, page{Room: &roomPage{room: r, Inputs: inputs, MessageID: sent}})
}

func (s *Shop) renderRoom(w http.ResponseWriter, req *http.Request, status int, p page) {
	p.Title = p.Room.title
	rows, err := s.rows(req.Context(), p.Room.room)
	if err != nil {
		s.config.Log.Warn("demo", "error", err)
		status, p.Problem = http.StatusServiceUnavailable, "The database does not answer. Please try again in a moment."
	}
	p.Room.Rows = rows
	if p.Room.sendsFiles {
		p.Room.Files = latestFiles(s.config.Files)
	}
	s.render(w, status, p)
}

func (s *Shop) postRoom(w http.ResponseWriter, req *http.Request, r *room) {
	if !parseForm(w, req) {
		return
	}
	p := page{Room: &roomPage{room: r}}
	var values []string
	status := http.StatusOK
	for _, f := range r.fields {
		typed := req.PostForm.Get(f.Name)
		in := input{field: f, Value: strings.ToValidUTF8(strings.ReplaceAll(typed, "\x00", ""), "�"), Problem: f.check(typed)}
		if in.Problem != "" {
			status = http.StatusUnprocessableEntity
		}
		p.Room.Inputs = append(p.Room.Inputs, in)
		values = append(values, strings.TrimSpace(typed))
	}
	if status != http.StatusOK {
		s.renderRoom(w, req, status, p)
		return
	}
	id, err := s.order(req, r, values)
	if err != nil {
		s.config.Log.Warn("demo", "error", err)
		p.Problem = "Nothing was saved. Please try again in a moment."
		s.renderRoom(w, req, http.StatusServiceUnavailable, p)
		return
	}
	http.Redirect(w, req, r.Path()+"?sent="+id, http.StatusSeeOther)
}

func (s *Shop) order(req *http.Request, r *room, values []string) (string, error) {
	if r.prepare != nil {
		var err error
		if values, err = r.prepare(values); err != nil {
			return "", err
		}
	}
	return s.submit(req.Context(), r, values)
}

// parseForm returns the request itself when its form cannot be read.
func parseForm(w http.ResponseWriter, req *http.Request) bool {
	req.Body = http.MaxBytesReader(w, req.Body, maxForm)
	err := req.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the form is too large", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "the form could not be read", http.StatusBadRequest)
	}
	return err == nil
}

func (s *Shop) putKnobs(w http.ResponseWriter, req *http.Request, r *receiver) {
	k, err := decodeKnobs(http.MaxBytesReader(w, req.Body, maxForm))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := k.check(); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	r.set(k)
	s.json(w, k)
}

func (s *Shop) postKnobs(w http.ResponseWriter, req *http.Request, r *receiver) {
	if !parseForm(w, req) {
		return
	}
	k := Knobs{Hang: req.PostForm.Has("hang"), Outage: req.PostForm.Has("outage"), Refuse: req.PostForm.Has("refuse")}
	for name, target := range map[string]*int{"failure_percent": &k.FailurePercent, "refuse_percent": &k.RefusePercent,
		"drop_percent": &k.DropPercent, "latency_ms": &k.LatencyMS, "retry_after_seconds": &k.RetryAfterSeconds} {
		n, err := strconv.Atoi(req.PostForm.Get(name))
		if err != nil {
			s.showReceivers(w, http.StatusUnprocessableEntity, r.name+": "+name+" must be a whole number.")
			return
		}
		*target = n
	}
	if err := k.check(); err != nil {
		s.showReceivers(w, http.StatusUnprocessableEntity, r.name+": "+err.Error()+".")
		return
	}
	r.set(k)
	http.Redirect(w, req, "/demo/receivers#"+r.name, http.StatusSeeOther)
}

func (s *Shop) showReceivers(w http.ResponseWriter, status int, problem string) {
	p := page{Title: "Receivers", Problem: problem}
	for _, r := range s.rooms {
		now := s.receivers[r.receiver].state()
		now.Received = now.Received[:min(len(now.Received), 5)]
		p.Receivers = append(p.Receivers, now)
	}
	s.render(w, status, p)
}

// render sends nothing before the whole page is there.
func (s *Shop) render(w http.ResponseWriter, status int, p page) {
	p.Nav = s.rooms
	var out bytes.Buffer
	if err := pages.Execute(&out, p); err != nil {
		s.config.Log.Error("demo page", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // the client may have gone away
}

func (s *Shop) json(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		s.config.Log.Debug("demo answer", "error", err)
	}
}
