package delivery

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Detectors of `mask`, as their rules name them.
var Detectors = []string{"resident", "card", "phone", "email"}

// detection is which detectors look.
type detection struct{ resident, card, phone, email bool }

// add switches a detector on; ok is false when there is none of that name.
func (d *detection) add(name string) bool {
	switch name {
	case "resident":
		d.resident = true
	case "card":
		d.card = true
	case "phone":
		d.phone = true
	case "email":
		d.email = true
	default:
		return false
	}
	return true
}

func (d detection) any() bool { return d != detection{} }

// Bounds of what detectors look at around a place. They keep them linear.
const (
	maxDigits = 19 // of one number
	maxGap    = 2  // characters between two groups of its digits
	maxLocal  = 64 // bytes before the @
	maxDomain = 255
)

// in are the places of a text where something is detected, perhaps one in another.
func (d detection) in(text []byte) (list []span) {
	if d.email {
		list = emails(text)
	}
	if d.resident || d.card || d.phone {
		list = append(list, d.numbers(text)...)
	}
	return list
}

// numbers looks at each run of groups of digits.
func (d detection) numbers(text []byte) (list []span) {
	for pos := 0; pos < len(text); {
		if !isDigit(text[pos]) {
			pos++
			continue
		}
		n := digitsAt{text: text, from: pos}
		pos = groupEnd(text, pos)
		if found, ok := d.longest(n); ok {
			list, pos = append(list, found), max(pos, found.to)
		}
	}
	return list
}

// digitsAt is a place in a text where digits begin.
type digitsAt struct {
	text []byte
	from int
}

// longest is the longest number that begins where n does.
func (d detection) longest(n digitsAt) (found span, ok bool) {
	var buffer [maxDigits]byte
	digits, groups, plain := buffer[:0], 0, true
	for pos := n.from; ; {
		end := groupEnd(n.text, pos)
		if len(digits)+end-pos > maxDigits {
			return found, ok
		}
		digits, groups, pos = append(digits, n.text[pos:end]...), groups+1, end
		if d.fits(n, pos, digits, groups, plain) {
			found, ok = span{n.begins(), pos}, true
		}
		gap := 0
		for pos+gap < len(n.text) && gap <= maxGap && isGap(n.text[pos+gap]) {
			gap++
		}
		if gap == 0 || gap > maxGap || pos+gap >= len(n.text) || !isDigit(n.text[pos+gap]) {
			return found, ok
		}
		plain = plain && gap == 1 && (n.text[pos] == ' ' || n.text[pos] == '-')
		pos += gap
	}
}

// begins is where the number begins with its plus.
func (n digitsAt) begins() int {
	if n.from > 0 && n.text[n.from-1] == '+' {
		return n.from - 1
	}
	return n.from
}

func (d detection) fits(n digitsAt, end int, digits []byte, groups int, plain bool) bool {
	switch {
	case d.resident && plain && groups <= 2 && isResident(digits) && (groups == 1 || !isDigit(n.text[n.from+6])):
		return true
	case d.card && plain && isCard(digits):
		return true
	case d.phone && (n.from == 0 || !isASCIIWord(n.text[n.from-1])) && (end == len(n.text) || !isASCIIWord(n.text[end])):
		return isPhone(digits, n.from > 0 && n.text[n.from-1] == '+', groups > 1)
	}
	return false
}

// isGap reports whether a character may stand between the groups of a number.
func isGap(c byte) bool { return c == ' ' || c >= '(' && c <= ')' || c == '-' || c == '.' }

// groupEnd is behind the digits that begin at pos.
func groupEnd(text []byte, pos int) int {
	for pos < len(text) && isDigit(text[pos]) {
		pos++
	}
	return pos
}

// isResident reports whether digits are a Korean resident (or foreigner's) registration number: a date of birth, and the check digit.
// Numbers of who was born from October 2020 on, when the check digit was given up, need the date only.
func isResident(digits []byte) bool {
	if len(digits) != 13 {
		return false
	}
	year, month, day := two(digits, 0), two(digits, 2), two(digits, 4)
	kind := digits[6] - '0'
	switch {
	case kind == 9 || kind == 0:
		year += 1800
	case kind == 1 || kind == 2 || kind == 5 || kind == 6:
		year += 1900
	default:
		year += 2000
	}
	if !isDate(year, month, day) {
		return false
	}
	sum := 0
	for n, c := range digits[:12] {
		sum += int(c-'0') * (n%8 + 2)
	}
	check := (11 - sum%11) % 10
	if kind >= 5 && kind <= 8 {
		check = (13 - sum%11) % 10
	}
	return int(digits[12]-'0') == check || year > 2020 || year == 2020 && month >= 10
}

