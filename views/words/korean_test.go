package words

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"redrive/delivery"
)

func TestParticlesFitWhatStandsBeforeThem(t *testing.T) {
	for word, want := range map[string]string{
		"주문": "주문은 주문이 주문을 주문과 주문으로 주문이라", "재시도": "재시도는 재시도가 재시도를 재시도와 재시도로 재시도라", "채널": "채널은 채널이 채널을 채널과 채널로 채널이라",
		"0": "0은 0이 0을 0과 0으로 0이라", "1": "1은 1이 1을 1과 1로 1이라", "2": "2는 2가 2를 2와 2로 2라", "13": "13은 13이 13을 13과 13으로 13이라",
		"4": "4는 4가 4를 4와 4로 4라", "5": "5는 5가 5를 5와 5로 5라", "6": "6은 6이 6을 6과 6으로 6이라", "7": "7은 7이 7을 7과 7로 7이라",
		"8": "8은 8이 8을 8과 8로 8이라", "9": "9는 9가 9를 9와 9로 9라", "1,000": "1,000은 1,000이 1,000을 1,000과 1,000으로 1,000이라",
		"50%": "50%는 50%가 50%를 50%와 50%로 50%라", "URL": "URL은 URL이 URL을 URL과 URL로 URL이라", "API": "API는 API가 API를 API와 API로 API라",
		"JSON": "JSON은 JSON이 JSON을 JSON과 JSON으로 JSON이라", "seller-push": "seller-push는 seller-push가 seller-push를 seller-push와 seller-push로 seller-push라",
		"email": "email은 email이 email을 email과 email로 email이라", "admin": "admin은 admin이 admin을 admin과 admin으로 admin이라",
		"billing": "billing은 billing이 billing을 billing과 billing으로 billing이라", "order.placed": "order.placed는 order.placed가 order.placed를 order.placed와 order.placed로 order.placed라",
		`"주문"`: `"주문"은 "주문"이 "주문"을 "주문"과 "주문"으로 "주문"이라`, "주문(4건)…": "주문(4건)…은 주문(4건)…이 주문(4건)…을 주문(4건)…과 주문(4건)…으로 주문(4건)…이라",
		"": "는 가 를 와 로 라",
	} {
		got := ""
		for n, pair := range []string{"은는", "이가", "을를", "과와", "으로", "이라"} {
			if n > 0 {
				got += " "
			}
			got += word + Particle(word, pair)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestParticlesBehindPlaceholdersAndVerbs(t *testing.T) {
	phrases["test"] = "{name} {name:q} {list:or} {state} {why}"
	Translations["xx"] = Texts(map[string]string{phrases["test"]: "{name:은는} {name:q:이가} {list:or:을를} {state:word:으로} {why:과와}", "paused": "일시 중지",
		"{list} or {next}": "{list} 또는 {next}", phrases["held.probing"]: "시험 중"})
	t.Cleanup(func() { delete(phrases, "test"); delete(Translations, "xx") })
	p := delivery.Say("test", "name", "{why:은는}3", "list", []string{"a", "값"}, "state", "paused", "why", delivery.Say("held.probing"))
	if got, want := Say("xx", p), `{why:은는}3은 "{why:은는}3"이 a 또는 값을 일시 중지로 시험 중과`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for want, got := range map[string]string{"주문은 7로 50%": Format("%s{은는} %d{으로} 50%%", "주문", 7), "7로 {은는}은": Format("%[2]d{으로} %[1]s{은는}", "{은는}", 7),
		"1.5 초 {이상}": Format("%.1f 초 {이상}", 1.5)} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhichLanguageIsAskedFor(t *testing.T) {
	for header, want := range map[string]string{"": "", "ko": Korean, "ko-KR,ko;q=0.9,en-US;q=0.8": Korean, "en-GB": English, "fr": "", "fr,ko;q=0.2": Korean,
		"en;q=0.1,ko;q=0.9": Korean, "ko;q=0": "", "*": "", "nonsense;;": "", "de, en;q=0.5, ko;q=0.4": English} {
		if got := Accepted(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	for _, c := range []struct {
		want string
		env  map[string]string
	}{
		{English, nil}, {Korean, map[string]string{"LANG": "ko_KR.UTF-8"}}, {Korean, map[string]string{"LANG": "ko"}},
		{English, map[string]string{"LANG": "ko_KR.eucKR"}}, {English, map[string]string{"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}},
		{Korean, map[string]string{"LC_MESSAGES": "ko_KR.utf8@x", "LANG": "de_DE.UTF-8"}}, {English, map[string]string{"REDRIVE_LANG": "en", "LANG": "ko_KR.UTF-8"}},
		{Korean, map[string]string{"REDRIVE_LANG": "ko", "LC_ALL": "C"}}, {English, map[string]string{"REDRIVE_LANG": "fr"}},
	} {
		if got := OfTerminal(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %s", c.env, got)
		}
	}
}

var (
	quoted   = regexp.MustCompile(`“[^”]*”`) // as it stands elsewhere
	hangul   = regexp.MustCompile(`\p{Hangul}`)
	latin    = regexp.MustCompile(`[A-Za-z][A-Za-z0-9_.:/=*$<>'\[\]{}-]*`)
	codelike = regexp.MustCompile(`[A-Z].*[A-Z]|[_./=0-9$\[\]-].|:`)
)

// latinWords may stand in Korean: names, and what is typed or written as it is. Abbreviations and what has a sign of code in it may, too.
var latinWords = strings.Fields(`Allow Authorization Bearer Connect Forwarded Kafka Mon Postgres Redis Redrive Secure acknowledged action admin approvals approved
	adopt amqp any assignee attempts auditor beginning bench bytea canary cancel cancelled category cdc ce columns
	command continue count csv data dead destination en enqueue event expired failed failures false feature field file
	filter fingerprint finished from group groups grows growth headers help hex host http https id identity ids ignore
	insert integration is items json key kind known ko latest limit local logged logical login me message method metrics
	name new newest nobody now null oldest open openid operations operator original outbox outcome owner path pause
	paused payload period pgoutput pool profile publish push ramp rate reason redrive regressed rejected released
	replica resnapshot resume retry reviewer roles row running search seconds secret serve settled setup show since
	skipped slot snapshot sort start state stop succeeded syslog table tag tags text ticket time to today token true
	type typed unacknowledged unlogged until upgrade url value version viewer void waiting watch withdrawn xx yes`)

// What may stand in a text besides words, in the order of the alphabet: what is filled in, where a count goes, code.
func places(text string) []string {
	var all []string
	for _, p := range placeholder.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(all, "{"+p[1]+"}") {
			all = append(all, "{"+p[1]+"}")
		}
	}
	for _, v := range verb.FindAllStringSubmatch(text, -1) {
		all = append(all, "%"+v[2])
	}
	all = append(all, slices.Repeat([]string{"#"}, strings.Count(text, "#"))...)
	slices.Sort(all)
	return all
}

func TestKoreanIsSortedAndOnce(t *testing.T) {
	in := map[string]string{}
	for name, list := range koreanLists {
		if !slices.IsSortedFunc(list, func(a, b translation) int { return strings.Compare(a.english, b.english) }) {
			t.Errorf("korean_%s.go is not sorted by its English texts", name)
		}
		for _, l := range list {
			if in[l.english] != "" {
				t.Errorf("%q is in korean_%s.go and in korean_%s.go", l.english, in[l.english], name)
			}
			in[l.english] = name
		}
	}
}

func TestKoreanKeepsWhatIsFilledIn(t *testing.T) {
	for english, text := range korean {
		if got, want := places(text), places(english); !slices.Equal(got, want) {
			t.Errorf("%q has %v, its translation %q has %v", english, want, text, got)
		}
		for _, pair := range regexp.MustCompile(`[:{](\p{Hangul}+)\}`).FindAllStringSubmatch(text, -1) {
			if _, known := particles[pair[1]]; !known {
				t.Errorf("%q: there is no pair %s", text, pair[1])
			}
		}
		sentence := strings.Contains(english, " ") && !strings.HasSuffix(text, "?")
		if sentence && strings.HasSuffix(english, ".") != strings.HasSuffix(text, ".") {
			t.Errorf("%q ends otherwise than %q", text, english)
		}
		if strings.TrimLeft(english, " ,") != english && strings.TrimLeft(text, " ,.") == text || strings.HasSuffix(english, " ") != strings.HasSuffix(text, " ") {
			t.Errorf("%q has other blanks around it than %q", text, english)
		}
	}
}

func TestKoreanIsKorean(t *testing.T) {
	for english, text := range korean {
		bare := verb.ReplaceAllString(placeholder.ReplaceAllString(text, " "), " ")
		if !hangul.MatchString(bare) && latin.MatchString(bare) && strings.ToUpper(text) != text {
			t.Errorf("%q is translated by %q", english, text)
		}
		for _, word := range latin.FindAllString(quoted.ReplaceAllString(bare, ""), -1) {
			word = strings.TrimRight(word, ".:'/=-]}>")
			if len(word) > 1 && !slices.Contains(latinWords, word) && !codelike.MatchString(word) {
				t.Errorf("%q has %q, which is no word of Korean: translate it, or put it into latinWords", text, word)
			}
		}
	}
}
