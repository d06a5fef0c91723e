package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// none stands where there is nothing to say.
const none = "–"

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

// verdictName is the verdict as a person reads it.
func verdictName(k release.VerdictKind) string {
	switch k {
	case release.Healthy:
		return "Healthy"
	case release.Regressed:
		return "Regressed"
	case release.InsufficientData:
		return "Not enough data"
	case release.SourceBroken:
		return "Source broken"
	case release.Pending, "":
		return "Pending"
	}
	return string(k)
}

// verdictClass is the CSS class of a verdict; unknown ones look pending.
func verdictClass(k release.VerdictKind) string {
	switch k {
	case release.Healthy, release.Regressed, release.InsufficientData, release.SourceBroken:
		return strings.ReplaceAll(string(k), "_", "-")
	}
	return "pending"
}

// verdictSign tells verdicts apart without colour.
func verdictSign(k release.VerdictKind) string {
	switch k {
	case release.Healthy:
		return "✓"
	case release.Regressed:
		return "▼"
	case release.InsufficientData:
		return "?"
	case release.SourceBroken:
		return "!"
	}
	return "…"
}

// signalName begins with a capital, for headings.
func signalName(name string) string { return capital(release.SignalName(name)) }

func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// actionName is what an action did or would do.
func actionName(k release.ActionKind) string {
	switch k {
	case release.ActionAlert:
		return "Alert"
	case release.ActionRollback:
		return "Rollback"
	case release.ActionIssue:
		return "Hotfix issue"
	case release.ActionEvent:
		return "Kubernetes Event"
	case release.ActionMessage:
		return "Message"
	}
	return string(k)
}

// stateName is where an action stands, in words.
func stateName(s release.ActionState) string {
	switch s {
	case release.ActionPending:
		return "in progress"
	case release.ActionVoid:
		return "void: nothing was done"
	case release.ActionRefused:
		return "refused: nothing was done"
	case release.ActionFailed:
		return "failed"
	case release.ActionWaiting:
		return "waits for approval"
	}
	return string(s)
}

// formatValue writes a measured value with its unit, on one line.
func formatValue(v float64, unit release.Unit) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	switch unit {
	case release.UnitRatio:
		return oneWord(release.Percent(v))
	case release.UnitSeconds:
		return oneWord(release.Seconds(v))
	}
	return release.Times(v)
}

// oneWord keeps a number and its unit together.
func oneWord(s string) string { return strings.ReplaceAll(s, " ", nbsp) }

// significant writes v with three significant digits and no trailing zeros.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if math.Abs(rounded) >= 1000 {
		return release.Integer(int64(rounded))
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// superscript writes an exponent as raised digits.
func superscript(n int) string {
	var b strings.Builder
	for _, r := range strconv.Itoa(n) {
		if r == '-' {
			b.WriteRune('⁻')
			continue
		}
		b.WriteRune([]rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[r-'0'])
	}
	return b.String()
}

// formatEValue writes out what is below a million.
func formatEValue(e float64) string {
	if e >= 1000 && e < 1e6 {
		return release.Times(e)
	}
	return release.EValue(e)
}

// unbounded: from here on a number stands for "no limit known".
const unbounded = 1e300

// formatEffect writes "× 44 (13 to 160)", or "× 13 or more" where nothing
// bounds it above.
func formatEffect(e *release.Effect) string {
	switch {
	case e == nil || math.IsNaN(e.Ratio):
		return none
	case e.High >= unbounded || math.IsNaN(e.High):
		return "× " + release.Times(e.Low) + " or more"
	}
	return "× " + release.Times(e.Ratio) + " (" + release.Times(e.Low) + " to " + release.Times(e.High) + ")"
}

// formatTime writes a moment in UTC to the second.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// formatClock writes the time of day in UTC.
func formatClock(t time.Time) string { return t.UTC().Format("15:04:05") }

// machineTime is the moment as the datetime attribute wants it.
func machineTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// formatAgo says how long ago t was, or that it is still to come.
func formatAgo(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return ""
	case d < 0:
		return "in " + release.Seconds(-d.Seconds())
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours())/24)
}

// versionStep is what changed, "v2 → v3".
func versionStep(r release.Release) string {
	if r.Previous == nil {
		return release.VersionStep(r) + " (first deployment)"
	}
	return release.VersionStep(r)
}

// shortDigest is the start of a digest, enough to compare by eye.
func shortDigest(d string) string {
	algorithm, hex, ok := strings.Cut(d, ":")
	if !ok {
		return d
	}
	return algorithm + ":" + hex[:min(12, len(hex))]
}
