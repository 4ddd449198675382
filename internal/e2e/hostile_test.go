package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"redrive/delivery"
	"redrive/handlers/web/sso/ssotest"
	"redrive/store"
	"redrive/store/storetest"
	"redrive/store/storetest/hostile"
)

// attacked is a program whose every text is hostile.
type attacked struct {
	*program
	dsn      string
	db       *store.Store
	provider *ssotest.Provider
	receiver *attacker
	fields   map[string][]string // what was put where, and must stand on a page as it is
	params   map[string][]string // what stands for a parameter of a route, by the folder before it

	long     []string // the texts, in pieces of longText
	failures []string // of which each was decided on
	blocked  []string // one is dead, two wait behind it
	ownToken string   // id of the token that the test itself sends: its forms stay unsent
}

// attacker is a receiver that refuses all, with hostile words; "n" among a message's headers says with which.
type attacker struct {
	*httptest.Server
	mu       sync.Mutex
	words    []string
	injected []string // headers that no message was to have
}

func (a *attacker) receive(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range r.Header {
		if name == "X-Hurt" || name == "Location" || name == "Set-Cookie" || name == "Bcc" {
			a.injected = append(a.injected, name)
		}
	}
	n, _ := strconv.Atoi(r.Header.Get("N")) // without one it is the first
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Said", strings.Join(strings.Fields(a.words[n]), " "))
	w.WriteHeader(http.StatusUnprocessableEntity)
	fmt.Fprint(w, a.words[n], " ", string(hostile.Bytes[n%len(hostile.Bytes)]))
}

// Sizes of what is handed over: as much as a short field takes, and as much as a long one does.
const (
	shortText = 240
	longText  = 1900
)

// runbook is an address that leaves the attribute in which it stands.
const runbook = `https://tickets.test/"><img hurt src=x onerror=hurt(1)>?{{7*7}}'#<script hurt>hurt(2)</script>`

// besiege starts a program and puts the texts into whatever it keeps.
func besiege(t *testing.T) *attacked {
	t.Helper()
	dir, dsn := t.TempDir(), storetest.New(t)
	a := &attacked{dsn: dsn, provider: ssotest.New(t), receiver: &attacker{words: hostile.Packed(hostile.Texts(), longText)}, fields: map[string][]string{}, params: map[string][]string{}}
	a.long = a.receiver.words
	a.receiver.Server = httptest.NewServer(http.HandlerFunc(a.receiver.receive))
	t.Cleanup(a.receiver.Close)
	a.provider.Groups = []string{"root"}
	a.provider.Name = a.receiver.words[0]
	described := hostile.Packed(hostile.Texts(), 1<<20)[0]
	a.program = serve(t, "DATABASE_URL="+dsn, "REDRIVE_LOG_FORMAT=json", "REDRIVE_DEMO=1", "REDRIVE_OIDC_ISSUER="+a.provider.URL, "REDRIVE_OIDC_CLIENT_ID="+ssotest.ClientID,
		"REDRIVE_OIDC_CLIENT_SECRET="+ssotest.Secret, "REDRIVE_OIDC_ROLES=admin=root", "REDRIVE_OIDC_NAME="+hostile.Markup[0],
		configFile(t, `ticket_url: https://tickets.test/{ticket}
`+strings.Replace(failing(a.receiver.URL, 1), "order.placed", "said", 1)+fmt.Sprintf(`    description: %s
    runbook: %s
    four_eyes: {ignore_for_good: true}
  - name: levels
    method: outbox
    ordered: true
    destination: {http: {url: %q}}
    retry: {attempts: 1}
  - name: points
    method: batch
    batch: {schedule: "0 0 1 1 *", query: "SELECT n AS id, said FROM public.said", acknowledgement: {every: 1s}}
    destination: {file: {format: csv, header: true, guard: true, to: {dir: %q}}}
  - name: catalogue
    method: cdc
    cdc: {tables: [{table: public.none, to: [push]}]}
`, strconv.QuoteToASCII(described), strconv.QuoteToASCII(runbook), a.receiver.URL, dir)))
	var err error
	if a.db, err = store.Open(t.Context(), dsn, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.db.Close)
	a.sql("INSERT INTO redrive.actors (id, name) VALUES ($1, $2)", actor, a.long[0])
	a.fields["description"] = []string{described}
	a.fail()
	a.park()
	a.decide()
	a.block()
	a.operate()
	a.hold()
	a.reject(dir)
	a.people()
	a.ask()
	a.rename()
	a.params["/failures/:id"] = slices.Concat(a.failures[3:4], a.blocked, a.failures)
	a.params["/deliveries/:id"] = a.failures[3:6]
	a.params["/messages/:id"] = scan[[]string](t, dsn, "SELECT array_agg(message_id::text) FROM (SELECT message_id FROM redrive.deliveries ORDER BY id DESC LIMIT 8) d")
	a.params["/groups/:id"] = scan[[]string](t, dsn, "SELECT array_agg(id) FROM (SELECT id FROM redrive.groups LIMIT 6) g")
	a.params["/views/:id"] = scan[[]string](t, dsn, "SELECT array_agg(id::text) FROM redrive.saved_views")
	a.params["/integrations/:name"], a.params["/operators/:name"], a.params["/tokens/:id"] = []string{"points"}, []string{"admin"}, []string{actor}
	a.params["/people/:id"] = scan[[]string](t, dsn, "SELECT array_agg(id::text) FROM redrive.operators WHERE name <> 'admin'")
	a.ownToken = scan[string](t, dsn, "SELECT id::text FROM redrive.api_tokens WHERE of_setting")
	a.must("PUT", "/api/v1/integrations/points/secrets/stored", map[string]any{"value": "v"})
	a.params["/passkeys/:id"], a.params["/account/sessions/:id"] = []string{actor}, []string{actor}
	return a
}

