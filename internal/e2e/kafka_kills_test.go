package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"redrive/store/storetest/patience"
	"redrive/store/storetest/services"
)

// sequences is a receiver of records whose text is their key and their number within it. One that came already is no news.
type sequences struct {
	*httptest.Server
	mu      sync.Mutex
	next    map[string]int    // by key: the number that has to come
	idem    map[string]string // by text: the idempotency key
	wrong   []string
	news    int
	again   int
	latest  time.Time     // news came
	longest time.Duration // without news, since begin
	marks   map[int]chan struct{}
}

func newSequences(t *testing.T) *sequences {
	s := &sequences{next: map[string]int{}, idem: map[string]string{}, marks: map[int]chan struct{}{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *sequences) receive(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off: not received
	}
	text, idem := string(body), r.Header.Get("Idempotency-Key")
	var key string
	var number int
	if _, err := fmt.Sscan(text, &key, &number); err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.idem[text]; known {
		if s.again++; before != idem {
			s.wrong = append(s.wrong, fmt.Sprintf("%s came as %s and as %s", text, before, idem))
		}
		return
	}
	if number != s.next[key] {
		s.wrong = append(s.wrong, fmt.Sprintf("%s came when %d had to", text, s.next[key]))
	}
	s.idem[text], s.next[key] = idem, number+1
	now := time.Now()
	s.longest, s.latest = max(s.longest, now.Sub(s.latest)), now
	if s.news++; s.marks[s.news] != nil {
		close(s.marks[s.news])
	}
}

// at is closed when so many records have come.
func (s *sequences) at(n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark := make(chan struct{})
	if s.news >= n {
		close(mark)
	} else {
		s.marks[n] = mark
	}
	return mark
}

// begin begins to look for the longest time without news.
func (s *sequences) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longest, s.latest = 0, time.Now()
}

func (s *sequences) standstill() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.longest
}

// Of these records, in order per key, so many pass while program and broker are killed so many times.
const (
	killedRecords = 10_000
	killedKeys    = 50
	killedTimes   = 20
	ofTheBroker   = 5
)

// deadSession is what a group waits for a member that did not say goodbye: no standstill may come near it.
const deadSession = 30 * time.Second

// Program and broker are killed twenty times, at moments that nobody chose, while records of an order pass: none is lost, none comes under
// another idempotency key, all come in order. What has to start again starts again, and records flow when it has: nothing waits for the
// session of a member that is dead.
func TestTwentyKillsOfProgramAndKafka(t *testing.T) {
	t.Parallel() // it waits most of the time
	kafka := services.StartKafka(t)
	kafka.CreateTopic(t, "orders", 6)
	receiver := newSequences(t)
	env := []string{onFreshDatabase(t), configFile(t, fmt.Sprintf(`integrations:
  - name: orders
    method: broker
    broker: {kafka: {brokers: [%q], topic: orders, group: redrive}}
    destination: {http: {url: %q, timeout: 1m}}
    idempotent: true
    ordered: true
    concurrency: 16
`, kafka.Brokers[0], receiver.URL))}
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...), kgo.DefaultProduceTopic("orders"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	p := serve(t, env...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	const each = killedRecords / killedTimes
	worst, order := time.Duration(0), chance.Perm(killedTimes)
	for kill := range killedTimes {
		first := kill * each
		moment := receiver.at(first + 1 + chance.IntN(each/2))
		publishOrders(t, producer, first, each/2)
		patience.Receive(t, "the moment of the kill", moment)
		receiver.begin()
		began, what := time.Now(), "program"
		if order[kill] < ofTheBroker {
			what = "broker"
			kafka.Kill()
			if err := kafka.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			p.kill()
			p = serve(t, env...)
		}
		ready := time.Since(began)
		publishOrders(t, producer, first+each/2, each/2)
		patience.Receive(t, "all records so far", receiver.at(first+each))
		still := receiver.standstill()
		t.Logf("kill %2d, of the %s: ready after %5.2f s, the longest standstill was %5.2f s", kill+1, what, ready.Seconds(), still.Seconds())
		// a machine that is slow to start anything is slow to go on
		if worst = max(worst, still); still > deadSession/3+3*ready {
			t.Errorf("kill %d, of the %s: %s without a record, although it was ready after %s", kill+1, what, still, ready)
		}
	}
	t.Logf("the longest standstill of %d kills was %.2f s; %d of %d records came more than once, under the same key", killedTimes, worst.Seconds(), receiver.again, killedRecords)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	if receiver.news != killedRecords || len(receiver.wrong) > 0 {
		t.Errorf("%d of %d records came; wrong: %d, the first of them %v", receiver.news, killedRecords, len(receiver.wrong), receiver.wrong[:min(len(receiver.wrong), 5)])
	}
}

func publishOrders(t *testing.T, producer *kgo.Client, from, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Limit)
	defer cancel()
	records := make([]*kgo.Record, n)
	for i := range records {
		key := fmt.Sprintf("key-%d", (from+i)%killedKeys)
		records[i] = &kgo.Record{Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", key, (from+i)/killedKeys)}
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
