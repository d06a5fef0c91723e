package redact_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/pattern/patterntest"
	"github.com/watchtower-verify/watchtower/internal/pattern/redact"
)

func TestEveryPlantedSecretIsGone(t *testing.T) {
	r := redact.New(redact.Options{})
	for seed := range uint64(5) {
		for _, p := range patterntest.Planted(seed, 2000) {
			if got := r.Bytes([]byte(p.Line)); p.In(got) {
				t.Errorf("%s: %s\nis %s", p.Kind, p.Line, got)
			}
		}
	}
}

func TestOrdinaryLinesAreLeftAsTheyAre(t *testing.T) {
	r := redact.New(redact.Options{})
	touched, lines := 0, 0
	for _, log := range patterntest.Corpus(2, 400) {
		for _, line := range log.Lines {
			lines++
			if got := r.Bytes([]byte(line)); string(got) != line {
				touched++
				t.Logf("%s\nis %s", line, got)
			}
		}
	}
	if touched*100 > lines {
		t.Errorf("%d of %d ordinary lines were touched", touched, lines)
	}
}

func TestWhatLooksLikeASecretAndIsNone(t *testing.T) {
	r := redact.New(redact.Options{})
	for _, line := range []string{
		"Failed password for root from 10.0.0.1 port 22 ssh2",
		"password: required",
		"token=Token{a64f992 ActivityRecord{de9231d u0 com.example/.Main t761}}",
		"key=value tag=View",
		"token bucket is empty",
		"basic authentication failed",
		"pod/web-5f6d7c8b9d-x2x4z in 12ms",
		"order 4111111111111112 shipped",
		"blk_-4608999687919862906 at 1514038530000",
		"commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
		"trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
		"6f1c2a34-abcd-4def-8abc-1234567890ab",
		"https://github.com/shop/webapp/pull/17",
		"mail to bob@example.org",
		"org.apache.hadoop.mapreduce.v2.app.rm.RMContainerAllocator: 12",
	} {
		if got := r.Bytes([]byte(line)); string(got) != line {
			t.Errorf("%s\nis %s", line, got)
		}
	}
}

func TestEmailIsRedactedByPolicyAndRulesOfTheUserAre(t *testing.T) {
	rules, err := redact.Compile([]string{`customer (\w+)`, `N-\d+`})
	if err != nil {
		t.Fatal(err)
	}
	r := redact.New(redact.Options{Email: true, Rules: rules})
	got := string(r.Bytes([]byte("mail to bob@example.org of customer ACME, N-17")))
	if want := "mail to [redacted:email] of customer [redacted:rule], [redacted:rule]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := redact.Compile([]string{"("}); err == nil || !strings.Contains(err.Error(), `"("`) {
		t.Errorf("a rule that cannot be read: %v", err)
	}
	if _, err := redact.Compile([]string{".*"}); err == nil {
		t.Error("a rule that matches everything was taken")
	}
}

func TestRedactingTwiceChangesNothing(t *testing.T) {
	r := redact.New(redact.Options{Email: true})
	rapid.Check(t, func(t *rapid.T) {
		p := patterntest.Planted(rapid.Uint64().Draw(t, "seed"), 40)
		line := p[rapid.IntRange(0, 39).Draw(t, "line")].Line
		once := r.Bytes([]byte(line))
		if twice := r.Bytes(once); !bytes.Equal(once, twice) {
			t.Fatalf("%s\nis %s\nthen %s", line, once, twice)
		}
	})
}

func FuzzRedact(f *testing.F) {
	for _, p := range patterntest.Planted(1, 40) {
		f.Add([]byte(p.Line))
	}
	r := redact.New(redact.Options{Email: true})
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got := r.Bytes(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the text itself was changed")
		}
		if len(got) > len(text)*20+64 {
			t.Fatalf("%d bytes became %d", len(text), len(got))
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := redact.New(redact.Options{})
	line := []byte("2026-03-02T10:15:00Z INFO handled request 6f1c2a34-abcd-4def-8abc-1234567890ab for user 17 in 12ms: status=200 bytes=5120")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		r.Bytes(line)
	}
}
