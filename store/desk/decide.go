package desk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"redrive/delivery"
	"redrive/store/approve"
	"redrive/store/audit"
	"redrive/store/ignore"
	"redrive/store/pg"
	"redrive/store/queue"
)

// decision is what a person, an operation or a policy decides about deliveries.
type decision struct {
	delivery.Transition
	actor, reason, category, evidence string
	delivery.End                                      // of an ignore
	because                           delivery.Phrase // why an end reopens
	operation                         string          // the operation that it is a step of
	decision                          string          // of which an end that hangs on counters is, see ignore.Watch
	members                           map[string]any  // details of the audit entry beside those that every decision has
}

// targets are the deliveries that a decision is about: a query named given, of rows (n, id, version). n is the number in an operation,
// 0 without one; version 0 fits whatever the delivery has.
type targets struct {
	sql  string
	args map[string]any
}

func oneTarget(id string, version int) targets {
	return targets{
		sql:  "given AS (SELECT 0 AS n, CAST(@id AS uuid) AS id, CAST(@version AS int) AS version)",
		args: map[string]any{"id": id, "version": version},
	}
}

// lockedDelivery is a delivery that is locked and that the decision may be carried out on, as it was found.
type lockedDelivery struct {
	n           int
	id          string
	integration string
	version     int
	state       delivery.State
	class       string // of its last error
}

func (t *lockedDelivery) columns() []any {
	return []any{&t.n, &t.id, &t.integration, &t.version, (*string)(&t.state), &t.class}
}

// decide carries a decision out on those of the targets that permit it, and returns them: a click is a set of one, a step of an operation
// a set of many. What else has to be done between the lock and the change calls its two halves.
func decide(tx *gorm.DB, of targets, d decision) ([]lockedDelivery, error) {
	list, err := permitted(tx, of, d)
	if err != nil {
		return nil, err
	}
	return list, carryOut(tx, list, d)
}

// lockSQL locks in the order of ids: everybody does, so that nobody waits for each other. What was waited for is judged as it is then.
const lockSQL = `
WITH %s
SELECT g.n, r.id::text, r.integration, r.version, r.state, coalesce(r.error_class, '') FROM given g JOIN redrive.deliveries r ON r.id = g.id
WHERE (g.version = 0 OR r.version = g.version) AND %s ORDER BY r.id FOR UPDATE OF r`

// permitted locks those of the targets that permit the decision. What goes with it is looked up by later statements: what is joined to
// a row that was waited for would be from before the wait.
func permitted(tx *gorm.DB, of targets, d decision) ([]lockedDelivery, error) {
	list, err := pg.Read(tx, (*lockedDelivery).columns, fmt.Sprintf(lockSQL, of.sql, permitSQL(d.Transition)), of.args)
	if err != nil {
		return nil, fmt.Errorf("%s: locking: %w", d.Action, err)
	}
	for _, t := range list {
		if err := pg.MayFor(tx, t.integration, d.needs()...); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// needs are the permissions that whoever decides must have for the integration of each delivery.
func (d decision) needs() []delivery.Permission {
	return delivery.Needs(d.Action, !d.ForGood)
}

// permitSQL is the condition under which a delivery r permits a decision.
func permitSQL(t delivery.Transition) string {
	conditions := []string{"r.state IN (" + literals(t.From) + ")"}
	if t.Unexpired {
		conditions = append(conditions, "(r.expires_at IS NULL OR r.expires_at > clock_timestamp())")
	}
	if t.Withdraws {
		conditions = append(conditions, "r.retry_requested_at IS NOT NULL")
	}
	if t.Active {
		conditions = append(conditions, "r.integration = ANY(ARRAY(SELECT i.name FROM redrive.integrations i WHERE i.active))")
	}
	if t.Queues { // no EXISTS, which Postgres may answer by reading all of the log first
		there := "true"
		if t.Action != delivery.ActionEdit { // which brings what is missing
			there = "NOT (" + lacksRecordSQL + ")"
		}
		conditions = append(conditions, "(SELECT "+there+" FROM redrive.messages m WHERE m.id = r.message_id)")
	}
	if t.Stays() {
		conditions = append(conditions, fmt.Sprintf("(r.acknowledged_at IS NOT NULL) <> %t", t.Acknowledged))
	}
	return strings.Join(conditions, " AND ")
}

// lacksRecordSQL is whether the message m of a delivery r is a dead letter without its record; see delivery.Origin.LacksRecord. An edit has
// brought one.
const lacksRecordSQL = `m.payload IS NULL AND coalesce(r.edit, 1) = 1 AND coalesce(m.origin #>> '{dead,missing,record}', '') = 'true'`

// literals puts words of the program into a statement: a state that is a parameter keeps Postgres from a partial index.
func literals[T ~string](words []T) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + string(word) + "'"
	}
	return strings.Join(quoted, ", ")
}

