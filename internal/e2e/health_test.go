package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"golang.org/x/crypto/ssh/knownhosts"

	"redrive/store/storetest/services"
)

const wrongPassword = "wr0ng-s3cret"

// sick is an integration of which one part does not work.
type sick struct {
	name, part string
	yaml       string // what follows the name
	says       string // in the reason
	fill       func() // gives it something to do
	mend       func() // nil: it stays as it is
	die        func() // once more, after it was mended; mend brings it back
}

// ward is what the integrations of the table need.
type ward struct {
	*testing.T
	good    *ledger
	program *program
	dsn     string
}

func (w *ward) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// nobody is an address at which nobody listens.
func (w *ward) nobody() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	w.check(listener.Close())
	return listener.Addr().String()
}

func (w *ward) taking(source string) string {
	return fmt.Sprintf("method: broker, broker: {%s}, idempotent: true, destination: {http: {url: %q}}", source, w.good.URL)
}

func (w *ward) sending(destination string) string {
	return fmt.Sprintf("method: outbox, idempotent: true, retry: {attempts: 100, backoff: [200ms], jitter: none}, destination: {%s}", destination)
}

func (w *ward) cut(upstream string) *services.Proxy {
	proxy := services.StartProxy(w.T, upstream)
	proxy.Cut()
	return proxy
}

func (w *ward) messages(integration string) func() {
	return func() {
		for n := range 3 {
			w.program.send(integration, n)
		}
	}
}

func (w *ward) redis() []sick {
	proxy, private := w.cut(services.RedisAddr(w.T)), services.StartRedis(w.T)
	to := w.cut(services.RedisAddr(w.T))
	client := redis.NewClient(&redis.Options{Addr: private.Addr, DisableIdentity: true})
	w.Cleanup(func() { _ = client.Close() })
	w.check(client.ConfigSet(w.Context(), "requirepass", "another").Err())
	admit := func() {
		as := redis.NewClient(&redis.Options{Addr: private.Addr, Password: "another", DisableIdentity: true})
		defer as.Close()
		w.check(as.ConfigSet(w.Context(), "requirepass", wrongPassword).Err())
	}
	return []sick{
		{name: "redis-dead", part: "source", says: "refused", yaml: w.taking(fmt.Sprintf("redis: {addr: %q, channel: c}", proxy.Addr)), mend: proxy.Heal, die: proxy.Cut},
		{name: "redis-login", part: "source", says: "WRONGPASS", yaml: w.taking(fmt.Sprintf("redis: {addr: %q, channel: c, password: %q}", private.Addr, wrongPassword)), mend: admit},
		{name: "to-redis-dead", part: "destination", says: "refused the connection", yaml: w.sending(fmt.Sprintf("redis: {addr: %q, channel: c, require_subscribers: 0}", to.Addr)),
			fill: w.messages("to-redis-dead"), mend: to.Heal, die: to.Cut},
	}
}

func (w *ward) rabbit() []sick {
	address := services.RabbitMQURL(w.T)
	conn, err := amqp.Dial(address)
	w.check(err)
	w.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	w.check(err)
	declare := func(queue string) func() {
		return func() {
			_, err := channel.QueueDeclare(queue, false, false, false, false, nil)
			w.check(err)
			w.Cleanup(func() { _, _ = channel.QueueDelete(queue, false, false, false) })
		}
	}
	declare("health-there")()
	proxy, proxied := services.StartRabbitMQProxy(w.T, address)
	proxy.Cut()
	to, toProxied := services.StartRabbitMQProxy(w.T, address)
	to.Cut()
	wrong := strings.Replace(address, services.RabbitMQPassword, wrongPassword, 1)
	if !strings.Contains(wrong, wrongPassword) {
		wrong = "amqp://redrive:" + wrongPassword + "@" + address[strings.LastIndex(address, "@")+1:]
	}
	return []sick{
		{name: "rabbit-dead", part: "source", says: "refused", yaml: w.taking(fmt.Sprintf("rabbitmq: {url: %q, queue: health-there}", proxied)), mend: proxy.Heal, die: proxy.Cut},
		{name: "rabbit-login", part: "source", says: "ACCESS_REFUSED", yaml: w.taking(fmt.Sprintf("rabbitmq: {url: %q, queue: health-there}", wrong))},
		{name: "rabbit-queue", part: "source", says: "NOT_FOUND", yaml: w.taking(fmt.Sprintf("rabbitmq: {url: %q, queue: health-missing}", address)), mend: declare("health-missing")},
		{name: "to-rabbit-dead", part: "destination", says: "refused the connection", yaml: w.sending(fmt.Sprintf("rabbitmq: {url: %q, routing_key: health-there}", toProxied)),
			fill: w.messages("to-rabbit-dead"), mend: to.Heal, die: to.Cut},
		{name: "to-rabbit-queue", part: "destination", says: "", yaml: w.sending(fmt.Sprintf("rabbitmq: {url: %q, routing_key: health-gone}", address)),
			fill: w.messages("to-rabbit-queue"), mend: func() { declare("health-gone")(); w.messages("to-rabbit-queue")() }},
		{name: "to-rabbit-login", part: "destination", says: "", yaml: w.sending(fmt.Sprintf("rabbitmq: {url: %q, routing_key: health-there}", wrong)), fill: w.messages("to-rabbit-login")},
	}
}

