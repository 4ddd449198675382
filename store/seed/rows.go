package seed

import (
	"encoding/json"
	"time"

	"redrive/delivery"
)

// Rows of the tables that a history fills; what is left out has its default or is null.

type operatorRow struct {
	ID    string        `json:"id"`
	Name  string        `json:"name"`
	Role  delivery.Role `json:"role"`
	Hash  string        `json:"password_hash"`
	Since time.Time     `json:"created_at"`
}

type viewRow struct {
	Owner  string `json:"owner"`
	Name   string `json:"name"`
	Search string `json:"search"`
	Shared bool   `json:"shared"`
}

type messageRow struct {
	ID          string            `json:"id"`
	Xid         string            `json:"xid"`
	Kind        delivery.Kind     `json:"kind"`
	Integration *string           `json:"integration"`
	Type        string            `json:"type"`
	Key         *string           `json:"key"`
	Headers     map[string]string `json:"headers"`
	Payload     blob              `json:"payload"`
	Idempotency *string           `json:"idempotency_key"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	CreatedAt   time.Time         `json:"created_at"`
	Sender      string            `json:"sender"`
}

type deliveryRow struct {
	ID             string         `json:"id"`
	Message        string         `json:"message_id"`
	Integration    string         `json:"integration"`
	State          delivery.State `json:"state"`
	Version        int            `json:"version"`
	Attempts       int            `json:"attempts"`
	Crashes        int            `json:"crashes"`
	Class          *string        `json:"error_class"`
	Group          *string        `json:"group_id"`
	CreatedAt      time.Time      `json:"created_at"`
	FailedAt       *time.Time     `json:"failed_at"`
	ChangedAt      time.Time      `json:"changed_at"`
	DeadAt         *time.Time     `json:"dead_at"`
	SettledAt      *time.Time     `json:"settled_at"`
	RequestedAt    *time.Time     `json:"retry_requested_at"`
	Token          *int64         `json:"last_token"`
	StartedAt      *time.Time     `json:"started_at"`
	Duration       *int64         `json:"duration_ms"`
	Status         *int           `json:"http_status"`
	Operation      *string        `json:"operation_id"`
	Item           *int           `json:"operation_item"`
	Edit           *int           `json:"edit"`
	AcknowledgedAt *time.Time     `json:"acknowledged_at"`
	Key            *string        `json:"key"`
	Type           *string        `json:"type"`
	ExpiresAt      *time.Time     `json:"expires_at"`
	Actor          *string        `json:"actor"`
}

type detailsRow struct {
	Delivery string           `json:"delivery_id"`
	Error    string           `json:"error"`
	Actor    *string          `json:"actor"`
	Action   *delivery.Action `json:"action"`
	ActedAt  *time.Time       `json:"acted_at"`
	Reason   *string          `json:"reason"`
	Category *string          `json:"category"`
	Until    *time.Time       `json:"until"`
	Evidence *string          `json:"evidence"`
}

type attemptRow struct {
	Delivery  string             `json:"delivery_id"`
	Token     int64              `json:"token"`
	Number    int                `json:"number"`
	StartedAt time.Time          `json:"started_at"`
	Duration  int64              `json:"duration_ms"`
	Outcome   delivery.Outcome   `json:"outcome"`
	Class     string             `json:"error_class"`
	Error     string             `json:"error"`
	Status    *int               `json:"http_status"`
	Response  blob               `json:"response"`
	At        time.Time          `json:"recorded_at"`
	Exchange  *delivery.Exchange `json:"exchange"`
}

type queueRow struct {
	ID          string    `json:"id"`
	Message     string    `json:"message_id"`
	Integration string    `json:"integration"`
	DueAt       time.Time `json:"due_at"`
	Attempts    int       `json:"attempts"`
	RoundStart  int       `json:"round_start"`
	Crashes     int       `json:"crashes"`
	Edit        *int      `json:"edit"`
}

type groupRow struct {
	ID          string    `json:"id"`
	Integration string    `json:"integration"`
	Class       string    `json:"error_class"`
	Message     string    `json:"message"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Types       []string  `json:"types"`
}

