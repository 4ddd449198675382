package kafkasend

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	batchBytes = 1_000_012 // what brokers take unless told otherwise (message.max.bytes is 1 MiB with overhead)
	aloneBytes = 16 << 20  // more than delivery.MaxPayload and any headers

	// linger is zero on purpose: while one request is under way the next batch gathers by itself. Measured (BenchmarkSend, sends
	// per second with 1, 16 and 256 at once): none 35,000, 74,000, 190,000; 1 ms 700, 16,000, 59,000; 5 ms 180, 5,800, 57,000.
	linger = 0

	// The client's own retries are few and quick, the engine owns the long ones. A try counts when a request failed, was
	// refused, or could not be made.
	recordRetries  = 5
	topicRetries   = 2 // a topic that was just created may not be known everywhere
	requestRetries = 1
	retryPause     = 50 * time.Millisecond
	retryPauseMost = 200 * time.Millisecond
	metadataMinAge = 100 * time.Millisecond
)

// producer is one client and what was seen of it.
type producer struct {
	client *kgo.Client
	watch  *watch

	forgetting sync.Mutex
	forgotten  map[string]time.Time // topics that were made again, and when the client was told to look for them anew
}

func newProducer(options []kgo.Opt, signsIn bool, timeout time.Duration, batch int32) (*producer, error) {
	inner, err := kgo.DefaultCompressor(kgo.SnappyCompression(), kgo.NoCompression())
	if err != nil {
		return nil, err
	}
	p := &producer{watch: &watch{Compressor: inner, signsIn: signsIn}, forgotten: map[string]time.Time{}}
	own := []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()),
		// Without this a record that was sent once could never be given up: the client would send it for hours after its
		// attempt ended. The client then takes a new epoch, so that no later record is mistaken for the one given up.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordRetries(recordRetries), kgo.UnknownTopicRetries(topicRetries), kgo.RequestRetries(requestRetries),
		kgo.RetryBackoffFn(pause), kgo.MetadataMinAge(metadataMinAge), kgo.ProduceRequestTimeout(max(timeout, time.Second)),
		kgo.RequestTimeoutOverhead(max(timeout, time.Second)), kgo.ProducerBatchMaxBytes(batch), kgo.ProducerLinger(linger),
		kgo.RecordPartitioner(partitioner{}), kgo.WithCompressor(p.watch), kgo.WithHooks(p.watch)}
	p.client, err = kgo.NewClient(append(append([]kgo.Opt(nil), options...), own...)...)
	return p, err
}

func pause(tries int) time.Duration {
	return min(retryPause<<min(max(tries-1, 0), 10), retryPauseMost)
}

// watch knows whether anything was sent, and whether an answer stayed away. It stands where the client makes a batch into
// bytes: that happens before a write, under the lock that giving up needs too.
type watch struct {
	kgo.Compressor
	signsIn bool
	staged  atomic.Int64
	lost    atomic.Int64
	failed  atomic.Pointer[connectFailure]
}

// connectFailure is why the last connection did not come about.
type connectFailure struct {
	err error
	at  time.Time
}

var (
	_ kgo.HookBrokerE2E     = (*watch)(nil)
	_ kgo.HookBrokerConnect = (*watch)(nil)
)

// Compress counts a batch that is about to be written.
func (w *watch) Compress(dst *bytes.Buffer, src []byte, flags ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	w.staged.Add(1)
	return w.Compressor.Compress(dst, src, flags...)
}

// OnBrokerE2E counts produce requests that were written, at least in part, and never answered.
func (w *watch) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, exchange kgo.BrokerE2E) {
	if key == produceKey && exchange.Err() != nil {
		w.lost.Add(1)
	}
}

const produceKey = 0

// OnBrokerConnect remembers why a connection failed: a record that waits for one ends with its attempt and not with a reason.
func (w *watch) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		w.failed.Store(nil)
		return
	}
	w.failed.Store(&connectFailure{err: err, at: time.Now()})
}

// mark is a moment.
type mark struct {
	staged, lost int64
	at           time.Time
}

// evidence is what was seen since a mark. It speaks of the whole client: who shares it can only be judged more carefully.
type evidence struct {
	staged  bool  // something was sent
	lost    bool  // something was sent and not answered
	signsIn bool  // connections sign in
	connect error // why there was no connection
}

func (w *watch) mark() mark {
	return mark{staged: w.staged.Load(), lost: w.lost.Load(), at: time.Now()}
}

func (w *watch) since(m mark) evidence {
	seen := evidence{signsIn: w.signsIn, staged: w.staged.Load() != m.staged, lost: w.lost.Load() != m.lost}
	if f := w.failed.Load(); f != nil && f.at.After(m.at) {
		seen.connect = f.err
	}
	return seen
}

// anyPartition lets the key decide.
const anyPartition = -1

// partitioner places by key as every Kafka client does (murmur2), and a record that names its partition there.
type partitioner struct{}

// ForTopic is called once for each topic.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return placed{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type placed struct{ kgo.TopicPartitioner }

// RequiresConsistency is true where another partition is no substitute.
func (p placed) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != anyPartition || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition chooses.
func (p placed) Partition(r *kgo.Record, n int) int {
	if r.Partition != anyPartition {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch lets records without a key move on.
func (p placed) OnNewBatch() {
	if next, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		next.OnNewBatch()
	}
}
