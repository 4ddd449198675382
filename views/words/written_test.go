package words

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mistakes are the forms that the source of the integrations file's reading has: which argument of a call it is, and which field.
var (
	mistakes       = map[string]int{"Fail": 1, "fail": 1, "Errorf": 0, "New": 0, "Sprintf": 0}
	mistakesIn     = []string{"Text", "Only", "NoRows", "NoDeadLetters", "NoMaskPath", "NoMaskHeader", "NoMaskColumn", "NoMaskPattern", "FindsNothing"}
	mistakesByFile = []string{"delivery/config/*", "delivery/form/*", "delivery/broker/kind.go", "delivery/send/*/kind.go", "delivery/batch/schedule/*"}
)

// wrapping makes one of forms that differ in whether an error stays within.
var wrapping = strings.NewReplacer("%w", "%s", "%v", "%s")

// noMistakes are forms by which no sentence is made, or one of which another makes the rest.
var noMistakes = []string{"%s", "%s: %w", "%s: %s", "%s:%v", "%s line %d: %s", "%s_FILE: %s: %w", "F%d", "yaml:%q", "enough", "batch.schedule: %s"}

// Whoever adds a mistake of the integrations file adds it in Korean, to korean_config.go.
func TestMistakesOfTheFileAreThereInKorean(t *testing.T) {
	files, set, _ := sources(t)
	known, found := map[string]bool{}, 0
	for _, t := range slices.Concat(koreanConfig, koreanUsage) {
		known[wrapping.Replace(t.english)] = true
	}
	for _, file := range files {
		name, err := filepath.Rel("../..", set.Position(file.Pos()).Filename)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(mistakesByFile, func(p string) bool { is, _ := filepath.Match(p, name); return is }) {
			continue
		}
		for _, text := range mistakesOf(file) {
			if found++; !known[wrapping.Replace(text)] {
				t.Errorf("%s: missing in Korean:\n\t{%q, %q},", name, text, "")
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d mistakes were found", found)
	}
}

func mistakesOf(file *ast.File) (texts []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		var at ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			if arg, is := mistakes[nameOf(n.Fun)]; is && arg < len(n.Args) {
				at = n.Args[arg]
			}
		case *ast.KeyValueExpr:
			if slices.Contains(mistakesIn, nameOf(n.Key)) {
				at = n.Value
			}
		}
		// a path in the file begins with $ or ends with an index; a list of settings is no sentence
		if text := spelled(at); text != "" && !slices.Contains(noMistakes, text) && !strings.HasPrefix(text, "$.") && !strings.HasSuffix(text, "[%d]") {
			texts = append(texts, text)
		}
		return true
	})
	return texts
}

// spelled is a text of one piece or several.
func spelled(e ast.Expr) string {
	if sum, is := e.(*ast.BinaryExpr); is {
		left, right := spelled(sum.X), spelled(sum.Y)
		if left != "" && right != "" {
			return left + right
		}
		return ""
	}
	if e == nil {
		return ""
	}
	return literal(e, nil)
}

func TestWrittenIsSaidInKorean(t *testing.T) {
	for english, want := range map[string]string{
		`retry.jitter: "x: y" is neither full nor none`:                                 `retry.jitter: "x: y"는 full도 none도 아닙니다`,
		"${file:a}: it cannot be read: no such file":                                    "${file:a}: 읽을 수 없습니다: no such file",
		"destination: a batch goes to http, a file or a table":                          "destination: 배치를 보낼 수 있는 대상은 다음과 같습니다: http, 파일, 테이블",
		`batch.missed: "x" is neither catch-up nor skip`:                                `batch.missed: "x"는 쓸 수 없습니다. 다음 중 하나를 쓰세요: catch-up, skip`,
		"broker.dead_letters: Redis pub/sub has no dead letters; use rabbitmq or kafka": "broker.dead_letters: Redis pub/sub에는 데드 레터가 없습니다. 다음을 쓰세요: rabbitmq, kafka",
		"integration a: url: an http:// or https:// address is needed":                  "연동 a: url: http:// 또는 https:// 주소가 필요합니다",
		"unknown flag --x, did you mean one of \"--y\", \"--z\"?":                       "알 수 없는 플래그 --x. 다음 중 하나를 쓰려던 것인가요? \"--y\", \"--z\"",
		"--limit: expected a valid 64 bit int but got \"x\"":                            "--limit: 64비트 정수여야 합니다. 받은 값 \"x\"",
		"connection refused: by somebody and else":                                      "connection refused: by somebody and else",
	} {
		if got := Written(Korean, english); got != want {
			t.Errorf("%s is %s, want %s", english, got, want)
		}
		if got := Written(English, english); got != english {
			t.Errorf("%s is %s in English", english, got)
		}
	}
	for _, form := range slices.Concat(koreanConfig, koreanUsage) {
		if !hangul.MatchString(form.korean) && !slices.Contains([]string{"schema: %s: %s", "mask: %q %s"}, form.english) {
			t.Errorf("%q is not in Korean", form.english)
		}
	}
}
