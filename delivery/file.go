package delivery

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// FileDestination is where a batch's file goes. Exactly one of Dir, SFTP and Upload is set.
type FileDestination struct {
	Format   FileFormat
	Dir      string           // a directory that this machine reaches
	SFTP     *SFTPServer      // a directory over SFTP
	Upload   *HTTPDestination // one request per file; the URL may contain {name}
	Manifest bool             // a file NAME.manifest.json follows the file
	Timeout  time.Duration    // one whole transfer
}

// SFTPServer is a directory of an SFTP server. The server's key must be in KnownHosts: there is no way around.
type SFTPServer struct {
	Addr       string // host:port
	Path       string // directory
	User       string
	Password   string
	Key        string // file with a private key in PEM or OpenSSH form
	Passphrase string // of the key
	KnownHosts string // file in the form of OpenSSH's known_hosts
}

// Kind implements Target.
func (d *FileDestination) Kind() string { return "file" }

// Address implements Target.
func (d *FileDestination) Address() string {
	switch {
	case d.SFTP != nil:
		return "sftp://" + d.SFTP.Addr + "/" + strings.TrimPrefix(d.SFTP.Path, "/")
	case d.Upload != nil:
		return RedactURL(d.Upload.URL)
	}
	return d.Dir
}

// Limit implements Target.
func (d *FileDestination) Limit() time.Duration { return d.Timeout }

// Traits implements Target: a name in a directory, here or on a server, is looked at before it is written; an upload is a request
// like any other.
func (d *FileDestination) Traits() Traits { return Traits{Settles: d.Upload == nil, Bare: true} }

// Rows implements RowTarget.
func (d *FileDestination) Rows() FileFormat { return d.Format }

// FileFormat is how rows are written.
type FileFormat struct {
	Kind      FileKind
	Columns   []FileColumn // what is written, in this order; empty: every column of the query
	Gzip      bool
	Header    bool     // csv: the first line names the columns
	Delimiter rune     // csv: an ASCII sign; 0: comma
	Encoding  Encoding // csv and kv; empty: UTF-8
	Guard     bool     // csv: cells that a spreadsheet would take for a formula are made harmless; for people, not for machines
	Array     bool     // json: one array instead of one object a line
	Text      bool     // json, for tables: each value is a string, as Postgres writes it, or null
}

// FileColumn is one column of a file.
type FileColumn struct {
	Name string // in the file
	From string // in the query's result
}

// FileKind is the format of a file.
type FileKind string

// Formats of files.
const (
	FileCSV  FileKind = "csv"
	FileKV   FileKind = "kv"
	FileJSON FileKind = "json"
)

// Encoding is how text becomes bytes.
type Encoding string

// Encodings.
const (
	EncodingUTF8    Encoding = "utf-8"
	EncodingUTF8BOM Encoding = "utf-8-bom"
	EncodingEUCKR   Encoding = "euc-kr"
)

// Check returns the first setting that does not fit the others, by its name in the integrations file, and what is wrong with
// it; nothing when all is well.
func (f FileFormat) Check() (setting, problem string) {
	seen := map[string]bool{}
	for _, c := range f.Columns {
		if seen[c.Name] {
			return "columns", fmt.Sprintf("the name %q stands twice", c.Name)
		}
		seen[c.Name] = true
	}
	switch isCSV, isJSON := f.Kind == FileCSV, f.Kind == FileJSON; {
	case !isCSV && !isJSON && f.Kind != FileKV:
		return "format", fmt.Sprintf("%q is none of csv, kv, json", f.Kind)
	case f.Encoding != "" && f.Encoding != EncodingUTF8 && f.Encoding != EncodingUTF8BOM && f.Encoding != EncodingEUCKR:
		return "encoding", fmt.Sprintf("%q is none of %s, %s, %s", f.Encoding, EncodingUTF8, EncodingUTF8BOM, EncodingEUCKR)
	case isJSON && f.Encoding != "" && f.Encoding != EncodingUTF8:
		return "encoding", "json is always utf-8; remove the setting"
	case f.Header && !isCSV:
		return "header", "only csv has a header; remove the setting"
	case f.Delimiter != 0 && !isCSV:
		return "delimiter", "only csv has a delimiter; remove the setting"
	case f.Guard && !isCSV:
		return "guard", "only csv is opened in spreadsheets; remove the setting"
	case f.Array && !isJSON:
		return "array", "only json has arrays; remove the setting"
	case f.Delimiter != 0 && !delimits(f.Delimiter):
		return "delimiter", fmt.Sprintf("%q cannot separate cells; use a comma, a semicolon, a tab or another ASCII "+
			"sign but quotes and line ends", f.Delimiter)
	}
	return "", ""
}

// delimits reports whether r cannot be mistaken for a part of a number or word, a quote or a line end, in any encoding.
func delimits(r rune) bool {
	return r > 0 && r < unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("\"'\r\n", r)
}

// Extension is the end of a file's name, without the first dot.
func (f FileFormat) Extension() string {
	extension := string(f.Kind)
	if f.Kind == FileJSON && !f.Array {
		extension = "jsonl"
	}
	if f.Gzip {
		extension += ".gz"
	}
	return extension
}

// BatchFile is one file of a batch, whose bytes are stored before it is sent. It is the payload of the batch's message.
type BatchFile struct {
	ID           string    `json:"id"` // uuid
	Name         string    `json:"name"`
	Integration  string    `json:"integration"`
	BusinessDate string    `json:"business_date"` // 2006-01-02
	Sequence     int64     `json:"sequence"`      // gapless per integration, from 1
	Rows         int64     `json:"rows"`
	Bytes        int64     `json:"bytes"`
	SHA256       string    `json:"sha256"`                  // hexadecimal
	Control      string    `json:"control_total,omitempty"` // sum of the column that the configuration names, as decimal text
	Previous     string    `json:"previous_sha256"`         // of the file before it; empty for the first
	CreatedAt    time.Time `json:"created_at"`
	CorrectionOf int64     `json:"correction_of,omitempty"` // sequence of the file whose rejected rows it sends again

	// For tables only.
	Columns  []ValueColumn `json:"columns,omitempty"`   // the columns of a line of the file, in order
	TimeZone string        `json:"time_zone,omitempty"` // in which times without one are meant
}

// fileDigests are the members of a BatchFile that tell of all of its content: whoever knows the rest of a file could try hidden values by them.
var fileDigests = []string{"$.sha256", "$.previous_sha256", "$.control_total"}

// WithoutDigests is f for whoever may not see what is masked in its rows.
func (f BatchFile) WithoutDigests() BatchFile {
	for _, digest := range []*string{&f.SHA256, &f.Previous, &f.Control} {
		if *digest != "" {
			*digest = Hidden
		}
	}
	return f
}
