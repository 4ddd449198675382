package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/cdc/mapping"
	"redrive/delivery/config"
	"redrive/delivery/past"
	"redrive/delivery/progress"
	"redrive/delivery/rooms"
	"redrive/delivery/scratch"
	"redrive/delivery/seal"
	"redrive/delivery/wire"
	"redrive/demo"
	"redrive/handlers/web"
	"redrive/internal/cli/client"
	"redrive/store"
	"redrive/store/embedded"
	"redrive/views/words"
)

// Settings are the flags and variables of serve.
type Settings struct {
	database
	Addr          string            `env:"REDRIVE_ADDR"           default:"127.0.0.1:8080" help:"Address of console and API; port 0 picks one."`
	Config        string            `env:"REDRIVE_CONFIG"                                  help:"Integrations file (YAML)."`
	Demo          config.Toggle     `env:"REDRIVE_DEMO"                                    help:"Run the demo shop and its breakable receivers."`
	DemoBrokers   demo.Brokers      `                                                                                                                                                   embed:"" prefix:"demo-" envprefix:"REDRIVE_DEMO_"`
	AdminPassword string            `env:"REDRIVE_ADMIN_PASSWORD"                          help:"Password of the first operator, admin, while there is none: at least 15 characters; random and printed once when empty."`
	APIToken      string            `env:"REDRIVE_API_TOKEN"                               help:"A bearer token with role admin, for automation: at least 32 characters, such as redrive token new prints."                                                                                         name:"api-token"`
	Retention     time.Duration     `env:"REDRIVE_RETENTION"      default:"720h"           help:"How long messages are kept; what is not delivered is kept longer. 0 keeps everything."`
	IgnoreDays    int               `env:"REDRIVE_IGNORE_DAYS"    default:"30"             help:"After how many days what is ignored comes back, and an ignore rule ends, where nobody says when: 1 to 3650."`
	SecureCookies config.Toggle     `env:"REDRIVE_SECURE_COOKIES"                          help:"Mark cookies Secure: set it when a proxy serves the console over HTTPS."`
	Proxies       string            `env:"REDRIVE_TRUSTED_PROXIES" help:"Addresses and ranges (CIDR) of the proxies in front, with commas between: their X-Forwarded-For or Forwarded says where requests come from. Empty: from whoever is connected." name:"trusted-proxies"`
	Metrics       web.MetricsAccess `env:"REDRIVE_METRICS" default:"local" help:"Who is shown /metrics without a token: local (whoever asks from this machine, past no proxy), open (everybody) or token (nobody). A token shows the integrations that it sees."`
	Lang          string            `env:"REDRIVE_LANG" help:"Language of whoever neither chose one nor has a browser that asks for one, and of the command line: en or ko. Empty is English, on the command line the language of the locale."`
	TLSCert       string            `env:"REDRIVE_TLS_CERT"                                help:"File with the certificate and its chain (PEM): console and API are served over HTTPS. It is read again when it changes." name:"tls-cert"`
	TLSKey        string            `env:"REDRIVE_TLS_KEY"                                 help:"File with the certificate's key (PEM)." name:"tls-key"`
	SignIn        `embed:""`
	Tokens        `embed:""`
	Audit         `embed:""`
}

// Serving is what stands when serve has prepared everything: the address is open, and the database has schema, integrations and first
// credentials.
type Serving struct {
	Settings
	Version  string
	Listener net.Listener
	Store    *store.Store
	DSN      string
	File     *config.File
	Log      *slog.Logger

	DemoReceivers net.Listener // where the demo's receivers are, when they are not at Listener
}

// firstOperator is what the first person is called.
const firstOperator = delivery.FirstOperator

// check says which setting cannot work, before anything is started.
func (c *Settings) check() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return Misused(client.Said("REDRIVE_ADDR: %q is not host:port such as 127.0.0.1:8080", c.Addr))
	}
	if c.Retention < 0 {
		return Misused(client.Said("REDRIVE_RETENTION: a duration such as 720h, or 0 to keep everything"))
	}
	if c.IgnoreDays < 0 || c.IgnoreDays > delivery.MaxIgnoreDays {
		return Misused(client.Said("REDRIVE_IGNORE_DAYS: a number of days from 1 to 3650"))
	}
	if err := checkToken(c.APIToken); c.APIToken != "" && err != nil {
		return Misused(client.Said("REDRIVE_API_TOKEN: %s", err))
	}
	if _, err := c.TrustedProxies(); err != nil {
		return Misused(err)
	}
	if err := c.Metrics.Check(); err != nil {
		return Misused(client.Said("REDRIVE_METRICS: %s", err))
	}
	if c.Lang != "" && !words.Spoken(c.Lang) {
		return Misused(client.Said("REDRIVE_LANG: %q is neither en nor ko", c.Lang))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return Misused(client.Said("REDRIVE_TLS_CERT and REDRIVE_TLS_KEY: a certificate needs its key; set both or none"))
	}
	if err := c.SignIn.check(); err != nil {
		return err
	}
	if err := c.Audit.check(); err != nil {
		return err
	}
	return c.Tokens.check()
}

