package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fingerprint is the group of a failure: the same integration, error class and normalised text. It returns the group's id
// (32 hex digits) and the normalised text.
func Fingerprint(integration, class, text string) (id, normalised string) {
	normalised = Normalise(text)
	sum := sha256.Sum256([]byte(integration + "\x00" + class + "\x00" + normalised))
	return hex.EncodeToString(sum[:16]), normalised
}

// manyTexts is what a group says whose failures say something else each time.
const manyTexts = "texts that differ from one failure to the next"

// ManyTexts is the group of failures of an integration and class whose texts would make too many groups.
func ManyTexts(integration, class string) (id, text string) {
	return Fingerprint(integration, class, manyTexts)
}

const longestNormalised = 300 // runes

// Normalise takes out of an error text what differs between two occurrences of the same error: ids, numbers, addresses, times,
// and quoted values, in the languages and scripts that it knows. Codes that tell errors apart stay: an HTTP status, an SQLSTATE, the
// reply code of a broker, what stands in brackets behind the word code.
func Normalise(text string) string {
	n := normaliser{in: text, out: make([]byte, 0, len(text)+16)}
	for n.at < len(n.in) {
		n.next()
	}
	out := strings.ToValidUTF8(strings.TrimSpace(string(n.out)), "\uFFFD")
	if utf8.RuneCountInString(out) > longestNormalised {
		out = string([]rune(out)[:longestNormalised])
	}
	return out
}

// What stands in the place of what differs. Numbers and other ids are one: an id of hexadecimal digits may have no letter.
const (
	aNumber  = "<n>"
	aUUID    = "<uuid>"
	aTime    = "<time>"
	anIP     = "<address>"
	anEmail  = "<email>"
	aValue   = "<value>"
	wordSize = 32 // longer words are looked at, but are none of those known
)

type normaliser struct {
	in    string
	at    int
	out   []byte
	last  string // word before, in small letters
	after int    // where it ended
}

