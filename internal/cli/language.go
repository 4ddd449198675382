package cli

import (
	"bytes"
	"strings"

	"github.com/alecthomas/kong"

	"redrive/delivery"
	"redrive/internal/cli/client"
	"redrive/views/words"
)

// language is that of whoever runs the command.
func language() string { return client.Language() }

// said is a phrase in that language.
func said(p delivery.Phrase) string { return words.Say(language(), p) }

// inLanguage says what commands and flags are for in a language, before kong fills in what the texts name.
func inLanguage(lang string) kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		return eachHelp(k.Model, func(text *string) { *text = words.Translate(lang, *text) })
	})
}

// helpTexts are what all commands and flags are for.
func helpTexts(model *kong.Application) (all []string) {
	_ = eachHelp(model, func(text *string) { all = append(all, *text) }) // it fails only with what it calls
	return all
}

func eachHelp(model *kong.Application, do func(*string)) error {
	return kong.Visit(model, func(n kong.Visitable, next kong.Next) error {
		switch n := n.(type) {
		case *kong.Application:
			do(&n.Help)
		case *kong.Node:
			do(&n.Help)
		case *kong.Flag:
			do(&n.Help)
		case *kong.Value:
			do(&n.Help)
		}
		return next(nil)
	})
}

// about is what the program is.
const about = "The failure desk for asynchronous integrations. Exit codes: 0 done, 1 failed, 2 wrong usage."

// headings are what kong itself begins lines of a help text with.
var headings = []string{"Usage:", "Arguments:", "Flags:", "Commands:", `Run "redrive <command> --help" for more information on a command.`}

// helpIn prints help with its headings in a language.
func helpIn(lang string) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		out, page := ctx.Stdout, bytes.Buffer{}
		ctx.Stdout = &page
		err := kong.DefaultHelpPrinter(options, ctx)
		ctx.Stdout = out
		if err != nil {
			return err
		}
		lines := strings.SplitAfter(page.String(), "\n")
		for n, line := range lines {
			for _, heading := range headings {
				if rest, found := strings.CutPrefix(line, heading); found {
					lines[n] = words.Translate(lang, heading) + rest
				}
			}
		}
		_, err = out.Write([]byte(strings.Join(lines, "")))
		return err
	}
}
