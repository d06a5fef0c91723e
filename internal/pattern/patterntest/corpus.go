package patterntest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Log is a log of the corpus: physical lines, and the event that each is of.
type Log struct {
	Name  string
	Lines []string
	Truth []string
}

func (l *Log) add(event string, lines ...string) {
	for _, line := range lines {
		l.Lines, l.Truth = append(l.Lines, line), append(l.Truth, event)
	}
}

// goPanic is what a Go program prints that panics.
var goPanic = []string{
	"panic: runtime error: invalid memory address or nil pointer dereference",
	"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a2f31]", "", "goroutine 34 [running]:",
	"main.(*Handler).serve(0xc000126000, {0x7c3a, 0x1})", "\t/src/handler.go:87 +0x1b", "created by net/http.(*Server).Serve in goroutine 1",
	"\t/usr/local/go/src/net/http/server.go:3285 +0x4b4",
}

// happening is something that a program logs.
type happening struct {
	event  string
	level  string // INFO, WARN, ERROR, DEBUG
	logger string
	text   func(r *rand.Rand) string
	thrown string // the exception of its stack trace, "" without one
}

var happenings = []happening{
	{"started", "INFO", "server", func(r *rand.Rand) string { return fmt.Sprintf("listening on 0.0.0.0:%d", 8000+r.IntN(999)) }, ""},
	{"request", "INFO", "http", func(r *rand.Rand) string {
		return fmt.Sprintf("handled request %s for user %d in %dms", uuid(r), r.IntN(1e6), r.IntN(900))
	}, ""},
	{"login", "INFO", "auth", func(r *rand.Rand) string { return "user " + name(r) + " logged in from " + ip(r) }, ""},
	{"refused", "WARN", "auth", func(r *rand.Rand) string {
		return "refused login of " + name(r) + ": wrong password, attempt " + num(r, 9)
	}, ""},
	{"slow", "WARN", "db", func(r *rand.Rand) string {
		return fmt.Sprintf("query took %d.%ds, limit is 2s: rows=%d", 2+r.IntN(9), r.IntN(9), r.IntN(5000))
	}, ""},
	{"connect", "ERROR", "db", func(r *rand.Rand) string { return "cannot connect to " + ip(r) + ":5432: connection refused" }, "ConnectionError"},
	{"timeout", "ERROR", "payments", func(r *rand.Rand) string {
		return "payment " + uuid(r) + " timed out after " + num(r, 30000) + " ms"
	}, "TimeoutError"},
	{"cache", "DEBUG", "cache", func(r *rand.Rand) string { return "evicted " + num(r, 4000) + " entries, " + num(r, 300) + " MB free" }, ""},
	{"upload", "INFO", "files", func(r *rand.Rand) string {
		return fmt.Sprintf("stored /var/data/%d/%08x.bin (%d bytes)", r.IntN(99), r.Uint32(), r.IntN(1e7))
	}, ""},
	{"retry", "WARN", "queue", func(r *rand.Rand) string { return "retrying job " + num(r, 1e6) + " of queue " + word(r) }, ""},
	{"config", "INFO", "server", func(*rand.Rand) string { return "configuration reloaded" }, ""},
	{"shutdown", "INFO", "server", func(*rand.Rand) string { return "shutting down" }, ""},
	{"nil", "ERROR", "http", func(r *rand.Rand) string { return "unhandled failure in route /orders/" + num(r, 1e5) }, "NullPointerException"},
	{"disk", "ERROR", "files", func(r *rand.Rand) string { return fmt.Sprintf("volume data-%d is %d%% full", r.IntN(8), 80+r.IntN(20)) }, ""},
	{"version", "INFO", "server", func(r *rand.Rand) string {
		return fmt.Sprintf("running version v%d.%d.%d (build %08x)", r.IntN(4), r.IntN(20), r.IntN(9), r.Uint32())
	}, ""},
}

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
}

