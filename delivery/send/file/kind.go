package filesend

import (
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"redrive/delivery"
	"redrive/delivery/form"
	httpsend "redrive/delivery/send/http"
)

// Kind is the destination file.
var Kind = form.Destination{Name: "file",
	Block: form.Reads(readBlock),
	New: func(to delivery.Target, m form.Means) (delivery.Sender, error) {
		return New(*to.(*delivery.FileDestination), m.Files, m.Dialer)
	},
	Batch: form.Batch{As: "a file", Only: "files hold the rows of a batch"},
	Least: `{format: csv, to: {dir: /out}}`,
	Pages: []form.Page{
		{Where: "`destination.file`", Of: reflect.TypeFor[Block](), Settings: []form.Setting{
			{Name: "format", Required: true, Help: "`csv`, `kv` or `json`"},
			{Name: "columns", Help: "of the query, or `{name in the file: column}`; none: all"},
			{Name: "header", Standard: "true", Help: "csv only: the first line has the names; of other formats false"},
			{Name: "delimiter", Help: "csv only; none: a comma"},
			{Name: "encoding", Standard: "utf-8", Help: "or `utf-8-bom`, `euc-kr`"},
			{Name: "guard", Standard: "false", Help: "csv only: a spreadsheet takes no cell for a formula"},
			{Name: "gzip", Standard: "false", Help: ""},
			{Name: "array", Standard: "false", Help: "json only: one array instead of a line for each row"},
			{Name: "manifest", Standard: "false", Help: "a second file with length, SHA-256, rows and sums"},
			{Name: "timeout", Standard: "1m", Help: "of a whole file, 1s to 1h"},
		}},
		{
			Where: "`destination.file.to`: one of `dir`, `sftp`, `http`",
			Of:    reflect.TypeFor[PlaceBlock](),
			Settings: []form.Setting{
				{Name: "dir", Help: "directory"},
			},
		},
		{
			Where: "`sftp` (`destination.file.to`, `batch.acknowledgement`)",
			Of:    reflect.TypeFor[SFTPBlock](),
			Settings: []form.Setting{
				{Name: "addr", Required: true, Help: "host:port"},
				{Name: "path", Required: true, Help: "directory on the server"},
				{Name: "user", Required: true, Help: ""},
				{Name: "password", Help: "this, or `key`"},
				{Name: "key", Help: "file of a private key"},
				{Name: "passphrase", Help: "of the key"},
				{Name: "known_hosts", Required: true, Help: "file that holds the server's key"},
			},
		},
	}}

// Block is where and how files are written, as written.
type Block struct {
	Format    string        `yaml:"format"`
	Columns   []form.Column `yaml:"columns"`
	Header    *form.Truth   `yaml:"header"`
	Delimiter string        `yaml:"delimiter"`
	Encoding  string        `yaml:"encoding"`
	Guard     form.Truth    `yaml:"guard"`
	Gzip      form.Truth    `yaml:"gzip"`
	Array     form.Truth    `yaml:"array"`
	Manifest  form.Truth    `yaml:"manifest"`
	Timeout   string        `yaml:"timeout"`
	To        PlaceBlock    `yaml:"to"`
}

// PlaceBlock is where files go.
type PlaceBlock struct {
	Dir  *string         `yaml:"dir"`
	SFTP *SFTPBlock      `yaml:"sftp"`
	HTTP *httpsend.Block `yaml:"http"`
}

// SFTPBlock is a directory of an SFTP server.
type SFTPBlock struct {
	Addr       string `yaml:"addr"`
	Path       string `yaml:"path"`
	User       string `yaml:"user"`
	Password   string `yaml:"password"`
	Key        string `yaml:"key"`
	Passphrase string `yaml:"passphrase"`
	KnownHosts string `yaml:"known_hosts"`
}

