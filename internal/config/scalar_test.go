package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationsAreReadWithDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour,
		"0": 0, "0s": 0, "0d": 0, " 5m ": 5 * time.Minute, "250ms": 250 * time.Millisecond, "1.5h": 90 * time.Minute,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "d", "-1s", "-1d", "1d-1h", "+1s", "1d+1h", "5", "1.5", "1 h", "5 min", "1w", "1.5d", "1h1d", "3651d", "87601h", "99999d", "inf", "1d1d", "１s", "d5s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestShortDurationsAreReadAgainAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(maxDuration)).Draw(t, "d"))
		if got, err := ParseDuration(shortDuration(d)); err != nil || got != d {
			t.Fatalf("%s became %q, read as %s, %v", d, shortDuration(d), got, err)
		}
	})
}

func TestRatiosAreReadInPerCentToo(t *testing.T) {
	for text, want := range map[string]float64{
		"0.01": 0.01, "1%": 0.01, "1 %": 0.01, ".4": 0.4, "150%": 1.5, "1e-3": 0.001, "-2": -2, " 7 ": 7, "0.1 %": 0.001,
	} {
		if got, err := ParseRatio(text); err != nil || got < want-1e-15 || got > want+1e-15 {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "one", "1%%", "%1", "NaN", "inf", "-Inf", "0x1p-2", "1_000", "1,5", "1e999"} {
		if got, err := ParseRatio(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestClosest(t *testing.T) {
	known := []string{"observe", "warmup", "history", "source_grace", "alpha", "beta", "min_effect"}
	for word, want := range map[string]string{
		"obsreve": "observe", "observ": "observe", "Observe": "observe", "min-effect": "min_effect", "mineffect": "min_effect",
		"aplha": "alpha", "bets": "beta", "sourcegrace": "source_grace", "warm_up": "warmup",
		"x": "", "cluster": "", "alarm": "", "": "",
	} {
		if got, _ := closest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