func ip(r *rand.Rand) string {
	return fmt.Sprintf("10.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256))
}
func num(r *rand.Rand, n int) string { return fmt.Sprint(r.IntN(n)) }
func name(r *rand.Rand) string {
	return pick(r, "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj", "olivia", "peggy")
}

func word(r *rand.Rand) string {
	return pick(r, "mail", "invoices", "thumbnails", "exports", "webhooks", "reports", "search", "billing")
}
func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// writer writes a happening in the manner of one library.
type writer func(r *rand.Rand, t time.Time, h happening, text string) []string

// Corpus is a log of each kind, the same for the same seed.
func Corpus(seed uint64, events int) []Log {
	var out []Log
	for i, name := range writerNames {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		t := time.Date(2026, 3, 2, 10, 15, 0, 0, time.UTC)
		log := Log{Name: name}
		for range events {
			t = t.Add(time.Duration(r.IntN(4000)) * time.Millisecond)
			h := happenings[r.IntN(len(happenings))]
			if name == "go-log" && h.thrown == "NullPointerException" {
				h.event = "panic"
				log.add(h.event, goPanic...)
				continue
			}
			log.add(h.event, writers[name](r, t, h, h.text(r))...)
		}
		out = append(out, log)
	}
	return append(out, accessLog(seed, events), envoyLog(seed, events))
}

var writerNames = []string{
	"slog-json", "slog-text", "zap-json", "zap-console", "zerolog", "klog", "go-log", "logback", "log4j", "spring", "python", "python-basic",
	"pino", "winston", "node-console", "dotnet", "serilog-json", "ruby", "nginx-error", "syslog", "cri", "docker", "kubectl-prefix",
}

var writers map[string]writer

func init() {
	writers = map[string]writer{
		"slog-json": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{object("time", t.Format(time.RFC3339Nano), "level", h.level, "msg", text, "component", h.logger)}
		},
		"slog-text": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("time=%s level=%s msg=%q component=%s", t.Format(time.RFC3339Nano), h.level, text, h.logger)}
		},
		"zap-json": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{object("level", strings.ToLower(h.level), "ts", fmt.Sprint(t.Unix()), "logger", h.logger, "msg", text, "stacktrace", goTrace(h))}
		},
		"zap-console": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return append([]string{fmt.Sprintf("%s\t%s\t%s\t%s", t.Format("2006-01-02T15:04:05.000Z0700"), h.level, h.logger, text)}, split(goTrace(h))...)
		},
		"zerolog": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{object("level", strings.ToLower(h.level), "time", t.Format(time.RFC3339), "message", text)}
		},
		"klog": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%c%s %7d %s.go:%d] %s", h.level[0], t.Format("0102 15:04:05.000000"), 1+r.IntN(9), h.logger, 100+len(h.event), text)}
		},
		"go-log": func(_ *rand.Rand, t time.Time, _ happening, text string) []string {
			return []string{t.Format("2006/01/02 15:04:05 ") + text}
		},
		"logback": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return append([]string{fmt.Sprintf("%s [pool-%d-thread-%d] %-5s com.shop.%s - %s", t.Format("15:04:05.000"), 1+r.IntN(3), r.IntN(20), h.level, h.logger, text)}, javaTrace(r, h)...)
		},
		"log4j": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%s %s %s.Worker: %s", t.Format("2006-01-02 15:04:05,000"), h.level, h.logger, text)}
		},
		"spring": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return append([]string{fmt.Sprintf("%s %5s %d --- [shop] [nio-8080-exec-%d] c.s.%-30s : %s", t.Format("2006-01-02T15:04:05.000Z07:00"), h.level, 1, r.IntN(10), h.logger, text)}, javaTrace(r, h)...)
		},
		"python": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return append([]string{fmt.Sprintf("%s - shop.%s - %s - %s", t.Format("2006-01-02 15:04:05,000"), h.logger, h.level, text)}, pythonTrace(r, h)...)
		},
		"python-basic": func(_ *rand.Rand, _ time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%s:%s:%s", h.level, h.logger, text)}
		},
		"pino": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			level := map[string]int{"DEBUG": 20, "INFO": 30, "WARN": 40, "ERROR": 50}[h.level]
			return []string{fmt.Sprintf(`{"level":%d,"time":%d,"pid":7,"hostname":"web-5f6d","name":"shop","msg":%s}`, level, t.UnixMilli(), quote(text))}
		},
		"winston": func(_ *rand.Rand, _ time.Time, h happening, text string) []string {
			return []string{strings.ToLower(h.level) + ": " + text}
		},
		"node-console": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			lines := []string{fmt.Sprintf("%s [%s] %s", t.Format("2006-01-02T15:04:05.000Z"), strings.ToLower(h.level), text)}
			if h.thrown != "" {
				lines = append(lines, h.thrown+": "+text, fmt.Sprintf("    at serve (/app/src/%s.js:%d:%d)", h.logger, r.IntN(90), r.IntN(40)),
					"    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)")
			}
			return lines
		},
		"dotnet": func(r *rand.Rand, _ time.Time, h happening, text string) []string {
			level := map[string]string{"DEBUG": "dbug", "INFO": "info", "WARN": "warn", "ERROR": "fail"}[h.level]
			lines := []string{fmt.Sprintf("%s: Shop.%s[%d]", level, h.logger, r.IntN(30)), "      " + text}
			if h.thrown != "" {
				lines = append(lines, "      System."+h.thrown+": "+text, "         at Shop.Handler.Serve(Int32 id) in /src/Handler.cs:line "+num(r, 99),
					"      --- End of inner exception stack trace ---")
			}
			return lines
		},
		"serilog-json": func(_ *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{object("@t", t.Format(time.RFC3339Nano), "@m", text, "@l", h.level, "SourceContext", h.logger)}
		},
		"ruby": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%c, [%s #%d] %5s -- : %s", h.level[0], t.Format("2006-01-02T15:04:05.000000"), 1+r.IntN(30), h.level, text)}
		},
		"nginx-error": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%s [%s] %d#%d: *%d %s, client: %s, server: _", t.Format("2006/01/02 15:04:05"), strings.ToLower(h.level), 29, 29, r.IntN(900), text, ip(r))}
		},
		"syslog": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{fmt.Sprintf("%s web-1 %s[%d]: %s", t.Format("Jan _2 15:04:05"), h.logger, r.IntN(30000), text)}
		},
		"cri": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			stamp := t.Format("2006-01-02T15:04:05.000000000Z")
			line := writers["slog-json"](r, t, h, text)[0]
			if r.IntN(4) == 0 { // a line in two pieces
				return []string{stamp + " stdout P " + line[:40], stamp + " stdout F " + line[40:]}
			}
			return []string{stamp + " stdout F " + line}
		},
		"docker": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			line := writers["log4j"](r, t, h, text)[0]
			return []string{object("log", line+"\n", "stream", "stdout", "time", t.Format(time.RFC3339Nano))}
		},
		"kubectl-prefix": func(r *rand.Rand, t time.Time, h happening, text string) []string {
			return []string{"[pod/web-5f6d7c8b9d-" + num(r, 9) + "x/web] " + writers["log4j"](r, t, h, text)[0]}
		},
	}
}

