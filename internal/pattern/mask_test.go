package pattern

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func shapeOf(s string) string {
	var m masker
	return strings.ReplaceAll(string(m.mask([]byte(s))), string(rune(wild)), Wildcard)
}

func TestValuesAreMasked(t *testing.T) {
	for line, want := range map[string]string{
		"listening on 0.0.0.0:8080":                     "listening on <*>",
		"peer [fe80::1ff:fe23:4567:890a]:443 left":      "peer [<*>]:<*> left",
		"took 12ms, then 1m2.5s, then 30 s":             "took <*>, then <*>, then <*>",
		"estimated size 5.2 KB, free 2.1 MB)":           "estimated size <*>, free <*>)",
		"id 6f1c2a34-abcd-4def-8abc-1234567890ab done":  "id <*> done",
		"sha 9f86d081884c7d65 at 0x7fff5fbff":           "sha <*> at <*>",
		"mail to bob.smith+x@mail.example.org sent":     "mail to <*> sent",
		"GET https://shop/orders/17?user=bob&page=2 ok": "GET https://shop/orders/<*>?<*> ok",
		"at 2026-03-02T10:15:00.123Z":                   "at <*>",
		"on Sat Jun 18 02:08:12 2005 it":                "on <*> it",
		"between 2026-03-02 10:15:00,123 and 10:20":     "between <*> and <*>",
		`opened "some file" for 'a user' who can't`:     `opened "<*>" for '<*>' who can't`,
		`{"name":"bob","n":3,"ok":true}`:                `{"name":"<*>","n":<*>,"ok":<*>}`,
		"running v1.22.3-rc.1+build.7":                  "running v<*>-rc.<*>+build.<*>",
		"eth0 and node-12 and tty2":                     "eth<*> and node-<*> and tty<*>",
		"x = -1, y=+2.5e10":                             "x = <*>, y=<*>",
		"values 1 2 3 4":                                "values <*>",
		"ok=true ws=null done=false":                    "ok=<*> ws=<*> done=<*>",
		"truely nullable":                               "truely nullable",
		"mac 00:1a:2b:aa:bb:cc up":                      "mac <*> up",
		"  spaces\t\tand\x00control  ":                  "spaces and control",
		`10.0.0.1 "GET /a/7?x=1 HTTP/1.1" 502 12`:       `<*> "GET /a/<*>?<*> HTTP/<*>" 502 <*>`,
		"blk_-1608999687919862906 and rdd_42_20":        "blk_<*> and rdd_<*>",
		"":                                              "",
	} {
		if got := shapeOf(line); got != want {
			t.Errorf("%q\n got %q\nwant %q", line, got, want)
		}
	}
}

func TestTheShapeOfAShapeIsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-z=:,.\[\](){}"/ 0-9A-Z_-]{0,60}`).Draw(t, "message")
		var a, b masker
		once := append([]byte(nil), a.mask([]byte(s))...)
		words := strings.Count(string(once), " ")
		if got := strings.Count(string(b.mask([]byte(s+" "))), " "); got != words {
			t.Fatalf("%q has %d words, with a space after it %d", s, words, got)
		}
	})
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"a 1 b", `"x" 'y`, "a@b.c", "://?a=", "Jun 1", "1 KB", "-1-", "\x01 \x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		var m masker
		out := string(m.mask(s))
		if again := string(m.mask(s)); again != out {
			t.Fatalf("%q is %q, then %q", s, out, again)
		}
		if len(out) > 3*len(s)+4 {
			t.Fatalf("%d bytes became %d", len(s), len(out))
		}
		for i := 0; i < len(out); i++ {
			if out[i] < ' ' && out[i] != wild {
				t.Fatalf("control character %#x in %q", out[i], out)
			}
		}
	})
}
