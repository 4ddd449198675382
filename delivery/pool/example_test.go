package pool_test

import (
	"context"
	"fmt"
	"os"

	"redrive/delivery"
	"redrive/delivery/pool"
)

// A Go program hands messages over in memory. Usually the attempts are the engine's and the store is Postgres.
func ExamplePool_Offer() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	sent := make(chan string)
	p, err := pool.New(pool.Config{
		Integrations: []delivery.Integration{{Name: "audit-mail", Method: delivery.MethodPool,
			Pool: &delivery.PoolSettings{Workers: 4, Queue: 100, WhenFull: delivery.WhenFullCallerRuns}}},
		Attempts: pool.AttemptFunc(func(_ context.Context, r delivery.Request) delivery.Result {
			sent <- string(r.Message.Payload) // send it, with r.IdempotencyKey
			return delivery.Result{Outcome: delivery.OutcomeOK}
		}),
		Store: counter{}, Dir: dir,
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx, context.Background()) }() // attempts in flight may take as long as they want

	accepted, err := p.Offer(ctx, delivery.Message{Integration: "audit-mail", Type: "user.locked", Payload: []byte("kim was locked")})
	fmt.Println(accepted.Deliveries[0].State, err)
	fmt.Println(<-sent)
	stop()
	fmt.Println(<-ended)
	// Output:
	// pending <nil>
	// kim was locked
	// <nil>
}

// counter is a store for programs that keep nothing.
type counter struct{}

func (counter) Park(context.Context, []delivery.Parked) (int, error) { return 0, nil }
func (counter) CountDelivered(context.Context, string, int) error    { return nil }
func (counter) AcceptedByKey(context.Context, delivery.Message) (delivery.Accepted, error) {
	return delivery.Accepted{}, delivery.ErrNotFound
}
