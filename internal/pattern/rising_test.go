package pattern_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/pattern"
)

// levelsOf is what is told of lines: templates with their levels.
func levelsOf(lines []string) map[string]pattern.Level {
	m := pattern.NewMiner(pattern.Options{})
	s := pattern.NewStream(m, pattern.StreamOptions{})
	for _, line := range lines {
		s.Line([]byte(line))
	}
	s.Close()
	out := map[string]pattern.Level{}
	for _, p := range m.Patterns() {
		out[p.Template] = p.Level
	}
	return out
}

var someMessages = []string{
	"block %d was served", "deleting file number %d now", "cache holds %d entries", "worker %d is idle", "wrote %d bytes to disk",
	"lease of %d renewed", "queue length %d", "scan of volume %d finished", "user %d joined", "request %d timed out waiting for a slot",
}

func TestATimeWithoutMarksIsPartOfTheHeader(t *testing.T) {
	var lines []string
	for i := range 200 {
		level := []string{"INFO", "WARN"}[i%10/9]
		lines = append(lines, fmt.Sprintf("260302 %06d %d %s node.Store: "+someMessages[i%10], 101500+i/4, 7+i%90, level, i*7919%10_000))
	}
	got := levelsOf(lines)
	if len(got) != len(someMessages) || got["queue length <*>"] != pattern.LevelInfo || got["request <*> timed out waiting for a slot"] != pattern.LevelWarn {
		t.Errorf("%v", got)
	}
}

func TestNumbersThatFallAreNoHeader(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("%06d INFO "+someMessages[i%10], 100_000+r.IntN(800_000), i))
	}
	for template := range levelsOf(lines) {
		if !strings.HasPrefix(template, "<*> INFO ") {
			t.Errorf("%q lost its beginning", template)
		}
	}
}

// An id of hexadecimal digits has more letters than digits now and then.
func TestIdsInBracketsAreOneColumnOfTheHeader(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf("2026-03-02 10:15:%02d.%03d 17 INFO shop.api [req-%08x-%04x-%04x %016x - -] "+someMessages[i%10],
			i/60, i%1000, r.Uint32(), r.IntN(1<<16), r.IntN(1<<16), r.Uint64(), i))
	}
	if got := levelsOf(lines); len(got) != len(someMessages) || got["queue length <*>"] != pattern.LevelInfo {
		t.Errorf("%v", got)
	}
}
