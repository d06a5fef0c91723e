package main

import (
	"bytes"
	"fmt"
	"runtime"
	"time"

	"github.com/watchtower-verify/watchtower/internal/pattern"
	"github.com/watchtower-verify/watchtower/internal/pattern/patterntest"
)

// speed prints lines per second on one core, allocations and memory.
func speed(sets []patterntest.Set) {
	runtime.GOMAXPROCS(1)
	if len(sets) > 0 {
		fmt.Println("Speed on one core, the raw lines of each set 50 times over (reading, header, joining, masking, counting):")
		var lines int
		var took time.Duration
		for _, s := range sets {
			n, d, allocs := throughput(s.Raw)
			lines += n
			took += d
			fmt.Printf("  %-10s %9.0f lines/s  %.3f allocations/line\n", s.Name, float64(n)/d.Seconds(), allocs)
		}
		fmt.Printf("  %-10s %9.0f lines/s\n\n", "all", float64(lines)/took.Seconds())
	}
	fmt.Println("Time and memory by the number of templates:")
	for _, n := range []int{100, 1000, 10_000} {
		perLine, allocs, megabytes := scale(n)
		fmt.Printf("  %6d templates: %6.0f ns/line, %.2f allocations/line, %5.1f MB\n", n, perLine, allocs, megabytes)
	}
}

// throughput reads lines over and over, after they were read once.
func throughput(lines []string) (n int, took time.Duration, allocs float64) {
	var once bytes.Buffer
	for _, line := range lines {
		once.WriteString(line)
		once.WriteByte('\n')
	}
	const times = 50
	s := pattern.NewStream(pattern.NewMiner(options()), pattern.StreamOptions{})
	read := func(times int) {
		for range times {
			_ = pattern.ReadLines(bytes.NewReader(once.Bytes()), func(line []byte, _ bool) error {
				s.Line(line)
				n++
				return nil
			})
		}
	}
	read(2)
	n = 0
	before := mallocs()
	start := time.Now()
	read(times)
	took = time.Since(start)
	return n, took, float64(mallocs()-before) / float64(n)
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// scale mines a log of n templates, then measures a known line. The log is as long
// whatever n is, so that it is as much in the processor's cache.
func scale(n int) (nanoseconds, allocs, megabytes float64) {
	const length = 10_000
	lines := make([][]byte, 0, length)
	for i := range length {
		lines = append(lines, bytes.Replace(patterntest.Distinct(i%n), []byte("12 ms"), fmt.Appendf(nil, "%d ms", 10_000+i), 1))
	}
	before := heap()
	m := pattern.NewMiner(options())
	for range 3 {
		for i, line := range lines {
			m.Add(&pattern.Event{Message: line, Line: uint64(i + 1), Lines: 1})
		}
	}
	if got := len(m.Patterns()); got != n {
		fmt.Printf("  (%d of %d templates were told apart)\n", got, n)
	}
	megabytes = float64(heap()-before) / 1e6
	const events = 2_000_000
	ev := pattern.Event{Lines: 1}
	mallocsBefore := mallocs()
	start := time.Now()
	for i := range events {
		ev.Message = lines[i*7919%length]
		m.Add(&ev)
	}
	took := time.Since(start)
	runtime.KeepAlive(m)
	return float64(took.Nanoseconds()) / events, float64(mallocs()-mallocsBefore) / events, megabytes
}
