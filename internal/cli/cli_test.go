package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"redrive/delivery/config"
)

// A bench that cannot work is refused before it opens a database.
func TestWrongMeasurementsAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"--messages=0": "bench: messages", "run --payload=-1": "bench: messages", "batch --rounds=21": "bench batch: rows", "cdc --rate=0": "bench cdc: changes",
		"2pc --kills=-1": "bench 2pc: transactions", "producer --round=2m": "bench producer: clients", "outbox --long=2m": "bench outbox: rows",
	} {
		var stdout, stderr bytes.Buffer
		code := (Program{}).Run(t.Context(), append(append([]string{"bench"}, strings.Fields(args)...), "--database-url=postgres://u@["), &stdout, &stderr)
		if code != ExitUsage || !strings.HasPrefix(stderr.String(), "redrive: "+says+" must be") {
			t.Errorf("%s: exit code %d, said %q%q", args, code, &stdout, &stderr)
		}
	}
}

// What compose files and unit files leave empty is not set; nothing may listen to the world because of it.
func TestEmptySettingsAreNone(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"serve", "--demo"}} {
		var c commands
		parser, err := kong.New(&c, helpVars(""))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"REDRIVE_ADDR", "REDRIVE_DEMO", "REDRIVE_SECURE_COOKIES", "REDRIVE_DATA_DIR"} {
			t.Setenv(name, "")
		}
		config.ForgetEmpty(parser.Model.Node)
		_, err = parser.Parse(args)
		if c.Serve.Addr != "127.0.0.1:8080" || c.Serve.DataDir != "./data" || bool(c.Serve.Demo) != (args[len(args)-1] == "--demo") {
			t.Errorf("%v: %+v %v", args, c.Serve, err)
		}
	}
	for value, on := range map[string]bool{"on": true, "1": true, "true": true, "off": false, "0": false, "no": false} {
		t.Setenv("REDRIVE_DEMO", value)
		var c commands
		parser, _ := kong.New(&c, helpVars(""))
		if _, err := parser.Parse([]string{"serve"}); err != nil || bool(c.Serve.Demo) != on {
			t.Errorf("REDRIVE_DEMO=%s: %v %v", value, c.Serve.Demo, err)
		}
	}
}