// carryOut does all that goes with a decision to deliveries that permit it.
func carryOut(tx *gorm.DB, list []lockedDelivery, d decision) error {
	if len(list) == 0 {
		return nil
	}
	if err := move(tx, list, d); err != nil {
		return err
	}
	if d.Stays() {
		if err := noteInCases(tx, list, d); err != nil {
			return err
		}
	}
	if err := noteRemedy(tx, list, d); err != nil {
		return err
	}
	if d.FreesLane {
		if err := queue.ReleaseLanes(tx, ids(list)); err != nil {
			return err
		}
	}
	return auditDecision(tx, list, d)
}

func ids(list []lockedDelivery) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.id
	}
	return out
}

// changeSQL changes records that are locked, and what goes with them. Its clock is the statement's: all of a decision has one time, and it
// begins after every lock was waited for, so that no time lies before one that was waited for. The time of a statement that waits itself
// would. The limit, which is their number, keeps the planner from counting them: it makes one plan for one as for many, which looks up
// rows one by one, and not a new plan for each click.
const changeSQL = `
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(CAST(@ids AS uuid[]), CAST(@numbers AS int[])) AS g(id, n) LIMIT CAST(@count AS bigint)
), moved AS (
    UPDATE redrive.deliveries r SET %s FROM given g WHERE r.id = g.id
    RETURNING r.id, r.message_id, r.integration, r.attempts, r.edit, r.group_id
)%s
SELECT count(*) FROM moved`

const (
	takenSQL = `, version = r.version + 1, changed_at = statement_timestamp(), operation_id = CAST(@operation AS uuid), operation_item = nullif(g.n, 0),
        actor = CAST(@actor AS text)`

	enqueueSQL = `, queued AS (` + queue.RetriesSQL + `
)`
	noteSQL = `, noted AS (
    INSERT INTO redrive.failure_details (delivery_id, actor, action, acted_at, reason, category, until, evidence, because, end_id)
    SELECT id, CAST(@actor AS text), CAST(@action AS text), statement_timestamp(), CAST(@reason AS text), CAST(@category AS text), CAST(@until AS timestamptz),
        CAST(@evidence AS text), CAST(@because AS jsonb), %s FROM moved
    ON CONFLICT (delivery_id) DO UPDATE SET actor = excluded.actor, action = excluded.action, acted_at = excluded.acted_at, reason = excluded.reason,
        category = excluded.category, until = excluded.until, evidence = excluded.evidence, because = excluded.because, end_id = excluded.end_id,
        rule_id = NULL
)`
)

// move changes state, queue and the latest decision of deliveries that are locked.
func move(tx *gorm.DB, list []lockedDelivery, d decision) error {
	numbers := make([]int, len(list))
	for i, t := range list {
		numbers[i] = t.n
	}
	deliveries := ids(list)
	if d.OnCounters() {
		if d.decision = d.operation; d.decision == "" {
			d.decision = uuid.NewString()
		}
		if err := ignore.Watch(tx, d.decision, deliveries, d.End); err != nil {
			return err
		}
	}
	n, err := pg.ReadOne(tx, pg.Single[int], d.statement(), map[string]any{
		"ids":       &deliveries,
		"numbers":   &numbers,
		"count":     len(list),
		"operation": pg.Optional(d.operation),
		"actor":     d.actor,
		"action":    string(d.Action),
		"reason":    d.reason,
		"category":  pg.Optional(d.category),
		"until":     d.Until,
		"because":   d.because.JSON(),
		"decision":  pg.Optional(d.decision),
		"evidence":  pg.Optional(d.evidence),
	})
	if err == nil && n != len(list) {
		err = fmt.Errorf("%d of %d changed", n, len(list))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.Action, err)
	}
	return nil
}

