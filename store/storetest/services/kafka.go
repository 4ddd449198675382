package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"redrive/store/storetest/fetch"
	"redrive/store/storetest/patience"
)

// Who may sign in to a Kafka that is started here, by PLAIN and SCRAM alike.
const (
	KafkaUser     = "redrive"  // may do everything
	KafkaStranger = "stranger" // may do nothing
	// KafkaPassword is the password of both: a test can look for it where it must not be.
	KafkaPassword = "s3cr3t-of-the-kafka"
)

// kafkaArtifacts are the broker and what it logs with.
var kafkaArtifacts = []string{"org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"}

const (
	oldestJava   = 17
	kafkaCluster = "redrive0tests0kafka00w" // sixteen bytes in base64
)

// Kafka is a private Apache Kafka of one node, which is broker and controller. Its addresses are host:port, the same after a restart.
type Kafka struct {
	Brokers   []string // open to all
	SASL      []string // PLAIN and SCRAM without TLS
	TLS       []string
	SASLTLS   []string
	MutualTLS []string // asks for a certificate of the client

	CA, ClientCert, ClientKey string // PEM files: who signed the broker's certificate, and a client that may do everything

	Proxied []KafkaProxied
	Dir     string

	java, jars string
	options    []string // of Java
	formatted  string   // data to begin with; without it they are made
	run        *process
}

// KafkaProxied is a listener of the broker that tells its clients to connect to Advertised, where a proxy has to be.
type KafkaProxied struct {
	Listener, Advertised string
	SASL                 bool // clients sign in
}

// FindKafka returns the path of a Java that can run it; Maven brings the broker.
func FindKafka() (java string, err error) {
	if java, err = find("java"); err != nil {
		return "", err
	}
	out, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking java for its version: %w", err)
	}
	if found := regexp.MustCompile(`version "(\d+)`).FindSubmatch(out); found == nil {
		return "", errors.New("java does not say which version it is")
	} else if version, _ := strconv.Atoi(string(found[1])); version < oldestJava { // the pattern is one of a number
		return "", fmt.Errorf("Kafka needs Java %d or later, this is Java %d: install openjdk-%d-jre-headless or later", oldestJava, version, oldestJava)
	}
	_, err = find("mvn")
	return java, err
}

