package pattern

import (
	"bytes"
	"strings"
	"testing"
)

func readText(text string, h *header) (r record) {
	r.read([]byte(text), h)
	return r
}

func TestStructuredLinesSayLevelLoggerTraceAndMessage(t *testing.T) {
	type want struct{ level, logger, trace, message string }
	for line, w := range map[string]want{
		`{"time":"x","level":"WARN","msg":"disk \"a\" full","logger":"fs","trace_id":"4bf9"}`: {"warn", "fs", "4bf9", `disk "a" full`},
		`{"level":50,"time":1,"name":"shop","msg":"boom","err":{"message":"refused"}}`:        {"error", "shop", "", "boom: refused"},
		`{"level":"error","error":"dial tcp: refused"}`:                                       {"error", "", "", "dial tcp: refused"},
		`{"@t":"x","@m":"ready","@l":"Information","SourceContext":"Shop.Api"}`:               {"info", "Shop.Api", "", "ready"},
		`{"a":[{"b":"}"}],"message":"x"}`:                                                     {"", "", "", "x"},
		`{"a":1}`:                                                                             {"", "", "", `{"a":1}`},
		`{"open":`:                                                                            {"", "", "", `{"open":`},
		`time=x level=ERROR msg="it broke" err="no route" component=net`:                      {"error", "net", "", "it broke: no route"},
		`ts=1 lvl=dbg msg=ok`:                                                                 {"debug", "", "", "ok"},
		`E0102 15:04:05.000000    1234 sync.go:44] "sync failed" pod="a/b" err="gone"`:        {"error", "sync.go", "", "sync failed: gone"},
		`W0102 15:04:05.000000       1 watch.go:9] closed`:                                    {"warn", "watch.go", "", "closed"},
		`CRITICAL:root:no memory`:                                                             {"fatal", "root", "", "no memory"},
		`[warn] too many`:                                                                     {"warn", "", "", "too many"},
		`took place with trace_id=4bf92f ok`:                                                  {"", "", "4bf92f", "took place with trace_id=4bf92f ok"},
	} {
		r := readText(line, nil)
		if got := (want{r.level.String(), string(r.logger), string(r.traceID), string(r.message)}); got != w {
			t.Errorf("%s\n got %+v\nwant %+v", line, got, w)
		}
	}
}

func TestHeadersAreLearned(t *testing.T) {
	for name, lines := range map[string][]string{
		"Logback":   {"10:15:00.123 [main] INFO  c.shop.Web - ", "10:15:01.123 [exec-1] WARN  c.shop.Db - "},
		"Log4j":     {"2026-03-02 10:15:00,123 INFO shop.Web: ", "2026-03-02 10:15:01,123 WARN shop.Db: "},
		"syslog":    {"Mar  2 10:15:00 web-1 sshd[123]: ", "Mar 12 10:15:00 web-1 cron: "},
		"Ruby":      {"I, [2026-03-02T10:15:00.123456 #7]  INFO -- : ", "E, [2026-03-02T10:15:00.123456 #8] ERROR -- : "},
		"Envoy":     {"[2026-03-02 10:15:00.123][1][info][main] ", "[2026-03-02 10:15:00.124][12][warning][upstream] "},
		"bars":      {"20260302-10:15:00:123|Web|30002|", "20260302-10:15:00:124|Db|30003|"},
		"RFC 3339":  {"2026-03-02T10:15:00.123Z INFO ", "2026-03-02T10:15:00+01:00 ERROR "},
		"zap":       {"2026-03-02T10:15:00.123Z\tINFO\tweb\t", "2026-03-02T10:15:00.123Z\tERROR\tdb\t"},
		"logcat":    {"03-02 10:15:00.123  1702  2395 D Window: ", "03-02 10:15:00.123  1702  3395 I Power: "},
		"a process": {"1772446500 4711 INFO ", "1772446501 4712 WARN "},
	} {
		messages := strings.Fields("opened closed started stopped lost found sent received parsed dropped queued flushed merged split")
		var sample [][]byte
		for i, m := range messages {
			sample = append(sample, []byte(lines[i%2]+m+" the "+messages[(i*5+3)%len(messages)]+" thing"))
		}
		h := learnHeader(sample)
		if h == nil {
			t.Errorf("%s: no header", name)
			continue
		}
		for i, line := range sample {
			r := readText(string(line), h)
			if want := string(line[len(lines[i%2]):]); string(r.message) != want || !r.headed {
				t.Errorf("%s: %q is %q", name, line, r.message)
			}
		}
	}
	if h := learnHeader([][]byte{[]byte("user a logged in"), []byte("session b closed"), []byte("3 files")}); h != nil {
		t.Errorf("lines without a time have the header %v", h.columns)
	}
}