// next takes one piece of the text.
func (n *normaliser) next() {
	r, size := utf8.DecodeRuneInString(n.in[n.at:])
	switch {
	case unicode.IsSpace(r):
		if len(n.out) > 0 && n.out[len(n.out)-1] != ' ' {
			n.out = append(n.out, ' ')
		}
		n.at += size
	case n.particular():
	case isWord(r):
		n.word()
	case r == '(' && (n.assigned() || n.coded()):
	case quotes[r] != "" && n.quoted(size, quotes[r]):
	default:
		n.out = append(n.out, n.in[n.at:n.at+size]...)
		n.at += size
	}
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func (n *normaliser) put(what string, size int) bool {
	if what == aNumber { // of a list of numbers one is enough
		kept := strings.TrimRight(string(n.out[max(0, len(n.out)-8):]), ", ")
		if strings.HasSuffix(kept, aNumber) && strings.HasSuffix(string(n.out), " ") ||
			strings.HasSuffix(string(n.out), aNumber+",") {
			n.out = n.out[:strings.LastIndex(string(n.out), aNumber)]
		}
	}
	n.out = append(n.out, what...)
	n.at += size
	n.last = ""
	return true
}

// particular takes what has a shape of its own, if it begins here.
func (n *normaliser) particular() bool {
	rest := n.in[n.at:]
	if c := rest[0]; c != '[' && c != ':' && c != '<' && !isASCIIWord(c) {
		return false
	}
	for _, shape := range []struct {
		size func(string) int
		what string
	}{{uuidSize, aUUID}, {timeSize, aTime}, {addressSize, anIP}, {emailSize, anEmail}} {
		if size := shape.size(rest); size > 0 {
			return n.put(shape.what, size)
		}
	}
	return false
}

func isASCIIWord(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// shaped reports whether s begins with a pattern: d is a digit, x a hexadecimal one, everything else itself.
func shaped(s, pattern string) bool {
	if len(s) < len(pattern) {
		return false
	}
	for i := range len(pattern) {
		switch pattern[i] {
		case 'd':
			if !isDigit(s[i]) {
				return false
			}
		case 'x':
			if !isHex(s[i]) {
				return false
			}
		default:
			if s[i] != pattern[i] {
				return false
			}
		}
	}
	return true
}

// whole returns size when no word goes on behind it.
func whole(s string, size int) int {
	if size < len(s) && isASCIIWord(s[size]) {
		return 0
	}
	return size
}

func uuidSize(s string) int {
	if !shaped(s, uuidPattern) {
		return 0
	}
	return whole(s, uuidLen)
}

// timeSize is the size of a time, with or without its day.
func timeSize(s string) int {
	size := 0
	if shaped(s, "dddd-dd-dd") || shaped(s, "dddd/dd/dd") {
		size = 10
	}
	clock := size
	if size > 0 && len(s) > size && (s[size] == ' ' || s[size] == 'T') {
		clock++
	}
	if !shaped(s[clock:], "dd:dd:dd") || clock == size && size > 0 {
		return whole(s, size)
	}
	size = clock + 8
	if len(s) > size+1 && (s[size] == '.' || s[size] == ',') && isDigit(s[size+1]) {
		for size++; size < len(s) && isDigit(s[size]); size++ {
		}
	}
	switch zone := s[size:]; {
	case shaped(zone, "Z"):
		size++
	case shaped(zone, "+dd:dd"), shaped(zone, "-dd:dd"):
		size += 6
	case shaped(zone, "+dddd"), shaped(zone, "-dddd"):
		size += 5
	}
	return whole(s, size)
}

// addressSize is the size of an IP address with its port.
func addressSize(s string) int {
	size := 0
	switch {
	case s[0] == '[':
		end := strings.IndexByte(s, ']')
		if end < 0 || groups(s[1:end]) != end-1 || strings.Count(s[:end], ":") < 2 {
			return 0
		}
		size = end + 1
	case isHex(s[0]) || s[0] == ':':
		if size = dotted(s); size > 0 {
			break
		}
		if size = groups(s); !strings.Contains(s[:size], "::") && strings.Count(s[:size], ":") != 7 ||
			strings.HasSuffix(s[:size], ":") ||
			whole(s, size) == 0 {
			return 0
		}
	}
	if size > 0 && len(s) > size+1 && s[size] == ':' && isDigit(s[size+1]) {
		for size++; size < len(s) && isDigit(s[size]); size++ {
		}
	}
	return size
}

// groups is how far s has hexadecimal digits and colons.
func groups(s string) int {
	i := strings.IndexFunc(s, func(r rune) bool { return r > 'f' || r != ':' && !isHex(byte(r)) })
	if i < 0 {
		return len(s)
	}
	return i
}

// dotted is the size of four numbers with dots between them.
func dotted(s string) (size int) {
	for part := range 4 {
		if part > 0 {
			if size >= len(s) || s[size] != '.' {
				return 0
			}
			size++
		}
		digits := 0
		for size < len(s) && isDigit(s[size]) && digits < 4 {
			size, digits = size+1, digits+1
		}
		if digits == 0 || digits > 3 {
			return 0
		}
	}
	return whole(s, size)
}

func emailSize(s string) int {
	at := 0
	for at < len(s) && (isASCIIWord(s[at]) || strings.IndexByte("._+-", s[at]) >= 0) {
		at++
	}
	if at == 0 || at == len(s) || s[at] != '@' {
		return 0
	}
	size, dots := at+1, 0
	for size < len(s) && (isASCIIWord(s[size]) || s[size] == '-' || s[size] == '.' && size+1 < len(s) && isASCIIWord(s[size+1])) {
		if s[size] == '.' {
			dots++
		}
		size++
	}
	if dots == 0 {
		return 0
	}
	return size
}

// word takes a run of letters and digits.
func (n *normaliser) word() {
	rest := n.in[n.at:]
	word := rest[:runSize(rest)]
	size := len(word)
	lower := word
	if len(word) <= wordSize {
		lower = strings.ToLower(word)
	}
	switch digits := strings.IndexFunc(word, unicode.IsDigit); {
	case digits < 0:
		n.letters(word, lower)
	case isDigit(word[0]) && n.number(rest, word):
	case n.isCode(word, lower):
		n.keep(word, lower)
	case isNumbered(word, digits):
		n.keep(word[:digits], lower[:digits])
		n.put(aNumber, size-digits)
	default:
		n.put(aNumber, size)
	}
}

// runSize is the size of a word: of Latin letters and digits, or of letters of other scripts, which are written without spaces
// beside numbers.
func runSize(s string) int {
	first, size := utf8.DecodeRuneInString(s)
	latin := isLatin(first)
	for size < len(s) {
		r, more := utf8.DecodeRuneInString(s[size:])
		if !isWord(r) || isLatin(r) != latin {
			break
		}
		size += more
	}
	return size
}

// isLatin also takes digits.
func isLatin(r rune) bool {
	return r < utf8.RuneSelf || unicode.Is(unicode.Latin, r) || unicode.IsDigit(r) || r == 'µ' || r == 'μ'
}

// isNumbered reports whether a word is a name with a number behind it, such as Bestellnummer4711, and no id.
func isNumbered(word string, digits int) bool {
	return digits >= 5 && strings.Trim(word[digits:], "0123456789") == "" &&
		strings.ContainsAny(word[:digits], "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ")
}

func (n *normaliser) keep(word, last string) {
	n.out = append(n.out, word...)
	n.at += len(word)
	n.last, n.after = last, n.at
}

// letters takes a word without digits. Names of months and days beside numbers are parts of a time.
func (n *normaliser) letters(word, lower string) {
	before := strings.TrimRight(string(n.out[max(0, len(n.out)-8):]), " ,")
	after := strings.TrimLeft(n.in[n.at+len(word):], " ,")
	if calendar[lower] &&
		(strings.HasSuffix(before, aNumber) || strings.HasSuffix(before, aTime) || after != "" && isDigit(after[0])) {
		n.put(aTime, len(word))
		return
	}
	if particles[word] != "" && strings.HasSuffix(strings.TrimRight(string(n.out[max(0, len(n.out)-8):]), "\"'”’」』"), ">") {
		n.out, n.at = append(n.out, particles[word]...), n.at+len(word)
		return
	}
	if n.tail(word) {
		return
	}
	if linking[lower] && n.last != "" {
		lower = n.last
	}
	n.keep(word, lower)
}

var calendar = set(`jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun gmt utc cet cest am pm
	january february march april june july august september october november december
	januar februar märz mai juni juli oktober dezember uhr 오전 오후 上午 下午 午前 午後`)

// particles of Korean follow the sound of what stands before them, which differs with a number: one of each pair stands for both.
var particles = map[string]string{
	"은":   "는",
	"이":   "가",
	"을":   "를",
	"과":   "와",
	"으로":  "로",
	"이라는": "라는",
	"이나":  "나",
	"이라고": "라고",
	"이란":  "란",
}

// tail takes the last part of an id: ORD-4711-XK.
func (n *normaliser) tail(word string) bool {
	out := string(n.out[max(0, len(n.out)-4):])
	if !strings.HasSuffix(out, aNumber+"-") || len(word) > 12 || word != strings.ToUpper(word) || strings.ToLower(word) == word {
		return false
	}
	n.out = n.out[:len(n.out)-1]
	n.at += len(word)
	return true
}

// linking words stand between a word and its number: status is 503.
var linking = set("is of was with")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// number takes a word that begins with a digit, with its fraction and unit.
func (n *normaliser) number(rest, word string) bool {
	size := fractioned(rest)
	digits := rest[:size]
	if n.keepsNumber(digits, rest[size:]) {
		n.keep(digits, n.last)
		return true
	}
	if size < len(word) && n.isCode(word, strings.ToLower(word)) {
		return false
	}
	for more := true; more; { // 1h30m0.5s
		letters := strings.IndexFunc(rest[size:], func(r rune) bool { return !unicode.IsLetter(r) || !isLatin(r) })
		if letters < 0 {
			letters = len(rest) - size
		}
		size += letters
		next := fractioned(strings.TrimPrefix(rest[size:], "."))
		if more = next > 0; more {
			size += next + len(rest[size:]) - len(strings.TrimPrefix(rest[size:], "."))
		}
	}
	return n.put(aNumber, size)
}

// fractioned is the size of digits with dots, or commas and apostrophes before thousands.
func fractioned(s string) (size int) {
	for size < len(s) && (isDigit(s[size]) || size > 0 && size+1 < len(s) && isDigit(s[size+1]) && (s[size] == '.' || (s[size] == ',' || s[size] == '\'') && shaped(s[size+1:], "ddd"))) {
		size++
	}
	return size
}

// codes are words whose numbers tell errors apart; answers do so when the number can be a status.
var (
	codes = set(`
		status statuscode code errorcode errcode http https answered sqlstate sqlcode errno error err exit alert exception
		rc hresult msg ora pls tns tls tlsv ssl amqp smtp`)
	answers = set("returned responded replied got received response reply gave said")
)

// keepsNumber reports whether a number that begins here is a code.
func (n *normaliser) keepsNumber(digits, rest string) bool {
	status := len(digits) == 3 && digits >= "100" && digits < "600"
	if status && reason(digits, rest) {
		return true
	}
	if len(digits) > 5 || n.last == "" || n.at-n.after > 3 || rest != "" && isASCIIWord(rest[0]) {
		return false
	}
	between := n.in[n.after:n.at]
	if between == "" || strings.Trim(between, " :=([#-/_\"'") != "" ||
		strings.ContainsAny(n.in[n.after-1:n.after], "0123456789") && strings.Trim(between, " (/") != "" {
		return false
	}
	return codes[n.last] || status && answers[n.last]
}

// reason reports whether what follows a status says what it means: 503 Service Unavailable, 312 NO_ROUTE, 550 5.1.1.
func reason(status, rest string) bool {
	if len(rest) < 5 || rest[0] != ' ' && rest[0] != '-' {
		return false
	}
	rest = rest[1:]
	if shaped(rest, "d.d.d") {
		return true
	}
	capitals := strings.IndexFunc(rest, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '_' })
	if capitals < 0 {
		capitals = len(rest)
	}
	phrase := phrases[status]
	return capitals >= 4 ||
		phrase != "" && len(rest) >= len(phrase) && strings.EqualFold(rest[:len(phrase)], phrase) && rest[0] < 'a'
}

var phrases = map[string]string{
	"400": "Bad Request",
	"401": "Unauthorized",
	"402": "Payment Required",
	"403": "Forbidden",
	"404": "Not Found",
	"405": "Method Not",
	"406": "Not Acceptable",
	"408": "Request Time",
	"409": "Conflict",
	"410": "Gone",
	"411": "Length Required",
	"412": "Precondition",
	"413": "Request Entity",
	"414": "Request-URI",
	"415": "Unsupported",
	"416": "Requested Range",
	"417": "Expectation",
	"421": "Misdirected",
	"422": "Unprocessable",
	"423": "Locked",
	"425": "Too Early",
	"426": "Upgrade",
	"428": "Precondition",
	"429": "Too Many",
	"431": "Request Header",
	"451": "Unavailable",
	"500": "Internal",
	"501": "Not Implemented",
	"502": "Bad Gateway",
	"503": "Service",
	"504": "Gateway",
	"505": "HTTP Version",
	"507": "Insufficient",
	"508": "Loop",
	"511": "Network",
	"301": "Moved",
	"302": "Found",
	"303": "See Other",
	"304": "Not Modified",
	"307": "Temporary",
	"308": "Permanent",
}

// technical words have digits and are no ids.
var technical = set(`
	x509 utf8 utf16 sha1 sha256 sha384 sha512 md5 crc32 http2 http3 h2 h2c ipv4 ipv6 oauth2 base64 base32 k8s s3 ec2 log4j
	ed25519 x25519 p256 p384 p521 rs256 es256 hs256 aes128 aes256 pkcs1 pkcs7 pkcs8 pkcs12 p12 int2 int4 int8 int16 int32 int64 uint8 uint16
	uint32 uint64 float4 float8 float32 float64 varchar2 iso8859 iso8601 rfc3339 tlsv1 sslv3 e11000 latin1 windows1252 tcp4 tcp6 udp4 udp6`)

var errorPrefixes = []string{"aadsts", "pgrst", "sql", "ora", "err"}

// isCode reports whether a word of letters and digits is a name or a code, and no id.
func (n *normaliser) isCode(word, lower string) bool {
	if technical[lower] || len(word) <= 3 && lower[0] == 'v' {
		return true
	}
	if n.last == "sqlstate" && len(word) == 5 || codes[n.last] && strings.HasPrefix(lower, "0x") && n.at-n.after <= 3 {
		return true
	}
	for _, prefix := range errorPrefixes {
		if strings.HasPrefix(lower, prefix) && len(word) <= len(prefix)+7 && isDigit(word[len(prefix)]) &&
			unicode.IsUpper(rune(word[0])) {
			return true
		}
	}
	return false
}

// values are what comes after such words in quotes: somebody's data and no name of ours.
var values = set(`
	entry value input token user customer account recipient login member name got received unmarshal parse parsing syntax text string literal
	article item product order coupon voucher invoice
	wert eingabe benutzer nutzer kunde konto empfänger mitglied artikel produkt bestellung gutschein rechnung
	값 입력값 사용자 고객 회원 계정 상품 주문 쿠폰 值 用户 客户 会员 账户 账号 帐号 商品 订单 优惠券 顧客 会員 注文`)

// named are what comes after such words in quotes: names that tell errors apart.
var named = set(`
	field column parameter param attribute property key header constraint table relation queue exchange topic index function type
	feld spalte parameter attribut eigenschaft kopfzeile tabelle spalten felder 필드 항목 컬럼 열 속성 파라미터 매개변수 字段 列 参数 属性 項目 フィールド`)

// quotes are the ends of quotes, by their beginnings.
var quotes = map[rune]string{
	'"':  "\"",
	'\'': "'",
	'`':  "`",
	'“':  "”",
	'„':  "“",
	'«':  "»",
	'»':  "«",
	'‹':  "›",
	'‘':  "’",
	'‚':  "‘",
	'「':  "」",
	'『':  "』",
	'《':  "》",
	'〈':  "〉",
	'【':  "】",
}

// quoted takes a quoted value. What is a name stays: of a constraint, a queue, a field.
func (n *normaliser) quoted(size int, closed string) bool {
	quote := n.in[n.at : n.at+size]
	if n.at > 0 && size == 1 && isASCIIWord(n.in[n.at-1]) {
		return false // an apostrophe
	}
	end := strings.Index(n.in[n.at+size:], closed)
	if end < 0 && quote == "„" {
		closed = "”"
		end = strings.Index(n.in[n.at+size:], closed)
	}
	if end < 0 || end > 200 {
		return false
	}
	if !n.isData(n.in[n.at+size:n.at+size+end], size > 1) {
		return false // the inside is taken word by word
	}
	n.out = append(append(append(n.out, quote...), aValue...), closed...)
	n.at += size + end + len(closed)
	n.last = ""
	return true
}

// isData reports whether what stands in quotes here is somebody's data. Marks other than those of programs are for what people named.
func (n *normaliser) isData(inside string, typographic bool) bool {
	before := strings.TrimRight(n.in[:n.at], " ")
	near := n.at-n.after <= 2
	switch {
	case strings.HasSuffix(before, ":") && n.typed(), strings.HasSuffix(before, "="), near && values[n.last]:
		return true
	case near && named[n.last], inside == "":
		return false
	case typographic || strings.IndexFunc(inside, isForeign) >= 0 && strings.Count(inside, " ") < 4:
		starts := before == "" || strings.HasSuffix(before, ":") || strings.HasSuffix(before, ";")
		return !starts &&
			!(isName(inside) && (strings.ContainsAny(inside, "_./") || strings.Trim(inside, "abcdefghijklmnopqrstuvwxyz") == ""))
	}
	return !isName(inside) && !strings.Contains(inside, " ")
}

func isForeign(r rune) bool { return r >= utf8.RuneSelf && unicode.IsLetter(r) }

// coded takes codes in brackets as they are: (code E1042). Ids are none.
func (n *normaliser) coded() bool {
	inside, ok := strings.CutPrefix(n.in[n.at:], codesBegin)
	end := strings.IndexByte(inside, ')')
	if !ok || end < 0 || end > 200 {
		return false
	}
	var kept []string
	for code := range strings.SplitSeq(inside[:end], ", ") {
		if !isErrorCode(code) {
			code = aNumber
		}
		kept = append(kept, code)
	}
	n.out = append(append(append(n.out, codesBegin...), strings.Join(kept, ", ")...), ')')
	n.at += len(codesBegin) + end + 1
	n.last = ""
	return true
}

const codesBegin = "(code "

// isErrorCode tells E1042, ERR_4711 and 40P01 from ids: few changes between letters and digits, few digits in a row.
func isErrorCode(code string) bool {
	if strings.HasPrefix(code, "0x") {
		return len(code) <= 10
	}
	changes, row := 0, 0
	for i := range len(code) {
		if row++; !isDigit(code[i]) {
			row = 0
		}
		if i > 0 && isDigit(code[i]) != isDigit(code[i-1]) {
			changes++
		}
		if row > 5 && strings.Trim(code[:i+1], "0123456789") == "" || row > 8 {
			return false
		}
	}
	return len(code) <= 64 && changes <= 4 && !strings.ContainsAny(code, " \"'")
}

// assigned takes the value of a key as databases show it: Key (email)=(ann@example.com).
func (n *normaliser) assigned() bool {
	end := strings.IndexByte(n.in[n.at:], ')')
	if n.at == 0 || n.in[n.at-1] != '=' || end < 0 {
		return false
	}
	return n.put("("+aValue+")", end+1)
}

// typed reports whether the text up to here ends like: for type integer.
func (n *normaliser) typed() bool {
	return strings.Contains(n.in[max(0, n.at-40):n.at], "type ")
}

func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isWord(r) && !strings.ContainsRune("_.-/:$*<>#", r) }) < 0
}
