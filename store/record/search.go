package record

import (
	"strconv"
	"strings"
	"unicode"

	"redrive/delivery"
	"redrive/store/pg"
)

// Anywhere is a pattern of texts that hold a text.
func Anywhere(text string) string { return "%" + EscapeLike(text) + "%" }

// DocSQL and WordsSQL are what is searched of a payload: text, which json says to be JSON, of a row that has DocSQL as doc.
const (
	DocSQL   = "CASE WHEN json THEN redrive.search_doc(text) END"
	WordsSQL = `CASE WHEN doc IS NOT NULL THEN jsonb_to_tsvector('simple', doc, '["string", "numeric"]')
    WHEN text <> '' THEN to_tsvector('simple', text) END`
)

// SearchConditions are the conditions on the error and payload of a failure, which s has as error, words and doc.
func SearchConditions(f delivery.Filter) (*pg.Where, error) {
	w := pg.NewWhere()
	if f.Query != "" {
		w.Add("s.error ILIKE ?", Anywhere(f.Query))
	}
	if f.Words != "" {
		w.Add("s.words @@ to_tsquery('simple', ?)", wordsQuery(f.Words))
	}
	for _, p := range f.Paths {
		path, indexed, ok := p.JSONPath()
		if !ok {
			return nil, delivery.Mistake("bad_search.json_path", "path")
		}
		if indexed {
			w.Add("s.doc @@ ?::jsonpath", path)
			continue
		}
		// the index would be read as a whole; but the payload has the words of the value somewhere
		w.Add("(s.doc @@ ?::jsonpath) IS TRUE", path)
		switch digits := p.WholeDigits(); {
		case digits != "":
			w.Add("s.words @@ ?::tsquery", "'"+digits+"':*")
		case hasWords(p.Value):
			w.Add("s.words @@ plainto_tsquery('simple', ?)", p.Value)
		}
	}
	return w, nil
}

// hasWords is careful: tags, entities and protocols are no words to Postgres, and true, false and null are not kept as words.
func hasWords(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err != nil && strings.IndexFunc(value, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) >= 0 &&
		!strings.ContainsAny(value, "<&") && !strings.HasSuffix(value, "://") && value != "true" &&
		value != "false" && value != "null"
}

// wordsQuery is a text search for all words, the last of which may be the beginning of one.
func wordsQuery(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(word) + "'"
	}
	return strings.Join(words, " & ") + ":*"
}