func (a *attacked) do(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *attacked) sql(statement string, args ...any) {
	a.t.Helper()
	_, err := storetest.Session(a.t, a.dsn).Exec(a.t.Context(), statement, args...)
	a.do(err)
}

// puts notes what a field holds.
func (a *attacked) puts(field string, texts ...string) {
	a.fields[field] = append(a.fields[field], texts...)
}

// actor is who did something, by the name that is hostile in the end.
const actor = "0190a0a0-0000-7000-8000-00000000beef"

// fail hands over messages that are refused: the program itself sends them.
func (a *attacked) fail() {
	a.t.Helper()
	for n, text := range a.long {
		line, value := strings.TrimSpace(a.line(n, shortText)), strings.TrimSpace(a.line(n, longText))
		m := delivery.Message{Kind: delivery.KindCommand, Integration: "push", Type: line, Key: strings.TrimSpace(a.line(n, 1000)), Headers: map[string]string{"n": strconv.Itoa(n), "said": value},
			Payload: asJSON(map[string]string{"said": text, value: "key"})}
		if key := a.printable(n); delivery.CanBeIdempotencyKey(key) {
			m.IdempotencyKey = key
		}
		if n%3 == 2 {
			m.Payload = hostile.Bytes[n%len(hostile.Bytes)]
		}
		accepted, err := a.db.Accept(a.t.Context(), m)
		a.do(err)
		a.failures = append(a.failures, accepted.Deliveries[0].ID)
		a.puts("type", line)
		a.puts("key", m.Key)
		a.puts("header", value)
		a.puts("idempotency key", m.IdempotencyKey)
		a.puts("answer", text)
	}
	a.awaitDead(a.failures...)
}

func (a *attacked) awaitDead(ids ...string) {
	a.t.Helper()
	await(a.t, "all refused", func() bool {
		return scan[int](a.t, a.dsn, "SELECT count(*) FROM redrive.deliveries WHERE state = 'dead' AND id::text = ANY($1)", ids) == len(ids)
	})
}

// line is one of the pieces without control characters.
func (a *attacked) line(n, most int) string {
	lines := hostile.Packed(hostile.Lines(), most)
	return lines[n%len(lines)]
}

// printable is one of the pieces that are ASCII.
func (a *attacked) printable(n int) string {
	ascii := slices.DeleteFunc(hostile.Lines(), func(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) })
	pieces := hostile.Packed(ascii, shortText)
	return strings.TrimSpace(pieces[n%len(pieces)])
}

func asJSON(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // texts can be written
	}
	return bytes.TrimSpace(out.Bytes())
}

// block lets deliveries of a hostile key wait behind the first.
func (a *attacked) block() {
	a.t.Helper()
	for range 3 {
		accepted, err := a.db.Accept(a.t.Context(), delivery.Message{Kind: delivery.KindCommand, Integration: "levels", Type: a.line(0, shortText), Key: a.line(1, shortText), Payload: []byte("1")})
		a.do(err)
		a.blocked = append(a.blocked, accepted.Deliveries[0].ID)
	}
	a.awaitDead(a.blocked[0])
}