func two(digits []byte, at int) int { return int(digits[at]-'0')*10 + int(digits[at+1]-'0') }

func isDate(year, month, day int) bool {
	days := []int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	leap := month == 2 && day == 29 && year%4 == 0 && (year%100 != 0 || year%400 == 0)
	return day <= days[month-1] || leap
}

// cards are beginnings of the numbers of payment cards, from and to, and the lengths of these numbers.
var cards = []struct {
	from, to    int // as many digits as they have
	least, most int
}{
	{4, 4, 13, 19},           // Visa
	{51, 55, 16, 16},         // Mastercard
	{2221, 2720, 16, 16},     // Mastercard
	{34, 34, 15, 15},         // American Express
	{37, 37, 15, 15},         // American Express
	{300, 305, 14, 19},       // Diners Club
	{36, 36, 14, 19},         // Diners Club
	{38, 39, 14, 19},         // Diners Club
	{3528, 3589, 16, 19},     // JCB
	{6011, 6011, 16, 19},     // Discover
	{644, 659, 16, 19},       // Discover
	{62, 62, 16, 19},         // UnionPay
	{81, 81, 16, 19},         // UnionPay
	{5018, 5018, 13, 19},     // Maestro
	{5020, 5020, 13, 19},     // Maestro
	{5038, 5038, 13, 19},     // Maestro
	{6304, 6304, 13, 19},     // Maestro
	{6759, 6763, 13, 19},     // Maestro
	{2200, 2204, 16, 19},     // Mir
	{9, 9, 16, 16},           // domestic cards of Korea
	{356, 356, 16, 16},       // domestic cards of Korea
	{606282, 606282, 16, 16}, // Hipercard
}

func isCard(digits []byte) bool {
	if len(digits) < 13 {
		return false
	}
	issued := slices.ContainsFunc(cards, func(c struct{ from, to, least, most int }) bool {
		if len(digits) < c.least || len(digits) > c.most {
			return false
		}
		begins := 0
		for n, unit := 0, c.to; unit > 0; n, unit = n+1, unit/10 {
			begins = begins*10 + int(digits[n]-'0')
		}
		return begins >= c.from && begins <= c.to
	})
	return issued && luhn(digits)
}

func luhn(digits []byte) bool {
	sum := 0
	for n := range digits {
		v := int(digits[len(digits)-1-n] - '0')
		if n%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// isPhone reports whether digits are a telephone number: as E.164 behind a plus, or as it is dialled in Korea, there without separators
// only where it is a mobile's or a fixed one of the internet.
func isPhone(digits []byte, plus, separated bool) bool {
	n := len(digits)
	switch {
	case plus:
		return n >= 8 && n <= 15 && digits[0] != '0'
	case n < 9 || digits[0] != '0':
		return false
	case digits[1] == '1':
		return (n == 10 || n == 11) && bytes.IndexByte([]byte("016789"), digits[2]) >= 0
	case digits[1] == '7':
		return digits[2] == '0' && (n == 10 || n == 11)
	case !separated:
		return false
	case digits[1] == '2':
		return n == 9 || n == 10
	case digits[1] == '5' && digits[2] == '0':
		return n == 11 || n == 12
	case digits[1] == '8':
		return digits[2] == '0' && (n == 10 || n == 11)
	}
	return digits[1] >= '3' && digits[1] <= '6' && digits[2] >= '1' && digits[2] <= '5' && (n == 10 || n == 11)
}

// emails looks to both sides of each @.
func emails(text []byte) (list []span) {
	for at := 0; ; at++ {
		next := bytes.IndexByte(text[at:], '@')
		if next < 0 {
			return list
		}
		at += next
		from, to := at, at+1
		for from > 0 && at-from < maxLocal && isLocal(text[from-1]) {
			from--
		}
		for to < len(text) && to-at <= maxDomain && (isASCIIWord(text[to]) || text[to] >= utf8.RuneSelf || bytes.IndexByte([]byte("._-"), text[to]) >= 0) {
			to++
		}
		for from < at && !utf8.RuneStart(text[from]) {
			from++
		}
		for to < len(text) && !utf8.RuneStart(text[to]) {
			to++
		}
		to = at + 1 + len(bytes.TrimRight(text[at+1:to], ".-"))
		dot := bytes.LastIndexByte(text[at+1:to], '.')
		if from < at && dot > 0 && to-(at+1+dot) > 2 {
			list = append(list, span{from, to})
		}
	}
}

// isLocal reports whether a byte may stand before the @ of an address.
func isLocal(c byte) bool {
	return isASCIIWord(c) || c >= utf8.RuneSelf || bytes.IndexByte([]byte("._%+-!#$'*^`{|}~"), c) >= 0
}