// statement is what changes. What an operation sends again is not noted on each as well: its record names the operation, which holds all of
// it until the outcome comes; writing it once more would cost a tenth of the release.
func (d decision) statement() string {
	if d.Stays() {
		return fmt.Sprintf(changeSQL, timeIf("acknowledged_at", d.Acknowledged), "")
	}
	sets := []string{
		fmt.Sprintf("state = '%s'", d.To),
		timeIf("dead_at", d.To == delivery.StateDead),
		timeIf("settled_at", d.To.Settled()),
		timeIf("acknowledged_at", d.Acknowledged),
	}
	also := ""
	if d.Withdraws {
		sets = append(sets, timeIf("retry_requested_at", false))
	}
	if d.Queues {
		sets, also = append(sets, timeIf("retry_requested_at", true)), enqueueSQL
	}
	if !d.Queues || d.operation == "" {
		also += fmt.Sprintf(noteSQL, d.endSQL())
	}
	return fmt.Sprintf(changeSQL, strings.Join(sets, ", ")+takenSQL, also)
}

// endSQL is the end of a row of moved that hangs on counters.
func (d decision) endSQL() string {
	if d.OnCounters() {
		return fmt.Sprintf(ignore.EndSQL, "moved.group_id")
	}
	return "NULL"
}

func timeIf(column string, set bool) string {
	if set {
		return column + " = statement_timestamp()"
	}
	return column + " = NULL"
}

// noteInCases writes down who acknowledged.
func noteInCases(tx *gorm.DB, list []lockedDelivery, d decision) error {
	deliveries, by := ids(list), ""
	if d.Acknowledged {
		by = d.actor
	}
	err := tx.Exec(`INSERT INTO redrive.cases AS k (delivery_id, acknowledged_by, changed_by) SELECT id, ?, ?
		FROM unnest(?::uuid[]) id
		ON CONFLICT (delivery_id) DO UPDATE SET acknowledged_by = excluded.acknowledged_by, version = k.version + 1, changed_by = excluded.changed_by,
			changed_at = clock_timestamp()`, pg.Optional(by), d.actor, &deliveries).Error
	if err != nil {
		return fmt.Errorf("%s: noting it in the cases: %w", d.Action, err)
	}
	return nil
}

// auditDecision writes one entry for each delivery.
func auditDecision(tx *gorm.DB, list []lockedDelivery, d decision) error {
	members := map[string]any{
		"to":        string(d.To),
		"category":  d.category,
		"evidence":  d.evidence,
		"operation": d.operation,
		"approval":  approve.Member(tx),
	}
	maps.Copy(members, endMembers(d.End))
	maps.Copy(members, d.members)
	raised := 1
	if d.Stays() {
		raised = 0
	}
	entries := make([]audit.BulkEntry, len(list))
	for i, t := range list {
		entries[i] = audit.BulkEntry{Subject: t.id, Integration: t.integration, Was: string(t.state), Version: t.version + raised}
		if d.Queues && (delivery.Delivery{State: t.state, ErrorClass: t.class}).MayHaveHadEffect() {
			entries[i].Unknown = t.class
		}
	}
	return audit.RecordMany(tx, delivery.AuditEntry{Actor: d.actor, Action: "delivery." + string(d.Action),
		SubjectType: "delivery", Reason: d.reason}, members, entries)
}

