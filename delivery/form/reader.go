package form

import (
	"fmt"
	"net"
	"strings"
	"time"

	"redrive/delivery"
)

// Bounds of how long an attempt may take.
const (
	maxTimeout      = 5 * time.Minute
	defaultTransfer = time.Minute // of a whole file
	maxTransfer     = time.Hour
)

// Reader checks settings. What is wrong is told with the place in the file, and reading goes on.
type Reader struct {
	Resolve func(path, reference string) (string, error) // of ${…}; the error is a sentence
	Wrong   func(path, text string)                      // is told what is wrong, and where
}

// Fail tells of a mistake.
func (r *Reader) Fail(path, format string, args ...any) { r.Wrong(path, fmt.Sprintf(format, args...)) }

// Expand replaces each ${…} by what it refers to; where there is nothing, that is a mistake.
func (r *Reader) Expand(path, text string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		reference, after, closed := strings.Cut(rest, "}")
		if !closed {
			r.Fail(path, "a ${ has no closing }")
			return ""
		}
		value, err := r.Resolve(path, reference)
		if err != nil {
			r.Fail(path, "%s", err)
			return ""
		}
		out.WriteString(value)
		text = after
	}
}

// Required reads a text that must be given.
func (r *Reader) Required(path, setting, text string) string {
	text = r.Expand(path+setting, text)
	if strings.TrimSpace(text) == "" {
		r.Fail(path+setting, "%s: missing", setting)
	}
	return text
}

// Address reads a host and a port.
func (r *Reader) Address(path, setting, text string) string {
	return r.hostPort(path, setting, r.Expand(path+setting, text))
}

func (r *Reader) hostPort(path, setting, text string) string {
	if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" || strings.Contains(host, "@") {
		r.Fail(path+setting, "%s: an address such as 127.0.0.1:6379 is needed", setting) // what is there may hold a password
	}
	return text
}

// Duration reads a duration within its bounds. path includes the setting.
func (r *Reader) Duration(path, setting, text string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		r.Fail(path, "%s: %q is no duration such as 500ms, 5s or 2h", setting, text)
	} else if d < least || d > most {
		r.Fail(path, "%s: %s is not between %s and %s", setting, text, least, most)
	}
	return d
}

// Timeout reads how long an attempt may take. path includes the setting.
func (r *Reader) Timeout(path, text string) time.Duration {
	if text == "" {
		return delivery.DefaultTimeout
	}
	return r.Duration(path, "timeout", text, 10*time.Millisecond, maxTimeout)
}

// Transfer reads how long a whole file may take. path includes the setting.
func (r *Reader) Transfer(path, text string) time.Duration {
	if text == "" {
		return defaultTransfer
	}
	return r.Duration(path, "timeout", text, time.Second, maxTransfer)
}

// Format reads how messages are written. path includes the setting.
func (r *Reader) Format(path, text string) delivery.WireFormat {
	switch f := delivery.WireFormat(text); f {
	case "":
		return delivery.FormatNative
	case delivery.FormatNative, delivery.FormatCloudEvents:
		return f
	}
	r.Fail(path, "format: %q is neither native nor cloudevents", text)
	return delivery.FormatNative
}

// PostgresURL reports whether a text is the address of a Postgres database.
func PostgresURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// Columns reads what columns are written, and under which names.
func (r *Reader) Columns(path string, list []Column) (columns []delivery.FileColumn) {
	if list != nil && len(list) == 0 {
		r.Fail(path+"columns", "columns: the list is empty; remove it to write every column of the query")
	}
	for n, column := range list {
		if column.Name == "" || column.From == "" {
			r.Fail(fmt.Sprintf("%scolumns[%d]", path, n),
				"columns: each is a column of the query, or one pair {name in the file: column of the query}")
		}
		columns = append(columns, delivery.FileColumn(column))
	}
	return columns
}
