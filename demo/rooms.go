package demo

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"unicode/utf8"
)

// field is one input of a form.
type field struct {
	Name, Label, Hint string
	Max               int // characters
	Long, Phone       bool
}

// room is one page of the demo: its form, its table and the message it sends.
type room struct {
	path, title, lead, button, done, receiver string
	fields                                    []field
	columns                                   []string
	table, shown, insert                      string
	send                                      string // SQL of the same transaction; empty: handed over after the commit
	messageType                               string // of what is handed over after the commit
	payload                                   func(id int64, values []string) (payload []byte, key string, err error)
	example                                   func() []string                         // plausible values for the form
	prepare                                   func(values []string) ([]string, error) // adds what the form does not ask for; may be nil
	sendsFiles                                bool                                    // a batch sends its rows as files
	captured                                  bool                                    // its table is read, see Config.Capture
	publisher                                 publisher                               // of what is handed over after the commit
}

// outboxRooms write row and message in one transaction.
var outboxRooms = []*room{
	{path: "shop", title: "Shop", lead: "An order is saved, and its seller hears of it.", button: "Place order",
		done: "Order placed.", receiver: "seller-push",
		fields: []field{{Name: "item", Label: "Item", Max: 100}, {Name: "customer", Label: "Customer", Max: 100},
			{Name: "address", Label: "Address", Max: 200, Hint: "Without a house number the seller refuses the order."}},
		columns: []string{"Item", "Customer", "Address"}, table: "orders", shown: "ARRAY[item, customer, address]",
		insert:  `INSERT INTO redrive_demo.orders (item, customer, address) VALUES ($1, $2, $3) RETURNING id`,
		send:    `SELECT redrive.publish('order.placed', $1::bytea, $2::text)::text`,
		payload: named("order", "item", "customer", "address"),
		// an address without a number is refused by the seller
		example: func() []string { return []string{pick(items), pick(people), pick(addresses)} }},
	{path: "school", title: "School", lead: "A finished lesson earns its student ten points, once.", button: "Finish lesson",
		done: "Lesson finished.", receiver: "grant-points", sendsFiles: true,
		fields:  []field{{Name: "student", Label: "Student", Max: 100}, {Name: "lesson", Label: "Lesson", Max: 100}},
		columns: []string{"Student", "Lesson"}, table: "lessons", shown: "ARRAY[student, lesson]",
		insert:  `INSERT INTO redrive_demo.lessons (student, lesson) VALUES ($1, $2) RETURNING id`,
		send:    `SELECT redrive.enqueue('grant-points', 'lesson.finished', $1::bytea, $2::text)::text`,
		payload: named("lesson", "student", "lesson"),
		example: func() []string { return []string{pick(people), pick(lessons)} }},
	{path: "content", title: "Content", lead: "A published article goes into the search index.", button: "Publish",
		done: "Article published.", receiver: "search-index",
		fields:  []field{{Name: "title", Label: "Title", Max: 150}, {Name: "body", Label: "Text", Max: 5000, Long: true}},
		columns: []string{"Title", "Text"}, table: "articles", shown: "ARRAY[title, left(body, 80)]",
		insert:  `INSERT INTO redrive_demo.articles (title, body) VALUES ($1, $2) RETURNING id`,
		send:    `SELECT redrive.publish('article.published', $1::bytea, $2::text)::text`,
		payload: named("article", "title", "body"),
		example: func() []string { return []string{pick(titles), pick(titles) + ". " + pick(people)} }},
	{path: "login", title: "Login", lead: "A code comes by SMS and is worthless after two minutes.", button: "Request code",
		done: "Code requested.", receiver: "login-sms",
		fields:  []field{{Name: "phone", Label: "Phone number", Max: 20, Phone: true, Hint: "For example 010-1234-5678."}},
		columns: []string{"Phone"}, table: "sms_codes", shown: "ARRAY['•••' || right(phone, 2)]",
		insert: `INSERT INTO redrive_demo.sms_codes (phone, code) VALUES ($1, $2) RETURNING id`,
		send: `SELECT redrive.enqueue('login-sms', 'code.requested', $1::bytea, $2::text,
			expires_at => clock_timestamp() + interval '2 minutes')::text`,
		payload: named("request", "phone", "code"), prepare: addCode, example: func() []string {
			return []string{fmt.Sprintf("010-%04d-%04d", mathrand.IntN(10_000), mathrand.IntN(10_000))}
		}},
}

