package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"redrive/delivery"
	"redrive/store/storetest/services"
)

// rights are what a user who may do nothing is allowed for the time of a test.
type rights struct {
	t     *testing.T
	admin *kadm.Client
}

// asStranger is how that user signs in.
func asStranger(k *services.Kafka) delivery.KafkaServer {
	return delivery.KafkaServer{Brokers: k.SASL,
		SASL: &delivery.SASL{Mechanism: "plain", Username: services.KafkaStranger, Password: services.KafkaPassword}}
}

func toTopic(name string, to ...kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(name).ResourcePatternType(kadm.ACLPatternLiteral).Operations(to...).
		Allow("User:" + services.KafkaStranger).AllowHosts()
}

func toGroup(name string, to ...kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Groups(name).ResourcePatternType(kadm.ACLPatternLiteral).Operations(to...).
		Allow("User:" + services.KafkaStranger).AllowHosts()
}

func (r rights) grant(what *kadm.ACLBuilder) {
	r.t.Helper()
	made, err := r.admin.CreateACLs(r.t.Context(), what)
	if err != nil || len(made) == 0 || made[0].Err != nil {
		r.t.Fatal(made, err)
	}
}

func (r rights) withdraw(what *kadm.ACLBuilder) {
	r.t.Helper()
	gone, err := r.admin.DeleteACLs(r.t.Context(), what)
	if err != nil || len(gone) == 0 || gone[0].Err != nil || len(gone[0].Deleted) == 0 {
		r.t.Fatal(gone, err)
	}
}

// says waits until the page does, with the source failing.
func (r *rig) says(l *life, text string) {
	r.t.Helper()
	why := ""
	r.eventually(text, func() bool {
		f := l.Facts(r.t.Context())
		why = f.Why.English()
		return f.Status == delivery.SourceReconnecting && strings.Contains(why, text)
	})
	if n := strings.Count(why, text); n > 1 {
		r.t.Errorf("it is said %d times: %s", n, why)
	}
	if c := l.Condition(); c.State == delivery.ConditionWorks {
		r.t.Errorf("it works, with %q", why)
	}
	if strings.Contains(why, services.KafkaPassword) {
		r.t.Errorf("the password leaks: %s", why)
	}
}

// What the broker's rights forbid is said, each thing by its name; with the right everything goes on, and nothing was lost or sent twice.
func TestWhatTheRightsForbid(t *testing.T) {
	k := services.SharedKafka(t)
	const noTopic, noGroup = "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"
	for kind, open := range map[string]func(*testing.T) place{"group": openKafka, "share group": openShare} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			may := rights{t, k.Admin(t)}
			r := newRig(t, bed{name: kind, remembers: true, open: open})
			source := r.in.Broker.From.(*delivery.KafkaSource)
			source.KafkaServer = asStranger(k)
			see, read := toTopic(source.Topic, kadm.OpDescribe), toTopic(source.Topic, kadm.OpRead)
			join := toGroup(source.Group+source.ShareGroup, kadm.OpRead) // one of the two is empty
			r.place.publish(t, notes(3)...)
			l := r.launch(func(c *Config) { c.look = 200 * time.Millisecond })
			r.says(l, noTopic)
			may.grant(see)
			r.says(l, noGroup)
			may.grant(join)
			r.says(l, noTopic)
			may.grant(read)
			r.ledger.arrived(t, 3)
			may.withdraw(join)
			r.says(l, noGroup)
			r.place.publish(t, notes(6)[3:]...)
			may.grant(join)
			r.ledger.arrived(t, 6)
			may.withdraw(read)
			r.place.publish(t, notes(9)[6:]...)
			r.says(l, noTopic)
			may.grant(read)
			r.ledger.arrived(t, 9)
			r.status(l, delivery.SourceConnected)
			r.eventually("acknowledged", func() bool { return r.place.left(t) == 0 })
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
			r.invariants(9)
			r.requests(9)
		})
	}
}

// Somebody else sets the position while we may not take part: what that leaves out is found when we may again.
func TestAPositionMovedWhileWeMayNotTakePart(t *testing.T) {
	t.Parallel() // it waits most of the time
	k := services.SharedKafka(t)
	b := newGapBed(t, k, &gapBed{})
	b.in.Broker.From.(*delivery.KafkaSource).KafkaServer = asStranger(k)
	may, join := rights{t, b.admin}, toGroup(b.topic, kadm.OpRead)
	may.grant(toTopic(b.topic, kadm.OpRead))
	may.grant(join)
	l := b.begin()
	b.publish(0, 10)
	b.settled(10, map[int32]int64{0: 10})
	may.withdraw(join)
	b.says(l, "GROUP_AUTHORIZATION_FAILED")
	b.publish(0, 10)
	services.EvictFromKafka(t, k.Brokers, b.topic) // it could not even leave
	b.moves(15, "")
	may.grant(join)
	b.settled(15, map[int32]int64{0: 20})
	b.found("moved 0: 10 15 5")
}
