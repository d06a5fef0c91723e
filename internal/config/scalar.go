package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const maxDuration = 10 * 365 * 24 * time.Hour

// ParseDuration reads a duration in Go's form, which may begin with whole
// days: 90s, 1h30m, 2d, 1d12h. It is never negative and at most ten years.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return 0, fmt.Errorf("%q is a duration without a unit: write %ss, %sm or %sh", text, text, text, text)
	}
	rest := text
	var total time.Duration
	if days, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, badDuration(text)
		}
		total, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		part, err := time.ParseDuration(rest)
		if err != nil || strings.ContainsAny(rest[:1], "+-") && part >= 0 {
			return 0, badDuration(text)
		}
		if part < 0 {
			return 0, fmt.Errorf("%q is negative: a duration is not", text)
		}
		if part > maxDuration {
			return 0, fmt.Errorf("%q is more than ten years", text)
		}
		total += part
	} else if text == "" {
		return 0, badDuration(text)
	}
	if total > maxDuration {
		return 0, fmt.Errorf("%q is more than ten years", text)
	}
	return total, nil
}

func badDuration(text string) error {
	return fmt.Errorf("%q is no duration: write it like 30s, 10m, 1h30m or 2d", text)
}

// ParseRatio reads a number, which may be given in per cent: 0.01, 1%, 1 %.
func ParseRatio(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	number = strings.TrimSpace(number)
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(number, "xXpP_") {
		return 0, fmt.Errorf("%q is no number: write it like 0.01 or 1%%", text)
	}
	if percent {
		f /= 100
	}
	return f, nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}