// LaunchKafka starts a broker with so many listeners for proxies. properties are lines of its configuration that go after the others.
func LaunchKafka(ctx context.Context, proxied int, properties ...string) (*Kafka, error) {
	java, err := FindKafka()
	if err != nil {
		return nil, err
	}
	jars, err := fetch.Maven(ctx, kafkaArtifacts...)
	if err != nil {
		return nil, err
	}
	k := &Kafka{java: java, jars: jars}
	if err = k.prepare(ctx); err != nil {
		return nil, err
	}
	err = again(func() error {
		err := k.arrange(ctx, proxied, properties)
		if err == nil {
			err = k.Start(ctx)
		}
		if err != nil {
			return errors.Join(err, k.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// arrange makes the directory of a broker that has not been started yet.
func (k *Kafka) arrange(ctx context.Context, proxied int, properties []string) (err error) {
	if k.Dir, err = tempDir(); err != nil {
		return err
	}
	if err = errors.Join(k.certify(), k.publishKey()); err != nil {
		return err
	}
	lines, err := k.listeners(proxied)
	if err != nil {
		return err
	}
	text := strings.Join(append(append(lines, k.settings()...), properties...), "\n") + "\n"
	if err = os.WriteFile(k.at("server.properties"), []byte(text), 0o600); err != nil {
		return err
	}
	if k.formatted != "" {
		return os.CopyFS(k.at(data), os.DirFS(k.formatted))
	}
	return k.format(ctx)
}

func (k *Kafka) at(name string) string { return filepath.Join(k.Dir, name) }

// listeners gives the broker its ports, and says so in its configuration.
func (k *Kafka) listeners(proxied int) ([]string, error) {
	kinds := []struct {
		name, protocol string
		told           *[]string
	}{
		{"OPEN", "PLAINTEXT", &k.Brokers},
		{"SASL", "SASL_PLAINTEXT", &k.SASL},
		{"TLS", "SSL", &k.TLS},
		{"SASLTLS", "SASL_SSL", &k.SASLTLS},
		{"MUTUAL", "SSL", &k.MutualTLS},
	}
	ports, err := quietPorts(1 + len(kinds) + 2*proxied)
	if err != nil {
		return nil, err
	}
	next := func() string {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
		ports = ports[1:]
		return address
	}
	controller := next()
	all, told, protocols := []string{"CONTROLLER://" + controller}, []string(nil), []string{"CONTROLLER:PLAINTEXT"}
	for _, kind := range kinds {
		address := next()
		*kind.told = []string{address}
		all, told = append(all, kind.name+"://"+address), append(told, kind.name+"://"+address)
		protocols = append(protocols, kind.name+":"+kind.protocol)
	}
	k.Proxied = nil
	for n := range proxied {
		name, p := fmt.Sprintf("PROXIED%d", n), KafkaProxied{next(), next(), n%4 == 0}
		k.Proxied = append(k.Proxied, p)
		all, told = append(all, name+"://"+p.Listener), append(told, name+"://"+p.Advertised)
		if p.SASL {
			protocols = append(protocols, name+":SASL_PLAINTEXT")
		} else {
			protocols = append(protocols, name+":PLAINTEXT")
		}
	}
	return []string{
		"controller.quorum.voters=1@" + controller,
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=OPEN",
		"listeners=" + strings.Join(all, ","),
		"advertised.listeners=" + strings.Join(told, ","),
		"listener.security.protocol.map=" + strings.Join(protocols, ","),
	}, nil
}

// settings make a small broker that keeps nobody waiting.
func (k *Kafka) settings() []string {
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"log.dirs=" + k.at(data),
		"auto.create.topics.enable=false",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=100",
		"group.share.min.record.lock.duration.ms=1000",
		"group.share.min.heartbeat.interval.ms=500",
		"group.share.heartbeat.interval.ms=500", // a new share group gets its partitions with the second one
		"num.network.threads=1",                 // of each listener
		"num.io.threads=4",
		"background.threads=2",
		"log.cleaner.dedupe.buffer.size=4194304", // else it is larger than the heap
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS;User:" + KafkaUser + ";User:CN=" + KafkaUser,
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + k.at("broker.pem"),
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + k.CA,
		"listener.name.mutual.ssl.client.auth=required",
	}
	for _, topic := range []string{"offsets.topic", "transaction.state.log", "share.coordinator.state.topic"} {
		lines = append(lines, topic+".num.partitions=1", topic+".replication.factor=1")
	}
	lines = append(lines, "transaction.state.log.min.isr=1", "share.coordinator.state.topic.min.isr=1")
	const security = "org.apache.kafka.common.security."
	signedIn := []string{"sasl", "sasltls"}
	for n, p := range k.Proxied {
		if p.SASL {
			signedIn = append(signedIn, fmt.Sprintf("proxied%d", n))
		}
	}
	for _, listener := range signedIn {
		of := "listener.name." + listener + "."
		lines = append(lines, of+"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
			fmt.Sprintf(`%splain.sasl.jaas.config=%splain.PlainLoginModule required user_%s="%s" user_%s="%[4]s";`,
				of, security, KafkaUser, KafkaPassword, KafkaStranger))
		lines = append(lines, k.acceptTokens(listener)...)
		for _, scram := range []string{"256", "512"} {
			lines = append(lines, fmt.Sprintf("%sscram-sha-%s.sasl.jaas.config=%sscram.ScramLoginModule required;", of, scram, security))
		}
	}
	return lines
}

// format prepares the directory of the data, with those who may sign in.
func (k *Kafka) format(ctx context.Context) error {
	args := []string{"format", "-t", kafkaCluster, "-c", k.at("server.properties")}
	for _, user := range []string{KafkaUser, KafkaStranger} {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, KafkaPassword))
		}
	}
	cmd := k.command("kafka.tools.StorageTool", args...)
	run, err := launch(cmd, k.at("format.log"))
	if err != nil {
		return err
	}
	defer run.kill()
	select {
	case <-run.Ended():
		if err := run.Wait(); err != nil {
			return fmt.Errorf("preparing Kafka's data: %w: %s", err, run.lastWords())
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// command runs a class of the broker in a process that starts quickly and stays small.
func (k *Kafka) command(class string, args ...string) *exec.Cmd {
	cmd := exec.Command(k.java, slices.Concat(k.options, []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=" + k.keys(),
		"-cp", k.jars, class}, args)...)
	cmd.Dir, cmd.Env = k.Dir, clean("KAFKA_", "JAVA_TOOL_OPTIONS=", "JDK_JAVA_OPTIONS=", "_JAVA_OPTIONS=", "CLASSPATH=")
	return cmd
}

// Start starts a broker that was stopped or killed, at its old addresses, with what it had stored. It is ready for groups.
func (k *Kafka) Start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience.Limit)
	defer cancel()
	if k.run, err = launch(k.command("kafka.Kafka", k.at("server.properties")), k.at("log")); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	return k.run.ready(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := kadm.NewClient(client).FetchOffsets(ctx, "ready")
		return err
	})
}

// Stop ends the broker in good order.
func (k *Kafka) Stop() { k.run.stop() }

// Kill ends the broker at once.
func (k *Kafka) Kill() { k.run.kill() }

// Close ends the broker for good and removes its directory.
func (k *Kafka) Close() error {
	k.run.kill()
	return os.RemoveAll(k.Dir)
}

// String is what another process needs to use the broker: SharedKafka reads it.
func (k *Kafka) String() string {
	raw, _ := json.Marshal(k) // strings only
	return string(raw)
}

// KafkaBrokers returns the cluster of the run, which other tests use too: name topics and groups so that they differ. It may be any
// Kafka: who needs more than an open address uses SharedKafka.
func KafkaBrokers(t testing.TB) []string {
	t.Helper()
	return strings.Split(ofTheRun(t, KafkaVariable), ",")
}

