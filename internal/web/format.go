package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

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

// signalName is the signal as a person reads it; a user's own keeps its name.
func signalName(name string) string {
	switch name {
	case release.SignalErrorRatio:
		return "Error ratio"
	case release.SignalLatencyP50:
		return "Latency p50"
	case release.SignalLatencyP90:
		return "Latency p90"
	case release.SignalLatencyP99:
		return "Latency p99"
	case release.SignalPodState:
		return "Pod state"
	}
	return name
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

// formatValue writes a measured value with its unit.
func formatValue(v float64, unit release.Unit) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	switch unit {
	case release.UnitRatio:
		return formatPercent(v)
	case release.UnitSeconds:
		return formatSeconds(v)
	}
	return formatNumber(v)
}

// formatPercent writes a ratio as a percentage with three significant digits.
func formatPercent(ratio float64) string { return significant(ratio*100) + nbsp + "%" }

// formatSeconds writes seconds in the unit that keeps the number short.
func formatSeconds(seconds float64) string {
	switch a := math.Abs(seconds); {
	case a == 0:
		return "0" + nbsp + "s"
	case a < 1e-3:
		return significant(seconds*1e6) + nbsp + "µs"
	case a < 1:
		return significant(seconds*1e3) + nbsp + "ms"
	}
	return significant(seconds) + nbsp + "s"
}

// significant writes v with three significant digits and no trailing zeros.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if math.Abs(rounded) >= 1000 {
		return formatCount(int64(rounded))
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// formatCount writes a number with a comma between thousands.
func formatCount(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// formatNumber writes a number that may be very large or very small, such as
// an e-value.
func formatNumber(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return none
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case a == 0:
		return "0"
	case a >= 1e6 || a < 1e-3:
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', 1, 64), "e")
		n, _ := strconv.Atoi(exponent)
		return strings.TrimSuffix(mantissa, ".0") + " × 10" + superscript(n)
	}
	return significant(v)
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

// formatEffect writes "× 12.1 (8.4 to 17)".
func formatEffect(e *release.Effect) string {
	if e == nil || math.IsNaN(e.Ratio) {
		return none
	}
	return fmt.Sprintf("× %s (%s to %s)", formatNumber(e.Ratio), formatNumber(e.Low), formatNumber(e.High))
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

// formatSpan writes a duration in at most two units.
func formatSpan(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return significant(d.Round(100*time.Millisecond).Seconds()) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func twoUnits(n int, unit string, m int, smaller string) string {
	if m == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, m, smaller)
}

// formatAgo says how long ago t was, or that it is still to come.
func formatAgo(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return ""
	case d < 0:
		return "in " + formatSpan(d)
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

// previousVersion is the version the release takes over from.
func previousVersion(r release.Release) string {
	if r.Previous == nil {
		return "first deployment"
	}
	changed := make(map[string]bool)
	for _, im := range r.Changed() {
		changed[im.Container] = true
	}
	var images []release.Image
	for _, im := range r.Previous.Images {
		if changed[im.Container] {
			images = append(images, im)
		}
	}
	if len(images) == 0 {
		images = r.Previous.Images
	}
	return release.Version(images)
}

// newVersion is the version the release brings.
func newVersion(r release.Release) string {
	if images := r.Changed(); len(images) > 0 {
		return release.Version(images)
	}
	return release.Version(r.ReplicaSet.Images)
}

// shortDigest is the start of a digest, enough to compare by eye.
func shortDigest(d string) string {
	algorithm, hex, ok := strings.Cut(d, ":")
	if !ok {
		return d
	}
	return algorithm + ":" + hex[:min(12, len(hex))]
}
