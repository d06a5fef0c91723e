package pattern_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/pattern"
	"github.com/watchtower-verify/watchtower/internal/pattern/patterntest"
)

// mined is the templates of lines, with their counts.
func mined(m *pattern.Miner) map[string]uint64 {
	out := map[string]uint64{}
	for _, p := range m.Patterns() {
		out[p.Template] = p.Count
	}
	return out
}

func add(m *pattern.Miner, lines ...string) {
	s := pattern.NewStream(m, pattern.StreamOptions{})
	for _, line := range lines {
		s.Line([]byte(line))
	}
	s.Close()
}

func TestIDsAreTheSameInWhateverOrderLinesCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := patterntest.Corpus(rapid.Uint64().Draw(t, "seed"), 60)[0].Lines
		a, b := pattern.NewMiner(pattern.Options{}), pattern.NewMiner(pattern.Options{})
		add(a, lines...)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		add(b, lines...)
		if x, y := fmt.Sprint(mined(a)), fmt.Sprint(mined(b)); x != y {
			t.Fatalf("%s\nin another order\n%s", x, y)
		}
	})
}

func TestStatesOfReplicasMergeToWhatOneWouldHaveSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := patterntest.Corpus(rapid.Uint64().Draw(t, "seed"), 80)[0].Lines
		cut := rapid.IntRange(1, len(lines)-1).Draw(t, "cut")
		one, a, b, merged := pattern.NewMiner(pattern.Options{}), pattern.NewMiner(pattern.Options{}), pattern.NewMiner(pattern.Options{}), pattern.NewMiner(pattern.Options{})
		add(one, lines...)
		add(a, lines[:cut]...)
		add(b, lines[cut:]...)
		for _, m := range []*pattern.Miner{b, a} {
			state, err := m.Save()
			if err != nil {
				t.Fatal(err)
			}
			if err := merged.Merge(state); err != nil {
				t.Fatal(err)
			}
		}
		if x, y := fmt.Sprint(mined(one)), fmt.Sprint(mined(merged)); x != y {
			t.Fatalf("one says\n%s\nmerged\n%s", x, y)
		}
	})
}