// TrustedProxies are the proxies whose word counts on where requests come from.
func (c *Settings) TrustedProxies() (list []netip.Prefix, err error) {
	for _, text := range strings.FieldsFunc(c.Proxies, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := config.ParsePrefix(text)
		if err != nil {
			return nil, client.Said("REDRIVE_TRUSTED_PROXIES: %q is no address or range such as 10.0.0.7 or 10.0.0.0/24", text)
		}
		list = append(list, p)
	}
	return list, nil
}

// listen opens the address, encrypted where there is a certificate.
func (c *Settings) listen(log *slog.Logger) (net.Listener, error) {
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, Misused(client.Said("REDRIVE_ADDR: %s", err))
	}
	if c.TLSCert == "" {
		return listener, nil
	}
	encrypted, err := rooms.ListenTLS(listener, c.TLSCert, c.TLSKey, log)
	if err != nil {
		_ = listener.Close()
		return nil, Misused(client.Said("REDRIVE_TLS_CERT: %s", err))
	}
	c.SecureCookies = true
	return encrypted, nil
}

// Run serves until ctx ends, then stops in two phases: no new work, then what is under way within the grace period.
func (c *Settings) Run(ctx context.Context, p Program) error {
	if err := c.check(); err != nil {
		return err
	}
	log := c.logger()
	ctx = progress.ToLog(ctx, log)
	scratch.SweepOnce()
	listener, err := c.listen(log)
	if err != nil {
		return err
	}
	defer listener.Close()
	refs, base := references(), rooms.BaseURL(listener)
	receivers, err := c.listenForDemo()
	if err != nil {
		return err
	}
	if receivers != nil {
		defer receivers.Close()
		base = rooms.BaseURL(receivers)
	}
	file, err := c.integrations(base, refs)
	if err != nil && !errors.Is(err, config.ErrStored) {
		return Misused(err)
	}
	db, dsn, closeAll, err := c.open(ctx, log, embedded.Start)
	if err != nil {
		return err
	}
	defer closeAll()
	db.UseOrigin(c.AuditOrigin)
	if err := migrated(ctx, db); err != nil {
		return err
	}
	if file, err = c.settle(ctx, db, file, base, refs, log); err != nil {
		return err
	}
	log = slog.New(file.Hidden.Log(log.Handler()))
	wire.AdoptLines(log)
	if err := c.prepare(ctx, db, file, log); err != nil {
		return err
	}
	return p.Serve(ctx, Serving{Settings: *c, Version: p.Version, Listener: listener, Store: db, DSN: dsn, File: file, Log: log,
		DemoReceivers: receivers})
}

// listenForDemo opens an address of this machine for the demo's receivers, in the clear, where the console is encrypted: nobody could check its
// certificate.
func (c *Settings) listenForDemo() (net.Listener, error) {
	if c.TLSCert == "" || !bool(c.Demo) {
		return nil, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, client.Said("the demo's receivers: %s", err)
	}
	return listener, nil
}

// migrated brings the schema in place, looks whether what is sealed in it opens, and seals what earlier versions did not.
func migrated(ctx context.Context, db *store.Store) error {
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	if err := unlocked(ctx, db); err != nil {
		return err
	}
	_, err := db.SealCodes(ctx)
	return err
}

// unlocked reports whether the keys of stored secrets are there; without them it is a wrong setting.
func unlocked(ctx context.Context, db *store.Store) error {
	err := db.CheckKeys(ctx)
	var unknown *seal.UnknownKeyError
	if errors.As(err, &unknown) || errors.Is(err, seal.ErrRefused) {
		return Misused(client.Said("REDRIVE_SECRET_KEY: %s", err))
	}
	return err
}

// references answer what ${…} in an integrations file stands for, as far as that is known without a database.
func references() *config.References { return &config.References{Env: os.LookupEnv} }

