package pattern_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// events mines text and returns the example of each event, with its lines.
func events(t *testing.T, text string) (out []string) {
	t.Helper()
	m := pattern.NewMiner(pattern.Options{Refs: true})
	var refs []pattern.Ref
	var counts []uint64
	s := pattern.NewStream(m, pattern.StreamOptions{OnEvent: func(n uint64, ref pattern.Ref, _ bool) {
		refs, counts = append(refs, ref), append(counts, n)
	}})
	for line := range strings.SplitSeq(text, "\n") {
		s.Line([]byte(line))
	}
	s.Close()
	m.Patterns()
	for i, ref := range refs {
		out = append(out, strings.Repeat("|", int(counts[i]))+" "+m.PatternOf(ref).Template)
	}
	return out
}

func TestStackTracesAreOneEvent(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"Java": {"2026-03-02 10:15:00 ERROR app: it broke\njava.lang.IllegalStateException: no\n\tat a.b.C.d(C.java:1)\nCaused by: java.io.IOException: x\n\t... 3 more\n2026-03-02 10:15:01 INFO app: on", []string{
			"||||| it broke: java.lang.IllegalStateException", "| on",
		}},
		"Python alone": {"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\nValueError: bad value 3\nnext", []string{
			"|||| ValueError: bad value <*>", "| next",
		}},
		"Python chained": {"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 5, in g\nValueError: y\nnext", []string{
			"||||||||| KeyError: '<*>'", "| next",
		}},
		"Go panic": {"panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x1d\nexit status 2\nnext line", []string{
			"|||||| panic: assignment to entry in nil map", "| next line",
		}},
		"Go dump": {"SIGQUIT: quit\nPC=0x4 m=0\n\ngoroutine 0 [idle]:\nruntime.futex(0x1, 0x2)\n\t/x.s:1 +0x1\n\ngoroutine 1 [select]:\nmain.f(...)\n\t/y.go:2\n\nrax    0xca\nhello", []string{
			"|||||||||||| SIGQUIT: quit", "| hello",
		}},
		"Node": {"2026-03-02T10:15:00Z error: it broke\nTypeError: x is not a function\n    at f (/a.js:1:2)\n    at node:internal/x:3:4\n2026-03-02T10:15:01Z info: on", []string{
			"|||| it broke: TypeError", "| on",
		}},
		".NET": {"fail: Shop.Orders[3]\n      order 17 was lost\n      System.Exception: x\n         at Shop.F() in /a.cs:line 3\ninfo: Shop.Orders[1]\n      order 18 is here", []string{
			"|||| order <*> was lost", "|| order <*> is here",
		}},
		"text of lines that are none": {"one\n  two\nthree", []string{"| one", "| two", "| three"}},
		"a private key":               {"loaded -----BEGIN PRIVATE KEY-----\nMIIabc\nxyz\n-----END PRIVATE KEY-----\nnext", []string{"|||| loaded -----BEGIN PRIVATE KEY-----", "| next"}},
	} {
		if got := events(t, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// Whoever asks for errors wants what was thrown, whether or not a line says so.
func TestAStackTraceIsAtLeastAnError(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want pattern.Level
	}{
		"Java without a header":  {"Exception in thread \"main\" java.lang.NullPointerException: x\n\tat a.b.C.d(C.java:1)", pattern.LevelError},
		"Java in a warning":      {"2026-03-02 10:15:00 WARN app: it broke\n\tat a.b.C.d(C.java:1)", pattern.LevelWarn},
		"Node without a header":  {"TypeError: x is not a function\n    at f (/a.js:1:2)", pattern.LevelError},
		"Python":                 {"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\nValueError: y", pattern.LevelError},
		"a panic of Go":          {"panic: it broke\n\ngoroutine 1 [running]:\nmain.main()\n\t/m.go:5 +0x1d", pattern.LevelFatal},
		"a line with more to it": {"one at a time", pattern.LevelUnknown},
	} {
		m := pattern.NewMiner(pattern.Options{})
		s := pattern.NewStream(m, pattern.StreamOptions{})
		for line := range strings.SplitSeq(c.text, "\n") {
			s.Line([]byte(line))
		}
		s.Close()
		if got := m.Patterns(); len(got) != 1 || got[0].Level != c.want {
			t.Errorf("%s: %+v, want one of level %v", name, got, c.want)
		}
	}
}

func TestFramesOfContainerRuntimesAreTakenOff(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"CRI":             {"2026-03-02T10:15:00.1Z stdout P started the \n2026-03-02T10:15:00.1Z stdout F server\n2026-03-02T10:15:00.1Z stderr F done", []string{"|| started the server", "| done"}},
		"Docker":          {`{"log":"started the ","stream":"stdout","time":"x"}` + "\n" + `{"log":"server\n","stream":"stdout","time":"x"}`, []string{"|| started the server"}},
		"kubectl":         {"[pod/web-1/app] started\n[pod/web-2/app] started", []string{"| started", "| started"}},
		"CRI around JSON": {`2026-03-02T10:15:00.1Z stdout F {"level":"info","msg":"started"}`, []string{"| started"}},
	} {
		if got := events(t, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}
