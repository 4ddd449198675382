package delivery

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRulesOfMasksAreChecked(t *testing.T) {
	for rule, want := range map[string]MaskProblem{
		"$.a": "", "header:X-Customer": "", "column:phone": "", `pattern:\d{6}-\d{7}`: "", "detect:card": "", "detect:resident": "", "detect:phone": "", "detect:email": "",
		"": NoMaskPath, "code": NoMaskPath, "header:": NoMaskHeader, "header:a b": NoMaskHeader, "column: ": NoMaskColumn, "pattern:(": NoMaskPattern, "pattern:a*": FindsNothing,
		"pattern:": FindsNothing, `pattern:(a)\1`: NoMaskPattern, "pattern:" + strings.Repeat("a", 1001): NoMaskPattern, "detect:iban": NoMaskDetector,
	} {
		if got := CheckMask(rule); got != want {
			t.Errorf("%q: %q, want %q", rule, got, want)
		}
	}
	for _, name := range Detectors {
		if CheckMask(maskDetect+name) != "" {
			t.Errorf("there is no detector %s", name)
		}
	}
}

func TestDetectors(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"resident", "no 900101-1234568, 9001011234568.", "no •••, •••."},
		{"resident", "주민900101-1234568번호", "주민•••번호"},
		{"resident", "900101 1234568", "•••"},
		{"resident", "900101-1234567 fails the check, 901301-1234568 the date, 19001011234568 the length", "900101-1234567 fails the check, 901301-1234568 the date, 19001011234568 the length"},
		{"resident", "201101-3000000 came after the check was given up", "••• came after the check was given up"},
		{"resident", "200901-3000000 before", "200901-3000000 before"},
		{"card", "4111 1111 1111 1111, 4111-1111-1111-1111, 4111111111111111, 378282246310005", "•••, •••, •••, •••"},
		{"card", "12 4111 1111 1111 1111 12/27", "12 ••• 12/27"},
		{"card", "4111111111111112, 1234567812345670, 41111111111111110000", "4111111111111112, 1234567812345670, 41111111111111110000"},
		{"phone", "010-1234-5678, 01012345678, 02-123-4567, (031) 123-4567, 070-1234-5678, +82 10-1234-5678, +1 (555) 123-4567, +4930123456", "•••, •••, •••, (•••, •••, •••, •••, •••"},
		{"phone", "2026-12-01 02:03:04 order 0212345678, 20261201, abc01012345678, 3.14159265358979", "2026-12-01 02:03:04 order 0212345678, 20261201, abc01012345678, 3.14159265358979"},
		{"email", "to ann.b+c@example.com, bob@a-b.co.kr.", "to •••, •••."},
		{"email", "a@b, @here, x@, user@localhost, a@b.c", "a@b, @here, x@, user@localhost, a@b.c"},
		{"email", "메일 홍길동@예시.한국 입니다", "메일 ••• 입니다"},
	} {
		masked, ok := Mask([]byte(c.text), []string{"detect:" + c.rule})
		if !ok || string(masked) != c.want {
			t.Errorf("%s: %q (%t)\nwant %q", c.rule, masked, ok, c.want)
		}
		if got := (Masking{Paths: []string{"detect:" + c.rule}}).Hider(nil).Text(c.text); got != c.want {
			t.Errorf("%s in a text: %q", c.rule, got)
		}
	}
}

// TestEachFormOfRuleHides goes over forms of rules and of payloads: what is shown, what may be edited and comes back, what an answer may repeat.
func TestEachFormOfRuleHides(t *testing.T) {
	for _, c := range []struct {
		name, payload, want string // want empty: all of it is hidden
		rules               []string
	}{
		{"found in JSON", `{"a":"call 010-1234-5678","n":4111111111111111,"b":1}`, `{"a":"•••","n":"•••","b":1}`, []string{"detect:phone", "detect:card"}},
		{"found behind an escape", `{"a":"\u0030\u0031\u0030-1234-5678"}`, `{"a":"•••"}`, []string{"detect:phone"}},
		{"found in a name", `{"010-1234-5678":1}`, "", []string{"detect:phone"}},
		{"found within what is hidden", `{"a":{"010-1234-5678":"x"}}`, `{"a":"•••"}`, []string{"detect:phone", "$.a"}},
		{"expression", `{"a":["K-123","K-x"]}`, `{"a":["•••","K-x"]}`, []string{`pattern:K-\d+`}},
		{"expression in text", "order K-123, K-1234", "order •••, •••", []string{`pattern:K-\d+`}},
		{"places in one another", "x K-010-1234-5678 y", "x ••• y", []string{`pattern:K-\d+`, `pattern:\d[-\d]+`}},
		{"column", "id,phone,name\n1,010-1,\"a\"\"b\nc\"\n2,\"010,2\",b\n", "id,phone,name\n1,•••,\"a\"\"b\nc\"\n2,•••,b\n", []string{"column:phone"}},
		{"column of other separators", "\uFEFFid;\"phone\"\r\n1;0101\r\n2;\r\n3;01\r\n", "\uFEFFid;\"phone\"\r\n1;•••\r\n2;\r\n3;•••\r\n", []string{"column:phone"}},
		{"key", "id=1\nphone=010;1\nname: x\n", "id=1\nphone=•••\nname: x\n", []string{"column:phone"}},
		{"form", "id=1&phone=010&x=2", "id=1&phone=•••", []string{"column:phone"}},
		{"member of a row", `{"id":1,"phone":"010"}`, `{"id":1,"phone":"•••"}`, []string{"column:phone"}},
		{"member of rows", `[{"id":1,"phone":"010"}]`, `[{"id":1,"phone":"•••"}]`, []string{"column:phone"}},
		{"no such column", "id,name\n1,2\n", "", []string{"column:phone"}},
		{"a path of what is no JSON", "id,phone\n1,2\n", "", []string{"column:phone", "$.phone"}},
		{"no text", "\xff\xfe0\x001\x00", "", []string{"detect:phone"}},
		{"zero bytes", "0\x001\x000\x00", "", []string{"detect:phone"}},
		{"headers alone", "anything", "anything", []string{"header:X-A"}},
	} {
		masked, ok := Mask([]byte(c.payload), c.rules)
		if ok != (c.want != "") || string(masked) != c.want {
			t.Errorf("%s: %q (%t)", c.name, masked, ok)
			continue
		}
		if !ok {
			if got := (Masking{Paths: c.rules}).Hider([]byte(c.payload)).Answer(c.payload); got != Hidden {
				t.Errorf("%s: the answer %q", c.name, got)
			}
			continue
		}
		text, ok := EditText([]byte(c.payload), c.rules)
		if !ok {
			if EditFormat([]byte(c.payload)) != EditBase64 {
				t.Errorf("%s: it cannot be edited", c.name)
			}
			continue
		}
		back, err := FromEditText(" "+text, []byte(c.payload), c.rules)
		if err != nil || !bytes.Contains(back, []byte(strings.TrimRight(c.payload, "\n"))) && !strings.HasPrefix(c.payload, "{") && !strings.HasPrefix(c.payload, "[") {
			t.Errorf("%s: edited it is %q, %v", c.name, back, err)
		}
	}
}

