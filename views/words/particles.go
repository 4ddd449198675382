package words

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// particles are those of Korean that follow the sound before them: what comes after a consonant, and what after a vowel. A translation
// writes the pair behind the placeholder: {name:은는}, or %s{은는} in a text of a page.
var particles = map[string][2]string{
	"은는": {"은", "는"}, "이가": {"이", "가"}, "을를": {"을", "를"}, "과와": {"과", "와"}, "으로": {"으로", "로"}, "이라": {"이라", "라"},
	"이나": {"이나", "나"},
}

// ending is how a word sounds at its end.
type ending int

const (
	vowel ending = iota
	consonant
	rieul // ㄹ: a consonant for every particle but 으로
)

// Particle is the form of a pair that fits behind a text.
func Particle(before, pair string) string {
	forms := particles[pair]
	switch sound := endOf(before); {
	case sound == vowel, sound == rieul && pair == "으로":
		return forms[1]
	}
	return forms[0]
}

// endOf listens to the last letter or digit: what stands behind it is not spoken. Nothing at all is taken for a vowel.
func endOf(text string) ending {
	spoken := strings.TrimRightFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '%' })
	letters := []rune(spoken)
	if len(letters) == 0 {
		return vowel
	}
	switch last := letters[len(letters)-1]; {
	case last >= '가' && last <= '힣':
		return endOfSyllable(last)
	case last >= '0' && last <= '9':
		return endOfNumber(letters)
	case unicode.IsLetter(last):
		return endOfLatin(letters)
	}
	return vowel // a percent sign is read 퍼센트
}

func endOfSyllable(r rune) ending {
	switch (r - '가') % 28 {
	case 0:
		return vowel
	case 8:
		return rieul
	}
	return consonant
}

// endOfNumber reads the last digit: 영 일 이 삼 사 오 육 칠 팔 구. A zero is also that of 십, 백, 천, 만, all of which end in a consonant.
func endOfNumber(letters []rune) ending {
	switch letters[len(letters)-1] {
	case '1', '7', '8':
		return rieul
	case '0', '3', '6':
		return consonant
	}
	return vowel
}

// spelledOut are letters by name that end in a consonant: 엘, 엠, 엔, 아르 or 알.
var spelledOut = map[rune]ending{'L': rieul, 'M': consonant, 'N': consonant, 'R': rieul}

// endOfLatin reads a word as Koreans do: an abbreviation letter by letter, every other word as it sounds.
func endOfLatin(letters []rune) ending {
	last := letters[len(letters)-1]
	word := latinWord(letters)
	if word == strings.ToUpper(word) {
		return spelledOut[unicode.ToUpper(last)]
	}
	lower := strings.ToLower(word)
	for _, s := range sounds {
		if strings.HasSuffix(lower, s.end) {
			return s.sound
		}
	}
	return vowel
}

// sounds are ends of words, those of more letters first: b, c, k, p and t are a consonant behind a short vowel, and 브, 크, 프 or 트
// elsewhere; which vowels are short cannot be told from the letters, so the usual ones stand here.
var sounds = []struct {
	end   string
	sound ending
}{
	{"ng", consonant}, {"le", rieul}, {"me", consonant}, {"ne", consonant}, {"um", consonant},
	{"ack", consonant}, {"eck", consonant}, {"ick", consonant}, {"ock", consonant}, {"uck", consonant}, {"ook", consonant},
	{"ap", consonant}, {"ep", consonant}, {"ip", consonant}, {"op", consonant}, {"up", consonant}, {"ob", consonant},
	{"ect", vowel}, {"act", vowel}, {"et", consonant}, {"ot", consonant}, {"it", consonant}, {"ut", consonant}, {"ic", consonant},
	{"l", rieul}, {"m", consonant}, {"n", consonant},
}

func latinWord(letters []rune) string {
	start := len(letters)
	for start > 0 && letters[start-1] < unicode.MaxLatin1 && unicode.IsLetter(letters[start-1]) {
		start--
	}
	return string(letters[start:])
}

// verb is a place of fmt in a text, by number or in turn, with the particle behind it.
var verb = regexp.MustCompile(`%(?:%|(?:\[([0-9])\])?([-+#0-9.]*[a-z])(?:\{(\pL+)\})?)`)

// Format fills the verbs of a text in, as fmt.Sprintf does, with their particles.
func Format(text string, args ...any) string {
	turn := 0
	return verb.ReplaceAllStringFunc(text, func(found string) string {
		part := verb.FindStringSubmatch(found)
		if part[2] == "" {
			return "%"
		}
		if n, err := strconv.Atoi(part[1]); err == nil {
			turn = n - 1
		}
		if turn >= len(args) {
			return found
		}
		value := fmt.Sprintf("%"+part[2], args[turn])
		turn++
		if _, is := particles[part[3]]; is {
			return value + Particle(value, part[3])
		}
		return value
	})
}
