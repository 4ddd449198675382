package store

// A row of the queue that is due never waits for something else than the time, and no claim looks at it. Two things can be meant, which
// a row's lane and its batch tell apart. The functions for producers write the first one themselves, see the migrations.
const (
	dueNever      = "'infinity'"
	waitsForTurn  = dueNever // in its lane: whoever goes before it gives it a time
	leaderAnswers = dueNever // a rejected row or a failed run of a batch: its leader takes it, see batch_answers.go and batch_runs.go

	// readableNever stands for dueNever where a time is to be read.
	readableNever = "'9999-12-31 23:59:59.999999Z'::timestamptz"
)
