// Package static holds style sheet, scripts and icon, addressed by their content so that browsers may keep them for ever.
package static

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed redrive.css redrive.js passkey.js htmx.min.js icon.svg
var files embed.FS

type asset struct {
	name string
	body []byte
}

// byURL and urls are the same list, read from either end.
var byURL, urls = index()

func index() (map[string]asset, map[string]string) {
	assets, addresses := map[string]asset{}, map[string]string{}
	entries, _ := fs.ReadDir(files, ".") // an embedded directory is always readable
	for _, entry := range entries {
		name := entry.Name()
		body, _ := files.ReadFile(name)
		sum := sha256.Sum256(body)
		ext := path.Ext(name)
		address := "/static/" + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		assets[address] = asset{name, body}
		addresses[name] = address
	}
	return assets, addresses
}

// URL is the address of a file, e.g. of "redrive.css"; it changes with the content. An unknown name is a mistake in a
// template and panics, so that the first rendering finds it.
func URL(name string) string {
	address, ok := urls[name]
	if !ok {
		panic("static: no file " + name)
	}
	return address
}

// Handler serves the files under the addresses that URL answers; everything else is 404.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := byURL[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
	})
}
