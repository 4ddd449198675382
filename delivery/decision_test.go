package delivery

import (
	"slices"
	"testing"
)

func TestTheTableOfDecisionsHoldsTogether(t *testing.T) {
	seen := map[Action]bool{}
	for _, row := range Decisions {
		if seen[row.Action] || len(row.From) == 0 || row.To == "" || !slices.Contains(Permissions, row.Needs) {
			t.Errorf("a row lacks something, or is there twice: %+v", row)
		}
		seen[row.Action] = true
		if row.Stays() && len(row.From) > 1 {
			t.Errorf("%s stays in one of several states: which one would its audit entry tell?", row.Action)
		}
		if row.Queues != (row.To == StatePending) || row.FreesLane != (row.To.Settled() && !row.Stays()) {
			t.Errorf("%s: what waits to be sent is in the queue, what is settled holds up no lane: %+v", row.Action, row)
		}
		if row.Acknowledged && !row.Stays() {
			t.Errorf("%s: only what stays is acknowledged", row.Action)
		}
	}
	if !slices.Equal(OperationActions, Decisions.Many().Actions()) {
		t.Errorf("operations do %v", OperationActions)
	}
}

// Whoever lists decisions lists a new one.
func TestANewDecisionIsARow(t *testing.T) {
	row := Transition{Action: "shelve", From: []State{StateResolved}, To: StateIgnored, Needs: PermitAdminister, Alone: true, Many: true, FreesLane: true,
		Asks: []Asked{{FieldEvidence, true}}}
	table := append(slices.Clone(Decisions), row)
	for name, list := range map[string]Table{"alone": table.Alone(), "many": table.Many(), "in its state": table.In(StateResolved)} {
		if !slices.Contains(list.Actions(), "shelve") {
			t.Errorf("not %s: %v", name, list.Actions())
		}
	}
	if slices.Contains(table.In(StateDead).Actions(), "shelve") || table.Row("shelve").To != StateIgnored || table.Row("explode").Action != "" {
		t.Error("it is allowed where it is not, or not found")
	}
	if missing := row.Missing(map[string]string{FieldReason: "r"}); missing != FieldEvidence || row.Missing(map[string]string{FieldEvidence: "e"}) != "" {
		t.Errorf("missing %q", missing)
	}
}