// permittedOne is permitted for a single delivery: that it is not is an error which says why.
func permittedOne(tx *gorm.DB, id string, version int, d decision) (lockedDelivery, error) {
	of := oneTarget(id, version)
	list, err := permitted(tx, of, d)
	if err != nil {
		return lockedDelivery{}, err
	}
	if len(list) == 0 {
		return lockedDelivery{}, whyRefused(tx, of, d)
	}
	return list[0], nil
}

func whyRefused(tx *gorm.DB, of targets, d decision) error {
	found, err := look(tx, of, []int{0})
	if err != nil {
		return err
	}
	if s := found[0]; s.Integration != "" {
		if err := pg.MayFor(tx, s.Integration, d.needs()...); err != nil {
			return err
		}
	}
	return found[0].refusal(d.Transition)
}

// subject is a target of a decision as it is, for whoever is to be told why the decision was not carried out.
type subject struct {
	N           int
	ID          string
	Wanted      int            // version that the decision is about
	Integration string         // empty: it does not exist
	State       delivery.State // also sending
	Version     int            // 0: it has not failed yet
	ChangedAt   time.Time
	Expired     bool
	Active      bool
	Dropped     bool // retention took its message
	Lacks       bool // it is a dead letter without its record
	Marked      bool // acknowledged
	Actor       string
	ActorID     string
	Action      string
	ActedAt     *time.Time
	OpActor     string // of the operation that made the present state, empty when none did
	OpActorID   string
	OpAction    string
	OpAt        *time.Time // when it began
}

// lookSQL also finds what waits for its first attempt: nothing has failed yet.
var lookSQL = `
WITH %s
SELECT g.n, g.id::text, g.version AS wanted, coalesce(r.integration, w.integration, '') AS integration,
    CASE WHEN w.token IS NOT NULL THEN 'sending' ELSE coalesce(r.state, 'pending') END AS state, coalesce(r.version, 0) AS version,
    coalesce(r.changed_at, m.created_at, statement_timestamp()) AS changed_at,
    coalesce(r.expires_at <= statement_timestamp(), false) AS expired, coalesce(i.active, false) AS active,
    NOT EXISTS (SELECT FROM redrive.messages k WHERE k.id = r.message_id) AS dropped,
    coalesce((SELECT ` + lacksRecordSQL + ` FROM redrive.messages m WHERE m.id = r.message_id), false) AS lacks,
    r.acknowledged_at IS NOT NULL AS marked,
    ` + pg.Called("f.actor") + ` AS actor, coalesce(f.actor, '') AS actor_id, coalesce(f.action, '') AS action, f.acted_at,
    ` + pg.Called("o.actor") + ` AS op_actor, coalesce(o.actor, '') AS op_actor_id, coalesce(o.action, '') AS op_action,
    o.created_at AS op_at
FROM given g LEFT JOIN redrive.deliveries r ON r.id = g.id LEFT JOIN redrive.queue w ON w.id = g.id LEFT JOIN redrive.messages m ON m.id = w.message_id
LEFT JOIN redrive.operations o ON o.id = r.operation_id LEFT JOIN redrive.failure_details f ON f.delivery_id = r.id
LEFT JOIN redrive.integrations i ON i.name = r.integration
WHERE g.n = ANY(CAST(@refused AS int[])) ORDER BY g.n`

// look reads targets by their numbers, in that order.
func look(tx *gorm.DB, of targets, numbers []int) ([]subject, error) {
	args := map[string]any{"refused": &numbers}
	maps.Copy(args, of.args)
	list, err := pg.Scan[subject](tx, fmt.Sprintf(lookSQL, of.sql), args)
	if err == nil && len(list) != len(numbers) {
		err = fmt.Errorf("%d of %d targets", len(list), len(numbers))
	}
	if err != nil {
		return nil, fmt.Errorf("looking who was faster: %w", err)
	}
	return list, nil
}