// park leaves letters of somebody else's queues, of which nothing was checked by anybody.
func (a *attacked) park() {
	a.t.Helper()
	raw := bytes.Join(hostile.Bytes, []byte{' '})
	for n, text := range a.long {
		seven, many := int32(7), int64(4711)
		m := delivery.Message{ID: fmt.Sprintf("01970000-0000-7000-8000-%012d", n), Kind: delivery.KindCommand, Integration: "push", Type: text, Key: text, Payload: raw,
			Headers: map[string]string{text: text},
			Origin: &delivery.Origin{Broker: delivery.BrokerRabbitMQ, Place: text, Exchange: text, Routing: text, ID: text, Partition: &seven, Offset: &many,
				Properties: []delivery.Field{{Name: "app_id", Value: []byte(text)}},
				Headers: []delivery.Field{{Name: text, Value: []byte(text)}, {Name: string(raw), Type: delivery.FieldBytes, Value: raw},
					{Name: text, Fields: []delivery.Field{{Name: text, Value: []byte(text)}}}},
				Dead: &delivery.DeadOrigin{Family: text, Place: text, Exchange: text, Group: text, Reason: text, Error: text}}}
		failed := delivery.Attempt{Outcome: delivery.OutcomePermanent, ErrorClass: delivery.ClassForeign, Error: a.line(n, 400), Response: append([]byte("a.B: "+text+"\n\tat "+text+"\n"), raw...)}
		id := fmt.Sprintf("01970000-0000-7000-8001-%012d", n)
		_, err := a.db.Park(a.t.Context(), []delivery.Parked{{DeliveryID: id, Integration: "push", Message: m, Attempts: []delivery.Attempt{failed}, Next: delivery.StateDead}})
		a.do(err)
		a.failures = append(a.failures, id)
		a.puts("queue", text)
		a.puts("error", a.line(n, 400))
	}
}

// decide lets people write about each failure, and settle some.
func (a *attacked) decide() {
	a.t.Helper()
	ctx, tokens, edited := a.t.Context(), 0, []string{}
	token := func() string { tokens++; return fmt.Sprintf("01970000-0000-7000-8002-%012d", tokens) }
	for n, id := range a.failures {
		reason := strings.TrimSpace(a.long[n%len(a.long)])
		_, err := a.db.AddNote(ctx, id, actor, reason, token())
		a.do(err)
		a.puts("note", reason)
		ticket, tags := strings.TrimSpace(a.line(n, 180)), []string{"hurt"}
		_, err = a.db.ChangeCase(ctx, delivery.CaseChange{ID: id, Version: -1, Actor: actor, Reason: reason, Ticket: &ticket, Tags: &tags, Acknowledge: new(n%5 == 4)})
		a.do(err)
		a.puts("ticket", ticket)
		switch n % 5 {
		case 0, 1:
			_, err = a.db.Act(ctx, delivery.ActionRequest{Action: delivery.ActionIgnore, ID: id, Actor: actor, Reason: reason, Category: a.line(n, 60)})
		case 2:
			_, err = a.db.Act(ctx, delivery.ActionRequest{Action: delivery.ActionResolve, ID: id, Actor: actor, Reason: reason, Evidence: reason})
			a.puts("evidence", reason)
		case 3:
			_, err = a.db.Edit(ctx, delivery.EditRequest{ID: id, Actor: actor, Reason: reason, Payload: asJSON(reason)})
			edited = append(edited, id)
		}
		a.do(err)
		a.puts("reason", reason)
	}
	a.awaitDead(edited...)
}

// operate starts bulk actions, one of which waits.
func (a *attacked) operate() {
	a.t.Helper()
	for _, text := range a.long {
		a.sql("INSERT INTO redrive.operations (id, action, state, actor, reason, evidence, finished_at) VALUES (gen_random_uuid(), 'resolve', 'finished', $2, $1::text, $1::text, now())", text, actor)
		a.puts("operation", text)
	}
	for _, pause := range []bool{false, true} {
		o, err := a.db.StartOperation(a.t.Context(), delivery.OperationRequest{Action: delivery.ActionRetry, Actor: actor, Reason: a.long[0], Filter: &delivery.Filter{Integrations: []string{"push"}},
			Pace: delivery.Pace{Rate: 0.001, Canary: 1}})
		a.do(err)
		if pause {
			_, err = a.db.SteerOperation(a.t.Context(), delivery.Steer{ID: o.ID, Actor: actor, Reason: a.long[1], Pause: true})
			a.do(err)
		}
		a.sql("UPDATE redrive.operations SET filter = filter || jsonb_build_object('query', t, 'key', t, 'ticket', t, 'tags', jsonb_build_array(t)), category = t FROM CAST($1 AS text) t WHERE id = $2::uuid",
			a.long[0], o.ID)
		a.params["/operations/:id"] = append(a.params["/operations/:id"], o.ID)
	}
}