// stored lets references name what is stored.
func stored(ctx context.Context, refs *config.References, db *store.Store) {
	refs.Stored = func(integration, name string) (string, error) { return db.Secret(ctx, integration, name) }
}

// integrations reads the file that REDRIVE_CONFIG names, else the demo's.
func (c *Settings) integrations(base string, refs *config.References) (*config.File, error) {
	switch {
	case c.Config != "":
		file, err := loadFile(c.Config, refs)
		if err != nil {
			return nil, client.Said("REDRIVE_CONFIG: %s", err)
		}
		return file, nil
	case bool(c.Demo):
		return c.demoFile(base, true)
	}
	return &config.File{}, nil
}

func (c *Settings) demoFile(base string, capture bool) (*config.File, error) {
	files, err := demo.MakeFiles(c.DataDir)
	if err != nil {
		return nil, client.Said("REDRIVE_DATA_DIR: %s", err)
	}
	return config.Parse("demo/integrations.yaml", demo.Integrations(base, files, c.DemoBrokers, capture), os.LookupEnv)
}

// settle returns the file for this database: where it names stored secrets it is read again, with them, and file is nil before; the demo's
// captures changes only where the database can tell of them.
func (c *Settings) settle(
	ctx context.Context,
	db *store.Store,
	file *config.File,
	base string,
	refs *config.References,
	log *slog.Logger,
) (*config.File, error) {
	if file == nil {
		stored(ctx, refs, db)
		file, err := c.integrations(base, refs)
		if err != nil {
			return nil, Misused(err)
		}
		return file, nil
	}
	if c.Config != "" || !bool(c.Demo) {
		return file, nil
	}
	why, err := db.CannotCapture(ctx)
	if err != nil || why.IsZero() {
		return file, err
	}
	log.Warn("the demo's articles go by outbox, not by change data capture", "because", why.English())
	return c.demoFile(base, false)
}

// loadFile reads an integrations file with all that can be known before anything is started.
func loadFile(path string, refs *config.References) (*config.File, error) {
	file, err := config.Load(path, refs)
	if err != nil {
		return nil, err
	}
	var mistake *mapping.Error
	if errors.As(mapping.Check(file.Integrations), &mistake) {
		return nil, &config.Error{File: path, Line: mistake.Line, Text: mistake.Text}
	}
	return file, nil
}

// prepare brings integrations and first credentials in place.
func (c *Settings) prepare(ctx context.Context, db *store.Store, file *config.File, log *slog.Logger) error {
	if err := db.SyncIntegrations(ctx, file.Integrations); err != nil {
		return err
	}
	if len(file.Integrations) == 0 {
		log.Warn("no integration is configured: set REDRIVE_CONFIG, or REDRIVE_DEMO=1 to look around")
	}
	if err := c.firstOperator(ctx, db, file, log); err != nil {
		return err
	}
	var hash []byte
	if c.APIToken != "" {
		sum := sha256.Sum256([]byte(c.APIToken))
		hash = sum[:]
	}
	return db.EnsureEnvToken(ctx, hash)
}

func (c *Settings) firstOperator(ctx context.Context, db *store.Store, file *config.File, log *slog.Logger) error {
	existing, err := db.Operators(ctx)
	if err != nil || len(existing) > 0 {
		return err
	}
	password, generated := c.AdminPassword, c.AdminPassword == ""
	if generated {
		password = web.NewPassword()
	}
	if err := checkFirstPassword(password); err != nil {
		return err
	}
	hash, err := web.HashPassword(password)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // hashing takes many MiB, once
	created, err := c.firstPeople(ctx, db, file, hash)
	switch {
	case !created || !generated:
	case c.LogFormat == "json": // whoever reads the lines reads this one as well
		log.Warn("the first operator, shown this once", "operator", firstOperator, "password", password)
	default: // to the terminal, not to the log: logs are kept
		fmt.Fprintf(os.Stderr, "\n  First operator: admin   password: %s   (shown this once)\n\n", password)
	}
	return err
}

// firstPeople makes the first operator; the demo with its own integrations begins with a week of history and the people of that, all with
// the password of the first.
func (c *Settings) firstPeople(ctx context.Context, db *store.Store, file *config.File, hash string) (created bool, err error) {
	if bool(c.Demo) && c.Config == "" {
		created, err = db.WriteHistory(ctx, func() (*past.History, error) {
			return demo.Week(ctx, firstOperator, file.Integrations, time.Now())
		}, hash)
	}
	if created || err != nil {
		return created, err
	}
	return db.EnsureFirstOperator(ctx, firstOperator, hash)
}