type editRow struct {
	Delivery string            `json:"delivery_id"`
	Number   int               `json:"number"`
	Payload  blob              `json:"payload"`
	Headers  map[string]string `json:"headers"`
	Actor    string            `json:"actor"`
	Reason   string            `json:"reason"`
	After    int               `json:"after_attempt"`
	At       time.Time         `json:"created_at"`
	Dropped  bool              `json:"dropped"`
}

type caseRow struct {
	Delivery     string    `json:"delivery_id"`
	Version      int       `json:"version"`
	Acknowledged *string   `json:"acknowledged_by"`
	Assignee     *string   `json:"assignee"`
	Tags         []string  `json:"tags"`
	Ticket       *string   `json:"ticket"`
	ChangedBy    string    `json:"changed_by"`
	ChangedAt    time.Time `json:"changed_at"`
}

type noteRow struct {
	ID       string    `json:"id"`
	Delivery string    `json:"delivery_id"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Text     string    `json:"text"`
}

type hourKey struct {
	integration string
	hour        time.Time
}

type hourRow struct {
	Integration string    `json:"integration"`
	Hour        time.Time `json:"hour"`
	Delivered   int       `json:"delivered"`
	Failed      int       `json:"failed"`
}

type moveRow struct {
	Group        string    `json:"group_id"`
	At           time.Time `json:"at"`
	Dead         int       `json:"dead"`
	Acknowledged int       `json:"acknowledged"`
	Pending      int       `json:"pending"`
	Ignored      int       `json:"ignored"`
	Resolved     int       `json:"resolved"`
	Delivered    int       `json:"delivered"`
	Failed       int       `json:"failed"`
	Died         int       `json:"died"`
	Came         int       `json:"came"`
}

type operationRow struct {
	ID         string                  `json:"id"`
	Action     delivery.Action         `json:"action"`
	State      delivery.OperationState `json:"state"`
	Version    int                     `json:"version"`
	Actor      string                  `json:"actor"`
	Reason     string                  `json:"reason"`
	Filter     json.RawMessage         `json:"filter"`
	Canary     *int                    `json:"canary"`
	StopAbove  *float64                `json:"stop_above"`
	Selected   int                     `json:"selected"`
	Excluded   struct{}                `json:"excluded"`
	Note       *json.RawMessage        `json:"note"`
	CreatedAt  time.Time               `json:"created_at"`
	ChangedAt  time.Time               `json:"changed_at"`
	FinishedAt *time.Time              `json:"finished_at"`
}

type partRow struct {
	Operation   string  `json:"operation_id"`
	Integration string  `json:"integration"`
	First       int     `json:"first"`
	Last        int     `json:"last"`
	Cursor      int     `json:"cursor"`
	Phase       string  `json:"phase"`
	Allowance   float64 `json:"allowance"`
	Succeeded   int     `json:"succeeded"`
	Failed      int     `json:"failed"`
	Failing     int     `json:"failing"`
	Skipped     int     `json:"skipped"`
	Wave        int     `json:"wave"`
	Size        int     `json:"wave_size"`
	Sent        int     `json:"wave_sent"`
	Good        int     `json:"wave_good"`
	Bad         int     `json:"wave_bad"`
	Again       int     `json:"again"`
}

type itemRow struct {
	Operation string  `json:"operation_id"`
	N         int     `json:"n"`
	Delivery  string  `json:"delivery_id"`
	Version   int     `json:"version"`
	Outcome   *string `json:"outcome"`
	Reason    *string `json:"reason"`
	Failing   bool    `json:"failing"`
	Wave      int     `json:"wave"`
	Group     string  `json:"group_id"`
}

type retriedRow struct {
	Group     string `json:"group_id"`
	Operation string `json:"operation_id"`
	Selected  int    `json:"selected"`
	Succeeded *int   `json:"succeeded"`
	Failed    *int   `json:"failed"`
}

type remedyKey struct {
	group, id string
	action    delivery.Action
}

type settlementRow struct {
	Group      string          `json:"group_id"`
	ID         string          `json:"id"`
	Action     delivery.Action `json:"action"`
	Operation  bool            `json:"operation"`
	Actor      string          `json:"actor"`
	Reason     string          `json:"reason"`
	Category   *string         `json:"category"`
	Evidence   *string         `json:"evidence"`
	Ticket     *string         `json:"ticket"`
	Deliveries int             `json:"deliveries"`
	At         time.Time       `json:"decided_at"`
}