func (w *ward) kafka() []sick {
	k, suffix := services.SharedKafka(w.T), rand.Text()
	topic := func(name string) string { return "health-" + name + "-" + suffix }
	k.CreateTopic(w, topic("there"), 1)
	create := func(name string) { k.CreateTopic(w, topic(name), 1) }
	login := fmt.Sprintf("brokers: [%q], sasl: {mechanism: plain, username: %s, password: %q}", k.SASL[0], services.KafkaUser, wrongPassword)
	reached := fmt.Sprintf("brokers: [%q]", k.Brokers[0])
	proxy, proxied := k.Proxy(w)
	proxy.Cut()
	lasts := fmt.Sprintf("brokers: [%q]", proxied[0])
	there := ", topic: " + topic("there")
	return []sick{
		{name: "kafka-later", part: "source", says: "", yaml: w.taking("kafka: {" + lasts + there + ", group: later-" + suffix + "}"), mend: proxy.Heal, die: proxy.Cut},
		{name: "to-kafka-later", part: "destination", says: "", yaml: w.sending("kafka: {" + lasts + there + "}"), fill: w.messages("to-kafka-later"), mend: func() {}, die: func() {}},
		{name: "kafka-dead", part: "source", says: "", yaml: w.taking(fmt.Sprintf("kafka: {brokers: [%q], topic: t, group: g}", w.nobody()))},
		{name: "kafka-login", part: "source", says: "", yaml: w.taking("kafka: {" + login + there + ", group: g}")},
		{name: "kafka-topic", part: "source", says: "UNKNOWN_TOPIC_OR_PARTITION", yaml: w.taking("kafka: {" + reached + ", topic: " + topic("missing") + ", group: missing-" + suffix + "}"), mend: func() { create("missing") }},
		{name: "to-kafka-dead", part: "destination", says: "", yaml: w.sending(fmt.Sprintf("kafka: {brokers: [%q], topic: t}", w.nobody())), fill: w.messages("to-kafka-dead")},
		{name: "to-kafka-login", part: "destination", says: "", yaml: w.sending("kafka: {" + login + there + "}"), fill: w.messages("to-kafka-login")},
		{name: "to-kafka-topic", part: "destination", says: "", yaml: w.sending("kafka: {" + reached + ", topic: " + topic("gone") + "}"), fill: w.messages("to-kafka-topic"),
			mend: func() { create("gone"); w.messages("to-kafka-topic")() }},
	}
}