func TestAStateThatNoMinerSavedIsRefused(t *testing.T) {
	for _, state := range []string{
		``, `{}`, `{"version":9}`, `{"version":1,"shapes":[{"text":"a"}]}`,
		`{"version":1,"shapes":[{"text":"` + strings.Repeat("x", 9000) + `","count":1,"arms":[1,0],"levels":[0,0,0,0,0,0,0]}]}`,
	} {
		if err := pattern.NewMiner(pattern.Options{}).Merge([]byte(state)); err == nil {
			t.Errorf("%.60s was taken", state)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"version":1,"shapes":[{"text":"a b","count":1,"arms":[1,0],"levels":[0,0,0,0,0,0,0]}]}`))
	f.Fuzz(func(_ *testing.T, state []byte) {
		m := pattern.NewMiner(pattern.Options{MaxShapes: 8, MaxTemplates: 4})
		_ = m.Merge(state)
		m.Patterns()
	})
}

// total is the events of all patterns: none may be lost.
func total(m *pattern.Miner) (n uint64) {
	for _, p := range m.Patterns() {
		n += p.Count
	}
	return n
}

func TestHostileInputIsBoundedAndNothingIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	word := func() string {
		return fmt.Sprintf("%c%c%c%c%c", 'a'+r.IntN(26), 'a'+r.IntN(26), 'a'+r.IntN(26), 'a'+r.IntN(26), 'a'+r.IntN(26))
	}
	const n = 60_000
	for name, line := range map[string]func(i int) string{
		"a distinct word in one place": func(int) string { return "user " + word() + word() + " logged in from there" },
		"every line a template":        func(int) string { return word() + " " + word() + " " + word() + " " + word() },
		"every line another length":    func(i int) string { return strings.Repeat("a ", i%300) + word() },
		"words that branch at every step": func(int) string {
			return strings.Repeat([]string{"a ", "b "}[r.IntN(2)]+[]string{"a ", "b "}[r.IntN(2)]+[]string{"c ", word() + " "}[r.IntN(2)], 6)
		},
	} {
		m := pattern.NewMiner(options())
		start := time.Now()
		ev := pattern.Event{Lines: 1}
		for i := range n {
			ev.Message, ev.Line = []byte(line(i)), uint64(i+1)
			m.Add(&ev)
		}
		patterns := len(m.Patterns())
		took := time.Since(start)
		if got := total(m); got != n {
			t.Errorf("%s: %d of %d events are counted", name, got, n)
		}
		if patterns > 20_001 {
			t.Errorf("%s: %d patterns", name, patterns)
		}
		t.Logf("%s: %d patterns, %.1f µs a line, %+v", name, patterns, float64(took.Microseconds())/n, m.Stats())
	}
}

func TestBadInputDoesNoHarm(t *testing.T) {
	for name, line := range map[string]string{
		"10 MB":          "start " + strings.Repeat("x", 10<<20),
		"10 MB of words": strings.Repeat("word 1 ", 10<<20/7),
		"invalid UTF-8":  "caf\xe9 \xff\xfe opened",
		"NUL":            "a\x00b\x00",
		"colours":        "\x1b[31mERROR\x1b[0m it broke",
		"right to left":  "user \u202egnp.exe\u202c opened",
		"deep JSON":      `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,"msg":"x"}`,
		"deeper JSON":    `{"a":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + `,"msg":"x"}`,
		"open JSON":      strings.Repeat(`{"a":`, 10_000),
		"open quotes":    strings.Repeat(`"a `, 10_000),
		"brackets":       strings.Repeat("[", 10_000),
	} {
		m := pattern.NewMiner(options())
		s := pattern.NewStream(m, pattern.StreamOptions{})
		read := func(l []byte, truncated bool) error {
			if truncated {
				s.Truncated()
			}
			s.Line(l)
			return nil
		}
		start := time.Now()
		if err := pattern.ReadLines(strings.NewReader(line+"\nnext\n"), read); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := total(m); got != 2 || m.Stats().Lines != 2 {
			t.Errorf("%s: %d events of %d lines", name, got, m.Stats().Lines)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		for _, p := range m.Patterns() {
			if strings.ContainsAny(p.Template+p.Example, "\x00\x1b\u202e") || len(p.Template) > 8192 || len(p.Example) > 1024 {
				t.Errorf("%s: %.200q, e.g. %.200q", name, p.Template, p.Example)
			}
		}
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	m := pattern.NewMiner(options())
	planted := patterntest.Planted(3, 1000)
	for _, p := range planted {
		add(m, p.Line)
	}
	state, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	all.Write(state)
	for _, p := range m.Patterns() {
		fmt.Fprintln(&all, p.Template, p.Example, p.Logger)
	}
	for _, p := range planted {
		if p.In(all.Bytes()) {
			t.Errorf("%s is kept: %s", p.Kind, p.Line)
		}
	}
	if m.Stats().Redacted < 900 {
		t.Errorf("%d of 1000 lines count as redacted", m.Stats().Redacted)
	}
}

func TestTenThousandTemplatesFitInFiftyMegabytes(t *testing.T) {
	m := pattern.NewMiner(options())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 10_000 {
		m.Add(&pattern.Event{Message: patterntest.Distinct(i), Line: uint64(i + 1), Lines: 1})
	}
	m.Patterns()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 50<<20 {
		t.Errorf("%d templates take %d bytes", len(m.Patterns()), used)
	}
	runtime.KeepAlive(m)
}

func TestAKnownLineAllocatesNothing(t *testing.T) {
	m := pattern.NewMiner(options())
	s := pattern.NewStream(m, pattern.StreamOptions{})
	lines := patterntest.Corpus(1, 300)[0].Lines
	for range 2 {
		for _, line := range lines {
			s.Line([]byte(line))
		}
	}
	s.Learn()
	known := make([][]byte, len(lines))
	for i, line := range lines {
		known[i] = []byte(line)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() { s.Line(known[i%len(known)]); i++ }); n > 1 {
		t.Errorf("%.2f allocations a line", n)
	}
}

func BenchmarkKnownLine(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := pattern.NewMiner(options())
			lines := make([][]byte, n)
			for i := range lines {
				lines[i] = patterntest.Distinct(i)
				m.Add(&pattern.Event{Message: lines[i], Lines: 1})
			}
			ev := pattern.Event{Lines: 1}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				ev.Message = lines[i*7919%n]
				m.Add(&ev)
				i++
			}
		})
	}
}

// A log that never ends takes no more memory the longer it is.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	m := pattern.NewMiner(pattern.Options{MaxShapes: 500, MaxTemplates: 300})
	ev := pattern.Event{Lines: 1}
	mine := func(n int) uint64 {
		for range n {
			ev.Message = fmt.Appendf(nil, "%x %x %x", r.Uint64()|1<<63, r.Uint32(), r.Uint64())
			for i, c := range ev.Message {
				if c >= '0' && c <= '9' {
					ev.Message[i] = 'g' + c - '0'
				}
			}
			m.Add(&ev)
		}
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	after := mine(20_000)
	if more := mine(80_000); more > after+after/4 {
		t.Errorf("%d bytes after 20,000 lines, %d after 100,000", after, more)
	}
	if st := m.Stats(); st.Dropped == 0 || total(m) != 100_000 {
		t.Errorf("%d events counted, %+v", total(m), st)
	}
}