// excluded says why a decision was not carried out on s, in the words of delivery.Excluded….
func (s subject) excluded(t delivery.Transition) string {
	switch {
	case s.Integration == "":
		return delivery.ExcludedNotFound
	case s.State == delivery.StatePending || s.State == delivery.StateSending:
		return delivery.ExcludedInFlight
	case !slices.Contains(t.From, s.State):
		return delivery.ExcludedSettled
	case t.Stays() && s.Marked == t.Acknowledged:
		return delivery.ExcludedAcknowledged
	case s.Wanted != 0 && s.Wanted != s.Version:
		return delivery.ExcludedChanged
	case t.Unexpired && s.Expired:
		return delivery.ExcludedExpired
	case t.Active && !s.Active:
		return delivery.ExcludedNoRoute
	case t.Queues && s.Dropped:
		return delivery.ExcludedDropped
	case t.Queues && s.Lacks && t.Action != delivery.ActionEdit:
		return delivery.ExcludedOriginal
	}
	return delivery.ExcludedChanged // after it was refused
}

// refusal is the error for whoever asked for a decision on s alone.
func (s subject) refusal(t delivery.Transition) error {
	if t.Withdraws && s.State == delivery.StatePending && (s.Wanted == 0 || s.Wanted == s.Version) {
		return delivery.Mistake("nothing_to_withdraw", "")
	}
	switch s.excluded(t) {
	case delivery.ExcludedNotFound:
		return delivery.ErrNotFound
	case delivery.ExcludedExpired:
		return delivery.Mistake("expired", "")
	case delivery.ExcludedNoRoute:
		return delivery.Mistake("no_integration", "")
	case delivery.ExcludedDropped:
		return delivery.Mistake("message_dropped", "")
	case delivery.ExcludedOriginal:
		return delivery.Mistake("original_missing", "")
	}
	return s.conflict()
}

// conflict tells who was faster: the person whose decision or operation made the present state, else the engine, and who had asked it to
// try.
func (s subject) conflict() *delivery.ConflictError {
	c := &delivery.ConflictError{
		ID:      s.ID,
		State:   s.State,
		Version: s.Version,
		Actor:   delivery.ActorEngine,
		ActorID: delivery.ActorEngine,
		Action:  "attempt",
		At:      s.ChangedAt,
	}
	if s.OpActor != "" && s.State != delivery.StateDelivered && s.made(delivery.Action(s.OpAction)) {
		c.Actor, c.ActorID, c.Action = s.OpActor, s.OpActorID, s.OpAction
		return c
	}
	if s.ActedAt != nil && s.Actor != "" && !s.ActedAt.Before(s.ChangedAt) {
		c.Actor, c.ActorID, c.Action, c.At = s.Actor, s.ActorID, s.Action, *s.ActedAt
		return c
	}
	c.Asked = s.asked()
	return c
}

// asked is who asked for the latest attempt; nil where nobody did.
func (s subject) asked() *delivery.Asking {
	switch {
	case s.OpAt != nil && delivery.Action(s.OpAction).Row().Queues:
		return &delivery.Asking{Actor: s.OpActor, ActorID: s.OpActorID, Action: s.OpAction, At: *s.OpAt}
	case s.ActedAt != nil && s.Actor != "" && delivery.Action(s.Action).Row().Queues:
		return &delivery.Asking{Actor: s.Actor, ActorID: s.ActorID, Action: s.Action, At: *s.ActedAt}
	}
	return nil
}

// made reports whether the present state can be what an operation's action made of it: a retry may have ended since.
func (s subject) made(a delivery.Action) bool {
	return a.To() == s.State || a.Row().Queues && s.State == delivery.StateSending
}

// lockSubject locks a delivery whatever its state is, and looks afterwards.
func lockSubject(tx *gorm.DB, id string, needs ...delivery.Permission) (subject, error) {
	if _, err := pg.Read(tx, pg.Single[int], "SELECT 1 FROM redrive.deliveries WHERE id = ? FOR UPDATE", id); err != nil {
		return subject{}, err
	}
	found, err := look(tx, oneTarget(id, 0), []int{0})
	if err != nil {
		return subject{}, err
	}
	if found[0].Integration == "" {
		return subject{}, delivery.ErrNotFound
	}
	return found[0], pg.MayFor(tx, found[0].Integration, needs...)
}