func (w *ward) postgres() []sick {
	capture := func(url, table string) string {
		return fmt.Sprintf("method: cdc, idempotent: true, cdc: {url: %q, tables: [{table: %s}]}, destination: {http: {url: %q}}", url, table, w.good.URL)
	}
	dead := "postgres://redrive:" + wrongPassword + "@" + w.nobody() + "/shop"
	login := strings.Replace(w.dsn, "://", "://nobody:"+wrongPassword+"@", 1)
	if at := strings.LastIndex(w.dsn, "@"); at > 0 {
		login = "postgres://nobody:" + wrongPassword + w.dsn[at:]
	}
	run := func(name string) func() {
		return func() { w.program.do("POST", "/api/v1/integrations/"+name+"/runs", `{"reason": "a test"}`) }
	}
	as := func(role string) string {
		if at := strings.LastIndex(w.dsn, "@"); at > 0 {
			return "postgres://" + role + ":" + wrongPassword + w.dsn[at:]
		}
		return strings.Replace(w.dsn, "://", "://"+role+":"+wrongPassword+"@", 1)
	}
	own := connect(w.T, w.dsn)
	mustExec(w.T, own, "CREATE TABLE public.captured (id int PRIMARY KEY)")
	mustExec(w.T, own, "CREATE TABLE public.filled (id int PRIMARY KEY)")
	admit := func(role string) (mend, die func()) {
		mustExec(w.T, own, "CREATE ROLE "+role+" NOLOGIN SUPERUSER PASSWORD '"+wrongPassword+"'")
		w.Cleanup(func() {
			conn, err := pgx.Connect(context.Background(), w.dsn) // the test's own context is over
			w.check(err)
			defer conn.Close(context.Background())
			for _, statement := range []string{"REASSIGN OWNED BY %s TO CURRENT_USER", "DROP OWNED BY %s", "DROP ROLE %s"} {
				if _, err := conn.Exec(context.Background(), fmt.Sprintf(statement, role)); err != nil {
					w.Error(err)
				}
			}
		})
		return func() { mustExec(w.T, own, "ALTER ROLE "+role+" LOGIN") }, func() {
			mustExec(w.T, own, "ALTER ROLE "+role+" NOLOGIN")
			mustExec(w.T, own, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
		}
	}
	suffix := strings.ToLower(rand.Text()[:8])
	capturer, filler := "capturer_"+suffix, "filler_"+suffix
	mendCapture, dieCapture := admit(capturer)
	mendFill, dieFill := admit(filler)
	batch := `method: batch, batch: {schedule: "0 0 1 1 *", query: %q}, retry: {attempts: 1}, destination: {%s}`
	patient := strings.Replace(batch, "attempts: 1", "attempts: 100, backoff: [200ms], jitter: none", 1)
	return []sick{
		{name: "cdc-later", part: "source", says: "not permitted to log in", yaml: capture(as(capturer), "public.captured"), mend: mendCapture, die: dieCapture},
		{name: "table-role", part: "destination", says: "not permitted to log in", yaml: fmt.Sprintf(patient, "SELECT 1 AS id", fmt.Sprintf("table: {url: %q, table: public.filled, key: [id], columns: [id]}", as(filler))),
			fill: run("table-role"), mend: mendFill, die: dieFill},
		{name: "table-gone", part: "destination", says: "public.later", yaml: fmt.Sprintf(patient, "SELECT 1 AS id", fmt.Sprintf("table: {url: %q, table: public.later, key: [id], columns: [id]}", w.dsn)),
			fill: run("table-gone"), mend: func() { mustExec(w.T, own, "CREATE TABLE public.later (id int PRIMARY KEY)"); run("table-gone")() }, die: func() { mustExec(w.T, own, "DROP TABLE public.later") }},
		{name: "cdc-dead", part: "source", says: "refused", yaml: capture(dead, "public.t")},
		{name: "cdc-login", part: "source", says: "", yaml: capture(login, "public.t")},
		{name: "cdc-table", part: "source", says: "public.missing", yaml: capture(w.dsn, "public.missing")},
		{name: "batch-query", part: "schedule", says: "not_there", yaml: fmt.Sprintf(batch, "SELECT id FROM public.not_there", fmt.Sprintf("file: {format: csv, to: {dir: %q}}", w.TempDir())),
			fill: run("batch-query"), mend: func() {
				mustExec(w.T, connect(w.T, w.dsn), "CREATE TABLE public.not_there AS SELECT 1 AS id")
				run("batch-query")()
			}},
		{name: "batch-table", part: "destination", says: "", yaml: fmt.Sprintf(batch, "SELECT 1 AS id", fmt.Sprintf("table: {url: %q, table: public.t, key: [id], columns: [id]}", dead)), fill: run("batch-table")},
	}
}

// files are of batches: a directory, here and on a server.
func (w *ward) files() []sick {
	run := func(name string) func() {
		return func() { w.program.do("POST", "/api/v1/integrations/"+name+"/runs", `{"reason": "a test"}`) }
	}
	here, server := filepath.Join(w.TempDir(), "mounted"), services.StartSSHD(w.T)
	proxy := w.cut(server.Addr)
	known := filepath.Join(w.TempDir(), "known_hosts")
	w.check(os.WriteFile(known, []byte(knownhosts.Normalize(proxy.Addr)+" "+server.HostKeys[0]+"\n"), 0o600))
	there := filepath.Join(server.Dir, "mounted")
	to := func(place string) string {
		return fmt.Sprintf(`method: batch, batch: {schedule: "0 0 1 1 *", query: SELECT 1 AS id}, retry: {attempts: 100, backoff: [200ms], jitter: none}, destination: {file: {format: csv, to: {%s}}}`, place)
	}
	sftp := func(addr, path, login, known string) string {
		return to(fmt.Sprintf("sftp: {addr: %q, path: %q, %s, known_hosts: %q}", addr, path, login, known))
	}
	key := fmt.Sprintf("user: %q, key: %q", server.User, server.Key)
	appear := func(dir string) func() { return func() { w.check(os.Mkdir(dir, 0o755)) } }
	vanish := func(dir string) func() { return func() { w.check(os.RemoveAll(dir)) } }
	return []sick{
		{name: "dir-missing", part: "destination", says: "the directory is missing", yaml: to(fmt.Sprintf("dir: %q", here)), fill: run("dir-missing"), mend: appear(here), die: vanish(here)},
		{name: "sftp-dir", part: "destination", says: "SSH_FX_NO_SUCH_FILE, at " + there, yaml: sftp(server.Addr, there, key, server.KnownHosts), fill: run("sftp-dir"), mend: appear(there), die: vanish(there)},
		{name: "sftp-host", part: "destination", says: "refused the connection", yaml: sftp(proxy.Addr, server.Dir, key, known), fill: run("sftp-host"), mend: proxy.Heal, die: proxy.Cut},
		{name: "sftp-login", part: "destination", says: "does not accept the login", yaml: sftp(server.Addr, server.Dir, fmt.Sprintf("user: %q, password: %q", server.User, wrongPassword), server.KnownHosts), fill: run("sftp-login")},
	}
}

func (w *ward) others() []sick {
	proxy := w.cut(strings.TrimPrefix(w.good.URL, "http://"))
	refusing, hanging := newLedger(w.T), newLedger(w.T)
	refusing.answer(401)
	hanging.hold = make(chan struct{})
	relay := connect(w.T, w.dsn)
	return []sick{
		{name: "http-dead", part: "destination", says: "refused the connection", yaml: w.sending(fmt.Sprintf("http: {url: %q}", "http://"+proxy.Addr)), fill: w.messages("http-dead"),
			mend: proxy.Heal, die: proxy.Cut},
		{name: "http-login", part: "destination", says: "401", yaml: w.sending(fmt.Sprintf("http: {url: %q}", refusing.URL)), fill: w.messages("http-login"),
			mend: func() { refusing.answer(200); w.messages("http-login")() }},
		{name: "pool-hangs", part: "pool", says: "all 2 workers are busy", yaml: fmt.Sprintf("method: pool, idempotent: true, pool: {workers: 2, queue: 10}, destination: {http: {url: %q, timeout: 5m}}", hanging.URL),
			fill: w.messages("pool-hangs"), mend: func() { close(hanging.hold) }},
		{name: "relay-stands", part: "relay", says: "does not move", yaml: fmt.Sprintf("method: outbox, subscribe: [waited.for], idempotent: true, destination: {http: {url: %q}}", w.good.URL),
			fill: func() {
				mustExec(w.T, relay, "BEGIN; SELECT FROM redrive.positions FOR UPDATE")
				mustExec(w.T, connect(w.T, w.dsn), "SELECT redrive.publish('waited.for', 'x'::bytea)")
			}, mend: func() { mustExec(w.T, relay, "ROLLBACK") }},
	}
}

// stands is how a part of an integration stands, as the API says.
func (p *program) stands(integration, part string) (status, reason string, since time.Time) {
	p.t.Helper()
	var list struct {
		Items []struct {
			Name, Status string
			Health       []struct {
				Part, Status string
				Since        time.Time
				LastError    string `json:"last_error"`
			}
		}
	}
	p.json("/api/v1/integrations", &list)
	for _, in := range list.Items {
		for _, h := range in.Health {
			if in.Name == integration && h.Part == part {
				if h.Status == "degraded" && in.Status == "ok" {
					p.t.Errorf("%s is ok while its %s does not work", integration, part)
				}
				return h.Status, h.LastError, h.Since
			}
		}
	}
	return "", "", time.Time{}
}

func (s sick) awaitDegraded(t *testing.T, p *program) {
	t.Helper()
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s was last degraded because of %q", s.name, last)
		}
	})
	// the first reason may be how it ended, and the one that stays comes with the next try
	await(t, s.name+" is degraded, and says "+s.says, func() bool {
		status, reason, _ := p.stands(s.name, s.part)
		last = reason
		return status == "degraded" && reason != "" && strings.Contains(reason, s.says)
	})
}

