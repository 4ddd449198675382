package storetest

import (
	"strings"

	"pgregory.net/rapid"
)

// JSONText draws a JSON text with every escape that there is and what quoting may trip over, also \u0000 where zero asks for it:
// jsonb has no place for that.
func JSONText(zero bool) *rapid.Generator[string] {
	pieces := []string{
		`\"`,
		`\\`,
		`\/`,
		`\b`,
		`\f`,
		`\n`,
		`\r`,
		`\t`,
		`\u00e9`,
		`\ud83d\ude00`,
		`\u005c`,
		`\\x41`,
		`\\000`,
		`\\134`,
		`'`,
		`''`,
		`$q$`,
		`$1`,
		`:name`,
		`%s`,
		`%`,
		`?`,
		`??`,
		`한글`,
		`é`,
		"\u007f",
		`😀`,
		` `,
		`{}`,
		`C:\\temp`,
		`\\d+`,
		`--`,
		`/*`,
		`;`,
	}
	if zero {
		pieces = append(pieces, `\u0000`)
	}
	text := rapid.Custom(func(r *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(r, "pieces"), "") + `"`
	})
	odd := rapid.SampledFrom([]string{"1.10", "-0", "1e400", "12345678901234567890.10", "true", "null", "[]", " [ 1 ,2]"})
	return rapid.Custom(func(r *rapid.T) string {
		members := []string{}
		for _, value := range rapid.SliceOfN(rapid.OneOf(text, odd), 1, 4).Draw(r, "values") {
			members = append(members,
				text.Draw(r, "name")+rapid.SampledFrom([]string{":", " : ", ":\n\t"}).Draw(r, "colon")+value)
		}
		return "{" + strings.Join(members, ", ") + "}"
	})
}