// hold pauses an integration, and writes down what is wrong with sources and parts.
func (a *attacked) hold() {
	a.t.Helper()
	ctx := a.t.Context()
	for n, reason := range a.long {
		a.do(a.db.SetPaused(ctx, "levels", true, actor, reason))
		a.do(a.db.SetPaused(ctx, "levels", false, actor, reason))
		_, err := a.db.NoteGap(ctx, delivery.NotedGap{Integration: "catalogue", Place: reason, SourceGap: delivery.SourceGap{What: delivery.Say("gap.hung_up", "waited", reason)}})
		a.do(err)
		_, err = a.db.SaveView(ctx, delivery.SavedView{Owner: actor, Name: strings.TrimSpace(a.line(n, 90)), Search: reason, Shared: true})
		a.do(err)
		a.puts("pause", reason)
		a.puts("gap", reason)
		a.puts("search", reason)
	}
	a.do(a.db.SetPaused(ctx, "levels", true, actor, a.fields["pause"][0]))
}

// reject lets a batch send the texts, and its receiver refuse a row of it.
func (a *attacked) reject(dir string) {
	a.t.Helper()
	a.sql("CREATE TABLE public.said (n int, said text)")
	for n, text := range hostile.Texts() {
		a.sql("INSERT INTO public.said VALUES ($1, $2)", n+1, text)
	}
	a.must("POST", "/api/v1/integrations/points/runs", map[string]any{"reason": a.long[0]})
	file := a.lastFile("points")
	said := "row,reason\r\n"
	for n, text := range a.long {
		said += strconv.Itoa(n+1) + `,"` + strings.ReplaceAll(text, `"`, `""`) + `"` + "\r\n"
	}
	a.do(os.WriteFile(filepath.Join(dir, file["name"].(string))+".rej", []byte(said), 0o600))
	await(a.t, "the rejected rows", func() bool {
		return scan[int](a.t, a.dsn, "SELECT count(*) FROM redrive.deliveries WHERE integration = 'points' AND state = 'dead'") >= len(a.long)
	})
	a.params["/files/:id"] = []string{file["id"].(string)}
}

// ask asks for approval, is refused once, and makes rules that have ended.
func (a *attacked) ask() {
	a.t.Helper()
	said := map[string]any{"reason": a.long[0], "category": "other", "for_good": true}
	a.must("POST", "/api/v1/failures/"+a.failures[4]+"/ignore", said)
	a.sql(`INSERT INTO redrive.approvals SELECT (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid(), 'state', 'rejected', 'token', null, 'decided_at', now(),
		'decided_by', 'nobody', 'comment', $1::text, 'result', $1::text, 'void_because', g.what))).* FROM redrive.approvals a, (SELECT what FROM redrive.gaps WHERE place <> '' LIMIT 1) g`, a.long[1])
	for _, text := range a.long {
		a.sql(`INSERT INTO redrive.ignore_rules (integration, filter, reason, category, until, made_by, ended_at, ended_by, ended_because, end_reason)
			SELECT 'push', jsonb_build_object('query', $1::text, 'key', $1::text), $1::text, $1::text, now(), $2::text, now(), $2::text, what, $1::text FROM redrive.gaps WHERE place <> '' LIMIT 1`, text, actor)
		a.puts("rule", text)
	}
	a.params["/approvals/:id"] = scan[[]string](a.t, a.dsn, "SELECT array_agg(id::text ORDER BY state) FROM redrive.approvals")
	a.params["/ignore-rules/:id"] = scan[[]string](a.t, a.dsn, "SELECT array_agg(id::text ORDER BY id DESC) FROM redrive.ignore_rules WHERE NOT of_file")
}

