package format

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/transform"

	"redrive/delivery"
)

const byteOrderMark = "\ufeff"

// textEncoder turns UTF-8, which Postgres sends, into the encoding of the file. In EUC-KR (with the extension that Windows
// calls code page 949) the second byte of a character is a letter or above 0x80, so that delimiters, quotes and line ends
// are found in encoded text too.
type textEncoder struct {
	bom     bool
	korean  transform.Transformer // nil: UTF-8
	scratch []byte
}

func eucKR() transform.Transformer { return korean.EUCKR.NewEncoder().Transformer }

func (e *textEncoder) begin(dst []byte) []byte {
	if e.bom {
		return append(dst, byteOrderMark...)
	}
	return dst
}

// encode returns text in the file's encoding, valid until the next call, or why that is impossible.
func (e *textEncoder) encode(text []byte) (encoded []byte, problem delivery.Phrase) {
	if e.korean == nil || ascii(text) {
		return text, problem
	}
	if cap(e.scratch) > bufferKeep {
		e.scratch = nil
	}
	e.scratch = slices.Grow(e.scratch[:0], len(text)+2) // two bytes at most for a character that has two or more in UTF-8
	n, read, err := e.korean.Transform(e.scratch[:len(text)+2], text, true)
	if err != nil {
		r, _ := utf8.DecodeRune(text[read:])
		return nil, delivery.Say("file.cell.no_character", "character", fmt.Sprintf("%U", r))
	}
	return e.scratch[:n], problem
}

func ascii(text []byte) bool {
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// looksMarked reports whether a reader could take the beginning of text, at the beginning of a file, for a byte order mark.
func looksMarked(text []byte) bool { return bytes.HasPrefix(text, []byte(byteOrderMark)) }
