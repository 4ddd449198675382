package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A connection to what an integration names is opened by delivery/wire alone, which checks the address. Whatever else opens one, or
// makes a client that could, stands here with its reason.
var dialling = map[string]string{
	"delivery/wire":         "it is the guard, and hands its own dialer to each client",
	"delivery/send/http":    "its transport dials by the guard",
	"delivery/send/redis":   "options of the guard",
	"delivery/send/kafka":   "options of the guard",
	"delivery/broker":       "options of the guard",
	"delivery/ledger":       "asks by the client that it is given, which dials by the guard",
	"handlers/web/sso":      "asks by the client that it is given, which dials by the guard",
	"store/table/result.go": "dials by what it is given",
	"store/batch/source.go": "dials by what it is given; our own database else",
	"store/source":          "dials by what it is given; our own database else",
	"store/session":         "again as the connection did that it looks at",
	"store/pg":              "our own database",
	"store/embedded":        "our own database",
	"delivery/scratch":      "whether a process of ours is there, by its socket",
	"internal/cli/client":   "the terminal's way to a server that its user names",
	"internal/bench":        "measures on this machine",
	"store/storetest":       "services for tests, on this machine",
	"demo":                  "a shop's own database and its brokers, which the program starts with it",
}

// opens are the names by which packages open connections or make clients that do.
var opens = map[string][]string{
	"net":                              {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer"},
	"crypto/tls":                       {"Dial", "DialWithDialer", "Dialer"},
	"net/http":                         {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport", "Client", "Transport"},
	"net/smtp":                         {"Dial", "SendMail"},
	"net/rpc":                          {"Dial", "DialHTTP", "DialHTTPPath"},
	"database/sql":                     {"Open", "OpenDB"},
	"golang.org/x/crypto/ssh":          {"Dial"},
	"github.com/jackc/pgx/v5":          {"Connect", "ConnectConfig", "ConnectWithOptions"},
	"github.com/jackc/pgx/v5/pgconn":   {"Connect", "ConnectConfig", "ConnectWithOptions"},
	"github.com/jackc/pgx/v5/pgxpool":  {"New", "NewWithConfig"},
	"github.com/jackc/pgx/v5/stdlib":   {"OpenDB", "OpenDBFromPool"},
	"gorm.io/driver/postgres":          {"Open", "New"},
	"github.com/rabbitmq/amqp091-go":   {"Dial", "DialConfig", "DialTLS", "DialTLS_ExternalAuth", "DefaultDial"},
	"github.com/redis/go-redis/v9":     {"NewClient", "NewUniversalClient", "NewClusterClient", "NewFailoverClient", "NewRing"},
	"github.com/twmb/franz-go/pkg/kgo": {"NewClient"},
}

func TestEveryConnectionGoesThroughTheGuard(t *testing.T) {
	found := map[string]bool{}
	eachFile(t, nil, func(path string) error {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, use := range connections(file) {
			entry := covered(path)
			if found[entry] = true; entry == "" {
				t.Errorf("%s uses %s: let delivery/wire open what integrations name (delivery.Dial), or list it with its reason", path, use)
			}
		}
		return nil
	})
	for entry := range dialling {
		if !found[entry] {
			t.Errorf("%s opens no connection: take it off the list", entry)
		}
	}
}

// covered is the entry of the list that a file lies in; none is empty.
func covered(path string) string {
	for entry := path; entry != "."; entry = filepath.ToSlash(filepath.Dir(entry)) {
		if _, ok := dialling[entry]; ok {
			return entry
		}
	}
	return ""
}

// connections are the uses in a file of what opens connections.
func connections(file *ast.File) (uses []string) {
	names := map[string][]string{} // of the packages as this file calls them
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if strings.HasPrefix(name, "v") && len(name) == 2 { // a major version
			name = strings.TrimSuffix(path, "/"+name)
			name = name[strings.LastIndex(name, "/")+1:]
		}
		name = strings.TrimSuffix(strings.TrimPrefix(name, "go-"), "-go")
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = opens[path]
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				for _, name := range names[x.Name] {
					if s.Sel.Name == name {
						uses = append(uses, x.Name+"."+name)
					}
				}
			}
		}
		return true
	})
	return uses
}