// people signs somebody in with a hostile browser, and keeps the rest of what is theirs.
func (a *attacked) people() {
	a.t.Helper()
	for n := range a.long {
		a.signsIn("admin", a.line(n, 400), http.StatusSeeOther)
	}
	a.signsIn(a.line(0, 60), "a browser", http.StatusUnauthorized)
}

// signsIn sends the administrator's password as a program that names itself as a browser would.
func (a *attacked) signsIn(name, device string, status int) {
	a.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form := url.Values{"name": {name}, "password": {"correct horse battery"}}
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+"/sign-in", strings.NewReader(form.Encode()))
	a.do(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("User-Agent", device)
	answer, err := client.Do(r)
	a.do(err)
	_ = answer.Body.Close()
	if answer.StatusCode != status {
		a.t.Fatalf("signing in answers %d", answer.StatusCode)
	}
}

// rename gives hostile names to what no form and no call would name so, in place of those that were refused.
func (a *attacked) rename() {
	a.t.Helper()
	long := a.long
	admin := scan[string](a.t, a.dsn, "SELECT id::text FROM redrive.operators WHERE name = 'admin'")
	for n, text := range long {
		a.sql("INSERT INTO redrive.operators (name, role, password_hash, issuer, subject) VALUES ($1::text, 'viewer', '-', $1::text, $1::text)", text)
		a.sql("WITH t AS (INSERT INTO redrive.api_tokens (name, role) VALUES ($1::text, 'viewer') RETURNING id) INSERT INTO redrive.token_secrets (token_id, hash) SELECT id, sha256(convert_to($1::text, 'UTF8')) FROM t", text)
		a.sql("INSERT INTO redrive.reused_keys (integration, type, message_id, sender, differs) VALUES ('push', $1::text, $2::uuid, $1::text, 'content')", text, fmt.Sprintf("01970000-0000-7000-8000-%012d", n))
		a.sql("UPDATE redrive.messages SET sender = $1::text WHERE id = $2::uuid", text, fmt.Sprintf("01970000-0000-7000-8000-%012d", n))
		a.sql("INSERT INTO redrive.passkeys (operator_id, credential_id, credential, name, sign_count) VALUES ($1::uuid, sha256(convert_to($2::text, 'UTF8')), jsonb_build_object('x', $2::text), $2::text, 0)", admin, text)
		a.sql("INSERT INTO redrive.grants (operator_id, role, labels, integrations, permissions) SELECT id, 'viewer', jsonb_build_object($1::text, $1::text), ARRAY[$1::text], ARRAY[$1::text] FROM redrive.operators WHERE name = $1::text", text)
		a.sql("UPDATE redrive.failure_details SET category = $1::text WHERE delivery_id = $2::uuid AND category IS NOT NULL", text, a.failures[n])
		for _, table := range []string{"deliveries", "cases"} {
			key := map[string]string{"deliveries": "id", "cases": "delivery_id"}[table]
			a.sql("UPDATE redrive."+table+" SET tags = ARRAY[$1::text] WHERE "+key+" = $2::uuid", text, a.failures[n])
		}
		a.sql("INSERT INTO redrive.capture_gaps (integration, table_name, from_lsn, stopped_lsn, why, note) SELECT 'catalogue', $1::text, '0/1', '0/2', why, why FROM (SELECT what AS why FROM redrive.gaps WHERE place = $1::text) w", text)
		a.puts("name", text)
		a.puts("tag", text)
	}
	for _, where := range []string{"batch_runs SET error = g.what", "operation_items SET who = g.what", "operation_parts SET held = g.what",
		"failure_details SET because = g.what", "integrations SET pause_says = g.what, address = g.place, labels = jsonb_build_object(g.place, g.place), subscribe = ARRAY[g.place], mask = ARRAY[g.place]"} {
		a.sql("UPDATE redrive." + where + " FROM (SELECT what, place FROM redrive.gaps WHERE place <> '' ORDER BY id LIMIT 1) g")
	}
	a.sql(`INSERT INTO redrive.health (integration, part, worker, status, since, last_error_at, last_error, seen_at)
		SELECT 'catalogue', 'source', 'w', 'degraded', now(), now(), what, now() + interval '1 hour' FROM redrive.gaps ORDER BY id LIMIT 1`)
}

