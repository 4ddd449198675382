package cli

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"redrive/delivery"
	"redrive/delivery/ledger"
	"redrive/docs"
	"redrive/internal/cli/client"
	"redrive/store"
	"redrive/store/notary"
)

// packReports write what else goes into an evidence pack, each a file.
var packReports = map[string]func(ctx context.Context, db *store.Store, p notary.Period, w io.Writer) error{
	"people.json": packPeople,
	"system.json": packSystem,
}

// parsePeriod reads a month, a day or a year, of UTC.
func parsePeriod(text string) (p notary.Period, err error) {
	for _, span := range []struct {
		layout              string
		years, months, days int
	}{{"2006-01", 0, 1, 0}, {"2006-01-02", 0, 0, 1}, {"2006", 1, 0, 0}} {
		if p.From, err = time.Parse(span.layout, text); err == nil {
			p.Until = p.From.AddDate(span.years, span.months, span.days)
			return p, nil
		}
	}
	return p, client.Said("--period: a month such as 2026-11, a day such as 2026-11-30 or a year")
}

// pack writes the evidence of a period as a zip file: nothing in it needs this program to be checked.
func pack(ctx context.Context, db *store.Store, name string, p notary.Period, version string) (err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return Misused(client.Said("--out cannot be written: %s", err))
	}
	z := zip.NewWriter(file)
	err = errors.Join(fill(ctx, db, z, p, version), z.Close(), file.Close())
	if err != nil {
		_ = os.Remove(name) // half a pack is none
	}
	return err
}

func fill(ctx context.Context, db *store.Store, z *zip.Writer, p notary.Period, version string) error {
	entries, err := z.Create("entries.jsonl")
	if err != nil {
		return err
	}
	told := 0
	signed, err := db.Export(ctx, p, func(line []byte) error {
		if strings.HasPrefix(string(line), `{"seq":`) {
			told++
		}
		_, err := entries.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	keys, err := db.AuditKeys(ctx)
	if err != nil {
		return err
	}
	var public []string
	for _, k := range keys {
		public = append(public, k.Public)
	}
	for name, text := range map[string]string{"checkpoint.txt": signed, "keys.txt": strings.Join(public, "\n") + "\n",
		"verify_audit.py": string(docs.VerifyAudit), "README.md": packReadme(p, told, version, public)} {
		if err := put(z, name, []byte(text)); err != nil {
			return err
		}
	}
	if err := packCheckpoints(ctx, db, z, signed); err != nil {
		return err
	}
	for name, write := range packReports {
		w, err := z.Create(name)
		if err == nil {
			err = write(ctx, db, p, w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func put(z *zip.Writer, name string, content []byte) error {
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(content)
	}
	return err
}

// packCheckpoints puts the checkpoints in that were signed so far, each once.
func packCheckpoints(ctx context.Context, db *store.Store, z *zip.Writer, last string) error {
	all, err := db.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for i, signed := range all {
		c, err := ledger.Unsigned(signed)
		if err == nil && signed != last {
			err = put(z, fmt.Sprintf("checkpoints/%06d-of-%d-entries.txt", i+1, c.Size), []byte(signed))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func packReadme(p notary.Period, told int, version string, keys []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Evidence of %s until %s (UTC)\n\nWritten by Redrive %s at %s. entries.jsonl has %d entries of the period, and of all others the hashes of their\n"+
		"leaves, so that whoever checks computes the whole tree. Every checkpoint here is of that tree.\n\n## To check it\n\n"+
		"Compare the key with the one that you noted when it was made, and take a checkpoint that was kept outside, by you or by a witness:\n\n"+
		"    python3 verify_audit.py --part", p.From.Format(time.DateOnly), p.Until.Format(time.DateOnly), version, time.Now().UTC().Format(time.RFC3339), told)
	for _, k := range keys {
		fmt.Fprintf(&b, " --key '%s'", k)
	}
	b.WriteString(" entries.jsonl checkpoint.txt checkpoints/*.txt YOUR_CHECKPOINT\n\n" +
		"It needs Python 3 and nothing else. Without a checkpoint from outside it shows only that the pack fits itself: whoever has the key\n" +
		"could have written another one. The format is docs/audit-format.md of Redrive.\n\n## What else is here\n\n" +
		"- people.json: people, roles, grants and tokens **as they were when this was written**. What they were earlier follows from the entries\n" +
		"  operator.* and token.* of entries.jsonl, which say each change.\n" +
		"- system.json: versions, and what the database says of itself. No secret is in it.\n")
	return b.String()
}

// packPeople writes who may what, now; hashes of passwords and secrets stay where they are.
func packPeople(ctx context.Context, db *store.Store, _ notary.Period, w io.Writer) error {
	people, err := db.Operators(ctx)
	if err != nil {
		return err
	}
	tokens, err := db.Tokens(ctx)
	if err != nil {
		return err
	}
	type person struct {
		ID         string          `json:"id"`
		Name       string          `json:"name"`
		Role       delivery.Role   `json:"role"`
		Grants     delivery.Grants `json:"grants"`
		Issuer     string          `json:"issuer,omitempty"`
		CreatedAt  time.Time       `json:"created_at"`
		DisabledAt *time.Time      `json:"disabled_at"`
	}
	type token struct {
		ID        string          `json:"id"`
		Name      string          `json:"name"`
		Role      delivery.Role   `json:"role"`
		Grants    delivery.Grants `json:"grants"`
		CreatedAt time.Time       `json:"created_at"`
		RevokedAt *time.Time      `json:"revoked_at"`
	}
	out := struct {
		At     time.Time `json:"at"`
		People []person  `json:"people"`
		Tokens []token   `json:"tokens"`
	}{At: time.Now().UTC()}
	for _, o := range people {
		out.People = append(out.People, person{o.ID, o.Name, o.Role, o.Grants, o.Issuer, o.CreatedAt, o.DisabledAt})
	}
	for _, t := range tokens {
		out.Tokens = append(out.Tokens, token{t.ID, t.Name, t.Role, t.Grants, t.CreatedAt, t.RevokedAt})
	}
	return indented(w, out)
}

func packSystem(ctx context.Context, db *store.Store, _ notary.Period, w io.Writer) error {
	schema, _, err := db.SchemaStatus(ctx)
	if err != nil {
		return err
	}
	power, err := db.Power(ctx)
	if err != nil {
		return err
	}
	places, err := db.Places(ctx)
	if err != nil {
		return err
	}
	return indented(w, map[string]any{"schema": schema, "program_could_change_the_audit_as": power, "outside": places})
}

func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(v)
}
