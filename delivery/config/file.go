package config

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"redrive/delivery"
)

const (
	defaultTransfer = time.Minute // of a whole file
	maxTransfer     = time.Hour
)

type rawFileDestination struct {
	Format    string          `yaml:"format"`
	Columns   []rawFileColumn `yaml:"columns"`
	Header    *truth          `yaml:"header"`
	Delimiter string          `yaml:"delimiter"`
	Encoding  string          `yaml:"encoding"`
	Guard     truth           `yaml:"guard"`
	Gzip      truth           `yaml:"gzip"`
	Array     truth           `yaml:"array"`
	Manifest  truth           `yaml:"manifest"`
	Timeout   string          `yaml:"timeout"`
	To        rawFileTarget   `yaml:"to"`
}

type rawFileTarget struct {
	Dir  *string  `yaml:"dir"`
	SFTP *rawSFTP `yaml:"sftp"`
	HTTP *rawHTTP `yaml:"http"`
}

type rawSFTP struct {
	Addr       string `yaml:"addr"`
	Path       string `yaml:"path"`
	User       string `yaml:"user"`
	Password   string `yaml:"password"`
	Key        string `yaml:"key"`
	Passphrase string `yaml:"passphrase"`
	KnownHosts string `yaml:"known_hosts"`
}

// rawFileColumn is a name, for a column that is called the same in query and file, or one pair: name in the file: name in the
// query's result. What is neither stays empty.
type rawFileColumn delivery.FileColumn

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (c *rawFileColumn) UnmarshalYAML(unmarshal func(any) error) error {
	var name string
	if unmarshal(&name) == nil {
		*c = rawFileColumn{Name: name, From: name}
		return nil
	}
	var pair map[string]string
	if unmarshal(&pair) == nil && len(pair) == 1 {
		for name, from := range pair {
			*c = rawFileColumn{Name: name, From: from}
		}
	}
	return nil
}

// file reads the destination of a batch that is written as a file.
func (c *checker) file(i int, r *rawFileDestination) *delivery.FileDestination {
	path := at(i, "destination.file.")
	d := &delivery.FileDestination{Format: c.fileFormat(path, r), Manifest: bool(r.Manifest), Timeout: defaultTransfer}
	if r.Timeout != "" {
		d.Timeout = c.duration(path+"timeout", "timeout", r.Timeout, time.Second, maxTransfer)
	}
	to := path + "to."
	switch given := countTrue(r.To.Dir != nil, r.To.SFTP != nil, r.To.HTTP != nil); {
	case given == 0:
		c.fail(path+"to", "to: missing; write to: {dir: …}, {sftp: {…}} or {http: {…}}")
	case given > 1:
		c.fail(path+"to", "to: exactly one of dir, sftp and http is needed, %d are given", given)
	case r.To.Dir != nil:
		d.Dir = c.required(to, "dir", *r.To.Dir)
	case r.To.SFTP != nil:
		d.SFTP = c.sftp(to+"sftp.", r.To.SFTP)
	default:
		d.Upload = c.upload(to+"http.", r.To.HTTP, d.Timeout)
	}
	return d
}

func (c *checker) fileFormat(path string, r *rawFileDestination) delivery.FileFormat {
	kind := delivery.FileKind(c.required(path, "format", r.Format))
	f := delivery.FileFormat{Kind: kind, Gzip: bool(r.Gzip), Header: kind == delivery.FileCSV, Guard: bool(r.Guard), Array: bool(r.Array),
		Delimiter: c.delimiter(path+"delimiter", r.Delimiter), Encoding: delivery.Encoding(r.Encoding), Columns: c.fileColumns(path, r.Columns)}
	if r.Header != nil {
		f.Header = bool(*r.Header)
	}
	if r.Encoding == "" {
		f.Encoding = delivery.EncodingUTF8
	}
	if setting, problem := f.Check(); problem != "" {
		c.fail(path+setting, "%s: %s", setting, problem)
	}
	return f
}

func (c *checker) fileColumns(path string, list []rawFileColumn) (columns []delivery.FileColumn) {
	if list != nil && len(list) == 0 {
		c.fail(path+"columns", "columns: the list is empty; remove it to write every column of the query")
	}
	for n, column := range list {
		if column.Name == "" || column.From == "" {
			c.fail(fmt.Sprintf("%scolumns[%d]", path, n), "columns: each is a column of the query, or one pair {name in the file: column of the query}")
		}
		columns = append(columns, delivery.FileColumn(column))
	}
	return columns
}

func (c *checker) delimiter(path, text string) rune {
	if text == "" {
		return 0
	}
	r, size := utf8.DecodeRuneInString(text)
	if size < len(text) {
		c.fail(path, `delimiter: %q is more than one character; a tab is written "\t"`, text)
	}
	return r
}

func (c *checker) sftp(path string, r *rawSFTP) *delivery.SFTPServer {
	s := &delivery.SFTPServer{Addr: c.address(path, "addr", r.Addr), Path: c.required(path, "path", r.Path), User: c.required(path, "user", r.User),
		Key: c.expand(path+"key", r.Key), Passphrase: c.expand(path+"passphrase", r.Passphrase), KnownHosts: c.expand(path+"known_hosts", r.KnownHosts)}
	if r.Password != "" {
		s.Password = c.required(path, "password", r.Password)
	}
	switch {
	case s.Password == "" && s.Key == "":
		c.fail(path+"user", "sftp: a password or a key is needed to sign in")
	case s.Passphrase != "" && s.Key == "":
		c.fail(path+"passphrase", "passphrase: it opens a key, and none is given")
	case strings.TrimSpace(s.KnownHosts) == "":
		c.fail(path+"known_hosts", "known_hosts: missing; the server's key must be in such a file, ssh-keyscan writes one")
	}
	return s
}

// upload is one request for a file; the transfer's timeout is that of the file.
func (c *checker) upload(path string, r *rawHTTP, timeout time.Duration) *delivery.HTTPDestination {
	if r.Timeout != "" {
		c.fail(path+"timeout", "timeout: that of a file stands beside format and to")
	}
	if r.Format != "" {
		c.fail(path+"format", "format: an upload is the file itself; its format stands beside to")
	}
	d := c.http(path, r)
	d.Timeout = timeout
	return d
}