func TestHiddenTextComesBackOnlyWhereItIsHiddenAgain(t *testing.T) {
	base := "id,phone\n1,0101\n2,0102\n"
	rules := []string{"column:phone"}
	for edited, want := range map[string]string{
		"id,phone\n7,•••\n2,•••\n": "id,phone\n7,0101\n2,0102\n",
		"id,phone\n•••,1\n2,•••\n": "",
		"phone,id\n•••,1\n•••,2\n": "phone,id\n0101,1\n0102,2\n", // it is hidden there too
		"name,id\n•••,1\n•••,2\n":  "",
		"id,phone\n1,•••\n":        "",
		"id,phone\n1,new\n":        "id,phone\n1,new\n",
	} {
		got, err := UnmaskText([]byte(edited), []byte(base), rules)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", edited, got, err)
		}
	}
	if got, err := Unmask([]byte(`["•••","b"]`), []byte(`["b","471199"]`), []string{"$[1]"}); err == nil {
		t.Errorf("it comes back where nothing hides it: %s", got)
	}
}

func TestHeadersAreHiddenWhereverTheyTurnUp(t *testing.T) {
	m := Message{Integration: "push", Headers: map[string]string{"X-Customer": "c-5003/ann lee", "X-Other": "b"}, Payload: []byte("{}")}
	k := NewMasks([]MaskRule{{Integration: "push", Paths: []string{"header:x-customer"}}}).For(m)
	r := Result{Outcome: OutcomePermanent, Error: "it failed", Words: "no c-5003/ann lee", Response: []byte("no c-5003%2Fann+lee, c-5003%2Fann%20lee"),
		Exchange: &Exchange{Address: "http://x/c-5003%2Fann%20lee", Sent: []HeaderLine{{"X-customer", "other"}, {"X-B", "c-5003/ann lee"}}, Answered: []HeaderLine{{"Echo", "c-5003/ann lee"}}}}
	kept := fmt.Sprintf("%+v %s %+v", r.Conceal(m.Payload, k), r.Conceal(m.Payload, k).Response, *r.Conceal(m.Payload, k).Exchange)
	for _, secret := range []string{"ann", "5003", "other"} {
		if strings.Contains(kept, secret) {
			t.Errorf("%s is kept: %s", secret, kept)
		}
	}
	if ok := (Result{Outcome: OutcomeOK, Response: []byte("thanks, c-5003/ann lee")}).Conceal(m.Payload, k); string(ok.Response) != "thanks, "+Hidden {
		t.Errorf("an answer that is no failure: %s", ok.Response)
	}
	if r.Exchange.Sent[0][1] != "other" {
		t.Error("what was given is changed")
	}
}

// TestDetectorsAreLinear holds the time for hostile texts of one length to a multiple of that of a harmless one.
func TestDetectorsAreLinear(t *testing.T) {
	rules := []string{"detect:resident", "detect:card", "detect:phone", "detect:email"}
	for _, unit := range []string{"@", "1", "1 ", "0-", "a@a.", "+1.", "9001011234568 ", "4111 1111 1111 1111 ", "\uAC00@"} {
		text := []byte(strings.Repeat(unit, 1<<20/len(unit)))
		began := time.Now()
		if _, ok := Mask(text, rules); !ok && unit != "1" {
			t.Errorf("%q is not masked", unit)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%q takes %s", unit, took)
		}
	}
}

func BenchmarkConceal(b *testing.B) {
	payload := []byte(`{"order":4711,"lines":[` + strings.Repeat(`{"sku":"A-1","n":1,"to":"Seoul, Mapo 12"},`, 20) + `{"phone":"010-1234-5678"}]}`)
	for name, k := range map[string]Masking{"none": {}, "path": {Paths: []string{"$.lines[*].phone"}},
		"detectors": {Paths: []string{"detect:resident", "detect:card", "detect:phone", "detect:email"}}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Result{Outcome: OutcomePermanent, Error: "it failed", Words: "no such order"}.Conceal(payload, k)
			}
		})
	}
}