// harmless are columns that take no text of anybody's, by why.
var harmless = map[string]string{
	"a word of the program": `api_tokens.role reused_keys.differs attempts.late attempts.outcome attempts.error_class audit.action audit.subject_type batch_files.acknowledgement batch_runs.state
		batch_runs.trigger challenges.kind deliveries.error_class deliveries.state failure_details.action grants.role group_counts.error_class group_sum_hours.error_class
		group_sums.error_class groups.error_class health.part health.status inbox.state
		settlements.action approvals.action approvals.kind approvals.rules approvals.state integrations.four_eyes integrations.breaker integrations.destination integrations.method integrations.on_dead messages.kind operation_items.outcome operation_items.reason operation_parts.phase
		operations.action operations.excluded operations.state operators.language operators.role positions.feed sessions.method batch_files.format batch_runs.because`,
	"an id": `actors.id batch_runs.requested_by cases.acknowledged_by cases.assignee cases.changed_by data_keys.key_id deliveries.actor deliveries.assignee deliveries.group_id
		edits.actor failure_details.actor group_counts.group_id group_deltas.group_id group_hours.group_id group_retries.group_id groups.id operation_items.group_id health.worker integrations.paused_by listeners.worker
		notes.author operations.actor settlements.actor settlements.group_id queue.worker saved_views.owner source_members.member source_topics.topic_id secrets.set_by reveals.actor
		approvals.actor approvals.person approvals.decided_by approvals.target ignore_ends.group_id ignore_rules.ended_by ignore_rules.made_by`,
	"a hash, or sealed": `audit.hash audit.prev_hash audit_head.hash batch_acknowledgements.sha256 batch_feeds.last_sha256 batch_files.previous_sha256
		batch_files.sha256 challenges.hash data_keys.sealed operators.password_hash passkeys.credential_id places.hash recovery_codes.code_hash secrets.sealed
		sessions.token_hash sign_in_key.key token_secrets.hash totp.sealed totp.secret audit_cosignatures.signature audit_gone.hash audit_keys.public audit_keys.sealed
		audit_tiles.hashes subject_keys.sealed approvals.hash approvals.token integrations.settings_hash`,
	"the name of an integration, which the database itself bounds": `batch_acknowledgements.integration batch_feeds.integration batch_files.integration batch_runs.integration
		capture_gaps.integration captures.integration data_keys.owner deliveries.integration gaps.integration group_counts.integration group_sum_hours.integration
		group_sums.integration groups.integration health.integration hourly.integration
		idempotency_keys.scope inbox.integration integrations.name lanes.integration listeners.integration messages.integration operation_deltas.integration
		operation_parts.integration queue.integration secrets.integration reused_keys.integration source_members.integration source_positions.integration source_topics.integration
		remasking.integrations approval_items.integration approvals.integrations ignore_rules.integration batch_acknowledgements.name batch_files.name secrets.name`,
	"a name that was checked": "audit.subject",
	"a position or a number": `batch_feeds.database_id batch_files.control_total captures.slot captures.snapshot captures.system_identifier captures.tables
		positions.database_id places.address sessions.address challenges.address token_uses.address`,
	"written by whoever writes the integrations file": `captures.resnapshot_tables listeners.place source_positions.consumers source_positions.topic source_topics.consumers source_topics.topic
		integrations.subject reveals.path audit_cosignatures.witness audit_keys.origin audit_places.place`,
	"on no page": `approvals.bound audit_checkpoints.note audit_places.error challenges.data inbox.key sessions.data sessions.id_token sessions.provider_session`,
}

// everyColumn checks that each column that can keep a text keeps a hostile one: what a page will show of a new one is tried as well.
func (a *attacked) everyColumn() {
	a.t.Helper()
	columns := scan[[]string](a.t, a.dsn, `SELECT array_agg(format('%s.%s', c.relname, a.attname) ORDER BY c.relname, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'redrive'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
			AND a.atttypid::regtype::text IN ('text', 'text[]', 'jsonb', 'bytea')`)
	known := strings.Fields(strings.Join(slices.Collect(maps.Values(harmless)), " "))
	for _, column := range columns {
		table, name, _ := strings.Cut(column, ".")
		found := scan[bool](a.t, a.dsn, fmt.Sprintf("SELECT EXISTS (SELECT FROM redrive.%s c WHERE to_jsonb(c)->>'%s' ~* 'hurt|68757274')", table, name))
		if found == slices.Contains(known, column) {
			a.t.Errorf("%s has a hostile text: %v; put one in, or say in harmless why there is none", column, found)
		}
	}
}