func TestControlCharactersAreTakenOff(t *testing.T) {
	for line, want := range map[string]string{
		"\x1b[31mERROR\x1b[0m broke":       "ERROR broke",
		"\x1b]0;title\x07text":             "text",
		"a\x00b\x08c\td":                   "abc\td",
		"user \u202egnp.exe\u202c \ufeffx": "user gnp.exe x",
		"“quoted” – kept":                  "“quoted” – kept",
		"cut \x1b[":                        "cut ",
	} {
		if got, _ := clean([]byte(line), nil); string(got) != want {
			t.Errorf("%q is %q", line, got)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"a":"b","c":[1,{"d":"}"}]}`, `{"a":`, `{}`, `{"a":"\u00e9\ud83d\ude00"}`, strings.Repeat("{", 50)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, line []byte) {
		object(line, func(_, value []byte, _ bool) bool { unescape(value, nil); return true })
	})
}

func FuzzPairs(f *testing.F) {
	f.Add([]byte(`a=b c="d \" e" f= =g "h`))
	f.Fuzz(func(_ *testing.T, line []byte) {
		pairs(line, func(_, _ []byte, _ bool) bool { return true })
	})
}

func FuzzUnframe(f *testing.F) {
	f.Add([]byte("2026-03-02T10:15:00.1Z stdout P x"))
	f.Add([]byte(`{"log":"x\n","stream":"stdout"}`))
	f.Add([]byte("[pod/a/b] [pod/c/d] x"))
	f.Fuzz(func(_ *testing.T, line []byte) { unframe(line, nil) })
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("\x1b[31mx\x1b]0;\x07\xe2\x80\xae"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if got, _ := clean(line, nil); bytes.ContainsAny(got, "\x00\x1b\x7f") {
			t.Fatalf("%q is %q", line, got)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("10:15:00 INFO a: b\n10:15:01 INFO c: d"))
	f.Add([]byte("[[[ 1|2 Jan 3\n\n[x]:"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		lines := bytes.Split(text, []byte{'\n'})
		h := learnHeader(lines)
		for _, line := range lines {
			readText(string(line), h)
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("Traceback (most recent call last):\n  x\nE: y\npanic: z\n\ngoroutine 1 [x]:\n"))
	f.Add([]byte("fail: A[1]\n      x\n{\"msg\":\"a\"}\n-----BEGIN PRIVATE KEY-----\nx"))
	f.Add([]byte("2026-03-02T10:15:00.1Z stdout P x\n2026-03-02T10:15:00.1Z stdout F y\n\r\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := NewMiner(Options{MaxShapes: 16, MaxTemplates: 8})
		lines, rows, events := uint64(0), uint64(0), uint64(0)
		s := NewStream(m, StreamOptions{OnEvent: func(n uint64, _ Ref, _ bool) { rows += n }})
		_ = ReadLines(bytes.NewReader(text), func(line []byte, _ bool) error {
			lines++
			s.Line(line)
			return nil
		})
		s.Close()
		for _, p := range m.Patterns() {
			events += p.Count
		}
		if rows != lines || m.Stats().Lines != lines || events != m.Stats().Events {
			t.Fatalf("%d lines have %d rows, %d events of %d are counted", lines, rows, events, m.Stats().Events)
		}
	})
}

func TestAnIDIsTheSameForEver(t *testing.T) {
	if got := ID("user <*> logged in from <*>"); got != "a91091024d52" {
		t.Errorf("the id is %s: saved ids name nothing any more", got)
	}
}
