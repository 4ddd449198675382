package queue

// A row of the queue that is due never waits for something else than the time, and no claim looks at it. Two things can be meant, which
// a row's lane and its batch tell apart. The functions for producers write the first one themselves, see the migrations.
const (
	dueNever      = "'infinity'"
	WaitsForTurn  = dueNever // in its lane: whoever goes before it gives it a time
	LeaderAnswers = dueNever // a rejected row or a failed run of a batch: its leader takes it, see store/batch

	// readableNever stands for dueNever where a time is to be read.
	readableNever = "'9999-12-31 23:59:59.999999Z'::timestamptz"
)