// poolRoom hands over in memory: a welcome that a crash may lose is no harm.
var poolRoom = room{
	path:        "welcome",
	title:       "Sign-up",
	lead:        "A new member gets a welcome mail. It is handed over in memory after the commit: fast, and lost if the program is killed at that moment.",
	button:      "Sign up",
	done:        "Signed up.",
	receiver:    "welcome-mail",
	messageType: "member.joined",
	fields:      []field{{Name: "name", Label: "Name", Max: 100}},
	columns:     []string{"Name"},
	table:       "members",
	shown:       "ARRAY[name]",
	insert:      `INSERT INTO redrive_demo.members (name) VALUES ($1) RETURNING id`,
	payload:     named("member", "name"),
	example:     func() []string { return []string{pick(people)} },
}

// brokerRooms publish to a broker after the commit; Redrive consumes there.
var brokerRooms = map[string]room{
	"rabbitmq": {path: "warehouse", title: "Warehouse", lead: "A parcel leaves, RabbitMQ carries the news, its customer is told.",
		button: "Ship parcel", done: "Parcel shipped.", receiver: "parcel-notice", messageType: "parcel.shipped",
		fields:  []field{{Name: "parcel", Label: "Parcel", Max: 100}, {Name: "customer", Label: "Customer", Max: 100}},
		columns: []string{"Parcel", "Customer"}, table: "parcels", shown: "ARRAY[parcel, customer]",
		insert:  `INSERT INTO redrive_demo.parcels (parcel, customer) VALUES ($1, $2) RETURNING id`,
		payload: named("parcel", "parcel", "customer"), example: func() []string { return []string{pick(items), pick(people)} }},
	"kafka": {path: "reading", title: "Reading", lead: "A page is read, Kafka carries the view, the counter counts it.",
		button: "Read page", done: "Page read.", receiver: "view-counter", messageType: "page.viewed",
		fields: []field{{Name: "page", Label: "Page", Max: 150}}, columns: []string{"Page"}, table: "views", shown: "ARRAY[page]",
		insert:  `INSERT INTO redrive_demo.views (page) VALUES ($1) RETURNING id`,
		payload: perPage, example: func() []string { return []string{pick(titles)} }},
	"redis": {
		path:        "stock",
		title:       "Stock",
		lead:        "A count changes, a Redis channel carries it, the display shows it. A channel has no memory: who does not listen misses it.",
		button:      "Change count",
		done:        "Count changed.",
		receiver:    "stock-display",
		messageType: "stock.changed",
		fields:      []field{{Name: "item", Label: "Item", Max: 100}},
		columns:     []string{"Item"},
		table:       "stock",
		shown:       "ARRAY[item]",
		insert:      `INSERT INTO redrive_demo.stock (item) VALUES ($1) RETURNING id`,
		payload:     named("count", "item"),
		example:     func() []string { return []string{pick(items)} },
	},
}

// named returns the payload as JSON: the row's number under kind_id and the values under their names.
func named(kind string, names ...string) func(int64, []string) ([]byte, string, error) {
	return func(id int64, values []string) ([]byte, string, error) {
		fields := map[string]any{kind + "_id": id}
		for i, name := range names {
			fields[name] = values[i]
		}
		payload, err := json.Marshal(fields)
		return payload, fmt.Sprintf("%s-%d", kind, id), err
	}
}

// perPage keys a view by its page: the views of one page are counted in their order.
func perPage(id int64, values []string) ([]byte, string, error) {
	payload, _, err := named("view", "page")(id, values)
	return payload, values[0], err
}

func addCode(values []string) ([]string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return nil, err
	}
	return append(values, fmt.Sprintf("%06d", n)), nil
}

// check returns what is wrong with text, or nothing.
func (f field) check(text string) string {
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return f.Label + ": this is not text that can be saved."
	case strings.TrimSpace(text) == "":
		return f.Label + ": please fill this in."
	case utf8.RuneCountInString(text) > f.Max:
		return fmt.Sprintf("%s: at most %d characters, please.", f.Label, f.Max)
	case f.Phone && (strings.Trim(text, "+-0123456789 ") != "" || len(strings.Trim(text, "+- ")) < 5):
		return f.Label + ": only digits, spaces, + and -, at least 5 digits."
	}
	return ""
}