// Every kind of source and destination that never works, then works, then ceases to: the status says so with a reason, as an alarm
// and a metric, also after a kill, and is ok again by itself. No reason holds a password.
func TestWhatDoesNotWorkIsSaidSo(t *testing.T) {
	t.Parallel() // it waits most of the time
	database := onFreshDatabase(t)
	w := &ward{T: t, good: newLedger(t), dsn: strings.TrimPrefix(database, "DATABASE_URL=")}
	var list []sick
	for _, some := range []func() []sick{w.redis, w.rabbit, w.kafka, w.postgres, w.files, w.others} {
		list = append(list, some()...)
	}
	file := "integrations:\n"
	for _, s := range list {
		file += fmt.Sprintf("  - {name: %s, %s}\n", s.name, s.yaml)
	}
	env := []string{database, configFile(t, file), inAHurry + "=1"}
	p := serve(t, env...)
	w.program = p
	for _, s := range list {
		if s.fill != nil {
			s.fill()
		}
	}
	for _, s := range list {
		s.awaitDegraded(t, p)
	}
	for _, s := range list {
		await(t, s.name+" has a metric", func() bool {
			return strings.Contains(p.do("GET", "/metrics", ""), fmt.Sprintf("redrive_up{integration=%q,part=%q} 0", s.name, s.part))
		})
	}
	_, _, before := p.stands("http-dead", "destination")
	said := p.output() + p.do("GET", "/api/v1/integrations", "")
	p.kill()
	p = serve(t, env...)
	w.program = p
	if status, reason, since := p.stands("http-dead", "destination"); status != "degraded" || reason == "" || !since.Equal(before) {
		t.Errorf("after a kill: %s since %s, before since %s", status, since, before)
	}
	for _, s := range list {
		if s.mend != nil {
			s.mend()
		}
	}
	awaitOK := func(s sick) {
		t.Helper()
		await(t, s.name+" is ok", func() bool { status, _, _ := p.stands(s.name, s.part); return status == "ok" })
	}
	for _, s := range list {
		if s.mend != nil {
			awaitOK(s)
		}
	}
	died := time.Now()
	list, stays := slices.DeleteFunc(slices.Clone(list), func(s sick) bool { return s.die == nil }), list
	for _, s := range list {
		s.die()
		if s.fill != nil {
			s.fill()
		}
	}
	for _, s := range list {
		s.awaitDegraded(t, p)
		if _, _, since := p.stands(s.name, s.part); since.Before(died.Add(-time.Second)) || since.After(time.Now().Add(time.Second)) {
			t.Errorf("%s: degraded since %s, it died at %s", s.name, since, died)
		}
	}
	for _, s := range list {
		s.mend()
	}
	for _, s := range list {
		awaitOK(s)
	}
	list = stays
	said += p.output() + p.do("GET", "/api/v1/integrations", "") + p.do("GET", "/metrics", "")
	if strings.Contains(said, wrongPassword) {
		t.Error("a password shows")
	}
	for _, s := range list {
		if !strings.Contains(said, fmt.Sprintf("integration=%s part=%s since=", s.name, s.part)) {
			t.Errorf("%s: no alarm in the log", s.name)
		}
		if s.mend != nil && !strings.Contains(said, fmt.Sprintf(`msg="the alarm is over" integration=%s part=%s`, s.name, s.part)) {
			t.Errorf("%s: no end of the alarm in the log", s.name)
		}
	}
}