// SharedKafka returns a Kafka that other tests use too and that has all listeners: that of the run, or where the caller has brought a
// cluster of his own, one for this test. It cannot be stopped.
func SharedKafka(t testing.TB) *Kafka {
	t.Helper()
	described := os.Getenv(KafkaDescription)
	if described == "" {
		KafkaBrokers(t)
		return StartKafka(t)
	}
	var k Kafka
	check(t, json.Unmarshal([]byte(described), &k))
	return &k
}

// StartKafka starts a Kafka for one test, which may stop and kill it. properties are lines of its configuration that go after the
// others, such as "group.share.record.lock.duration.ms=1000".
func StartKafka(t testing.TB, properties ...string) *Kafka {
	t.Helper()
	// after a kill the controller takes the broker back when its session is over
	k, err := LaunchKafka(context.Background(), 3, append([]string{"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=250"}, properties...)...)
	check(t, err)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("services: %v", err)
		}
	})
	return k
}

// Proxy leads to the broker until the test ends: all connections of a client that starts with its address go through it.
func (k *Kafka) Proxy(t testing.TB) (p *Proxy, brokers []string) {
	t.Helper()
	return k.proxy(t, false)
}

// SASLProxy is Proxy for clients that sign in.
func (k *Kafka) SASLProxy(t testing.TB) (p *Proxy, brokers []string) {
	t.Helper()
	return k.proxy(t, true)
}

func (k *Kafka) proxy(t testing.TB, sasl bool) (p *Proxy, brokers []string) {
	t.Helper()
	patience.Until(t, "a listener of Kafka's that no other test uses", func() bool {
		for n, listener := range k.Proxied {
			if listener.SASL != sasl {
				continue
			}
			unlock := lock(t, k.at(fmt.Sprintf("proxy-%d.lock", n)))
			if unlock == nil {
				continue
			}
			before, upstream := startGate(t, listener.Listener)
			proxy, err := startProxy(t, listener.Advertised, upstream)
			if err != nil { // somebody else has the port
				unlock()
				continue
			}
			proxy.gate = before
			t.Cleanup(unlock)
			t.Cleanup(proxy.proxy.Stop)
			p, brokers = proxy, []string{listener.Advertised}
			return true
		}
		return false
	})
	return p, brokers
}

// lock takes a file for this test alone; nil means that another one has it.
func lock(t testing.TB, path string) (unlock func()) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	check(t, err)
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = file.Close()
		return nil
	}
	return func() { _ = file.Close() }
}

// Admin makes topics, deletes records and the like until the test ends.
func (k *Kafka) Admin(t testing.TB) *kadm.Client {
	t.Helper()
	return KafkaAdmin(t, k.Brokers)
}

// CreateTopic makes a topic that goes away with the test; settings are its configuration, such as "max.message.bytes=20000".
func (k *Kafka) CreateTopic(t testing.TB, name string, partitions int32, settings ...string) {
	t.Helper()
	CreateKafkaTopic(t, KafkaAdmin(t, k.Brokers), name, partitions, settings...)
}

// KafkaAdmin is Admin for any cluster.
func KafkaAdmin(t testing.TB, brokers []string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(adminClient(t, brokers))
}

func adminClient(t testing.TB, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond))
	check(t, err)
	t.Cleanup(client.Close)
	return client
}

// EvictFromKafka ends what is left in a group of members that were killed: the broker would wait for them until their session is over.
func EvictFromKafka(t testing.TB, brokers []string, group string) {
	t.Helper()
	client := adminClient(t, brokers)
	described, err := kadm.NewClient(client).DescribeGroups(t.Context(), group)
	check(t, err)
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = group
	for _, m := range described[group].Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
		request.Members = append(request.Members, member)
	}
	_, err = request.RequestWith(t.Context(), client)
	check(t, err)
}

// CreateKafkaTopic is CreateTopic for any cluster.
func CreateKafkaTopic(t testing.TB, admin *kadm.Client, name string, partitions int32, settings ...string) {
	t.Helper()
	configs := map[string]*string{}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		configs[name] = &value
	}
	patience.Until(t, "the topic "+name+" is created", func() bool {
		_, err := admin.CreateTopic(t.Context(), partitions, -1, configs, name)
		var early *kgo.ErrFirstReadEOF // a broker that has just begun may close what it took too early
		if errors.As(err, &early) {
			return false
		}
		check(t, err)
		return true
	})
	// what is asked of it next finds it
	patience.Until(t, "the topic "+name, func() bool {
		topics, err := admin.ListTopics(t.Context(), name)
		check(t, err)
		ready := len(topics[name].Partitions) == int(partitions)
		for _, p := range topics[name].Partitions {
			ready = ready && p.Err == nil && p.Leader >= 0
		}
		if !ready {
			return false
		}
		// who leads is known before the leader knows of it: until then nothing can be sent there
		ends, err := admin.ListEndOffsets(t.Context(), name)
		return err == nil && ends.Error() == nil && len(ends[name]) == int(partitions)
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := admin.DeleteTopic(ctx, name); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Logf("services: deleting %s: %v", name, err) // the broker may have been killed
		}
	})
}