func readBlock(r *form.Reader, path string, b *Block) delivery.Target {
	d := &delivery.FileDestination{
		Format:   b.format(r, path),
		Manifest: bool(b.Manifest),
		Timeout:  r.Transfer(path+"timeout", b.Timeout),
	}
	given := 0
	for _, there := range []bool{b.To.Dir != nil, b.To.SFTP != nil, b.To.HTTP != nil} {
		if there {
			given++
		}
	}
	to := path + "to."
	switch {
	case given == 0:
		r.Fail(path+"to", "to: missing; write to: {dir: …}, {sftp: {…}} or {http: {…}}")
	case given > 1:
		r.Fail(path+"to", "to: exactly one of dir, sftp and http is needed, %d are given", given)
	case b.To.Dir != nil:
		d.Dir = r.Required(to, "dir", *b.To.Dir)
	case b.To.SFTP != nil:
		d.SFTP = b.To.SFTP.Read(r, to+"sftp.")
	default:
		d.Upload = readUpload(r, to+"http.", b.To.HTTP, d.Timeout)
	}
	return d
}

func (b *Block) format(r *form.Reader, path string) delivery.FileFormat {
	kind := delivery.FileKind(r.Required(path, "format", b.Format))
	f := delivery.FileFormat{
		Kind:      kind,
		Gzip:      bool(b.Gzip),
		Header:    kind == delivery.FileCSV,
		Guard:     bool(b.Guard),
		Array:     bool(b.Array),
		Delimiter: readDelimiter(r, path+"delimiter", b.Delimiter),
		Encoding:  delivery.Encoding(b.Encoding),
		Columns:   r.Columns(path, b.Columns),
	}
	if b.Header != nil {
		f.Header = bool(*b.Header)
	}
	if b.Encoding == "" {
		f.Encoding = delivery.EncodingUTF8
	}
	if setting, problem := f.Check(); problem != "" {
		r.Fail(path+setting, "%s: %s", setting, problem)
	}
	return f
}

func readDelimiter(r *form.Reader, path, text string) rune {
	if text == "" {
		return 0
	}
	sign, size := utf8.DecodeRuneInString(text)
	if size < len(text) {
		r.Fail(path, `delimiter: %q is more than one character; a tab is written "\t"`, text)
	}
	return sign
}

// Read checks the block that stands at path.
func (b *SFTPBlock) Read(r *form.Reader, path string) *delivery.SFTPServer {
	s := &delivery.SFTPServer{
		Addr:       r.Address(path, "addr", b.Addr),
		Path:       r.Required(path, "path", b.Path),
		User:       r.Required(path, "user", b.User),
		Key:        r.Expand(path+"key", b.Key),
		Passphrase: r.Expand(path+"passphrase", b.Passphrase),
		KnownHosts: r.Expand(path+"known_hosts", b.KnownHosts),
	}
	if b.Password != "" {
		s.Password = r.Required(path, "password", b.Password)
	}
	switch {
	case s.Password == "" && s.Key == "":
		r.Fail(path+"user", "sftp: a password or a key is needed to sign in")
	case s.Passphrase != "" && s.Key == "":
		r.Fail(path+"passphrase", "passphrase: it opens a key, and none is given")
	case strings.TrimSpace(s.KnownHosts) == "":
		r.Fail(path+"known_hosts", "known_hosts: missing; the server's key must be in such a file, ssh-keyscan writes one")
	}
	return s
}

// readUpload is one request for a file; the transfer's timeout is that of the file.
func readUpload(r *form.Reader, path string, b *httpsend.Block, timeout time.Duration) *delivery.HTTPDestination {
	if b.Timeout != "" {
		r.Fail(path+"timeout", "timeout: that of a file stands beside format and to")
	}
	if b.Format != "" {
		r.Fail(path+"format", "format: an upload is the file itself; its format stands beside to")
	}
	if len(b.Pass) > 0 {
		r.Fail(path+"pass_headers", "pass_headers: no message's headers go with an upload")
	}
	d := b.Read(r, path)
	d.Timeout = timeout
	return d
}