// object is a JSON object of names and values in turn; empty values are left out.
func object(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			parts = append(parts, quote(pairs[i])+":"+quote(pairs[i+1]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string is always written
	return string(b)
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func goTrace(h happening) string {
	if h.thrown == "" {
		return ""
	}
	return "main.(*Handler).serve\n\t/src/handler.go:87\nnet/http.HandlerFunc.ServeHTTP\n\t/usr/local/go/src/net/http/server.go:2136"
}

func javaTrace(r *rand.Rand, h happening) []string {
	if h.thrown == "" {
		return nil
	}
	return []string{
		"java.lang." + h.thrown + ": " + num(r, 99),
		"\tat com.shop.Handler.serve(Handler.java:" + num(r, 300) + ")",
		"\tat java.base/java.lang.Thread.run(Thread.java:840)",
		"Caused by: java.io.IOException: broken pipe",
		"\t... 23 more",
	}
}

func pythonTrace(r *rand.Rand, h happening) []string {
	if h.thrown == "" {
		return nil
	}
	return []string{
		"Traceback (most recent call last):",
		`  File "/app/shop/handler.py", line ` + num(r, 300) + ", in serve",
		"    return self.handle(request)",
		"shop.errors." + h.thrown + ": " + num(r, 99),
	}
}

// accessLog is nginx's combined format. Requests of one method and status are one
// event.
func accessLog(seed uint64, events int) Log {
	r := rand.New(rand.NewPCG(seed, 1000))
	log := Log{Name: "nginx-access"}
	for range events {
		method, status := pick(r, "GET", "GET", "POST"), pick(r, "200", "200", "404", "502")
		log.Lines = append(log.Lines, fmt.Sprintf(`%s - - [02/Mar/2026:10:%02d:%02d +0000] "%s /orders/%d?page=%d HTTP/1.1" %s %d "-" "Mozilla/5.0 (X11; Linux) %d"`,
			ip(r), r.IntN(60), r.IntN(60), method, r.IntN(1e6), r.IntN(9), status, r.IntN(1e5), r.IntN(200)))
		log.Truth = append(log.Truth, method+" "+status)
	}
	return log
}

// envoyLog is the log of Envoy itself.
func envoyLog(seed uint64, events int) Log {
	r := rand.New(rand.NewPCG(seed, 1001))
	log := Log{Name: "envoy"}
	for range events {
		event := pick(r, "cds", "lds", "eds")
		text := map[string]string{
			"cds": fmt.Sprintf("cds: added/updated %d cluster(s), skipped %d unmodified cluster(s)", r.IntN(90), r.IntN(90)),
			"lds": fmt.Sprintf("lds: add/update listener '0.0.0.0_%d'", r.IntN(9000)),
			"eds": fmt.Sprintf("gRPC config stream to xds-grpc closed: %d, reset reason: overflow", r.IntN(16)),
		}[event]
		log.Lines = append(log.Lines, fmt.Sprintf("[2026-03-02 10:15:%02d.%03d][%d][info][upstream] [source/common/upstream/api.cc:%d] %s", r.IntN(60), r.IntN(999), 1+r.IntN(8), 40, text))
		log.Truth = append(log.Truth, event)
	}
	return log
}
