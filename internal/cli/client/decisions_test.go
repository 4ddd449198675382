package client

import (
	"reflect"
	"strings"
	"testing"

	"redrive/delivery"
)

// Each decision on one failure is a command that takes what the decision asks for.
func TestDecisionsAreCommands(t *testing.T) {
	commands := reflect.TypeFor[Failures]()
	for _, row := range delivery.Decisions.Alone() {
		command, ok := commands.FieldByName(capital(string(row.Action)))
		if _, cmd := command.Tag.Lookup("cmd"); !ok || !cmd {
			t.Errorf("there is no command failures %s", row.Action)
			continue
		}
		for _, asked := range row.Asks {
			if flag, ok := command.Type.FieldByName(capital(asked.Field)); !ok || !strings.Contains(string(flag.Tag), "help:") {
				t.Errorf("failures %s takes no --%s", row.Action, asked.Field)
			}
		}
	}
}
