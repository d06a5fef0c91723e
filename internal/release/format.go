package release

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// unbounded: from here on a number stands for "no limit known".
const unbounded = 1e300

// Percent writes a ratio, as in "4.9 %", "0.1 %", "0.004 %". Only 1 is "100 %".
func Percent(ratio float64) string {
	p := ratio * 100
	switch {
	case math.IsNaN(p) || math.IsInf(p, 0) || math.Abs(p) >= unbounded:
		return "unknown"
	case p == 0:
		return "0 %"
	case p < 100 && p > 99.9:
		return "> 99.9 %"
	case math.Abs(p) >= 0.095:
		return trim(strconv.FormatFloat(p, 'f', 1, 64)) + " %"
	case math.Abs(p) < 1e-6:
		return "< 0.000001 %"
	}
	return trim(strconv.FormatFloat(p, 'f', 1-int(math.Floor(math.Log10(math.Abs(p))))-1, 64)) + " %"
}

// Seconds writes a length of time in the unit that fits: "820 ms", "1.2 s",
// "2 min 5 s".
func Seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return "unknown"
	case math.IsInf(s, 0) || math.Abs(s) >= unbounded:
		return "longer than was measured"
	case s < 0:
		return "-" + Seconds(-s)
	case s == 0:
		return "0 s"
	case s < 0.0009995:
		return significant(s*1e6, 2) + " µs"
	case s < 0.9995:
		return significant(s*1e3, 3) + " ms"
	case s < 59.95:
		return significant(s, 2+boolInt(s >= 9.95)) + " s"
	}
	d := time.Duration(math.Round(math.Min(s, 1e9))) * time.Second
	var parts []string
	if h := int64(d / time.Hour); h > 0 {
		parts = append(parts, Integer(h)+" h")
	}
	if m := int64(d % time.Hour / time.Minute); m > 0 {
		parts = append(parts, strconv.FormatInt(m, 10)+" min")
	}
	if sec := int64(d % time.Minute / time.Second); sec > 0 && d < time.Hour {
		parts = append(parts, strconv.FormatInt(sec, 10)+" s")
	}
	return strings.Join(parts, " ")
}

// Integer writes a count with its thousands apart, as in "1,890".
func Integer(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// EValue writes an e-value: "0.42", "38", "5.2e3".
func EValue(e float64) string {
	switch {
	case math.IsNaN(e):
		return "unknown"
	case e >= unbounded:
		return "over 1e300"
	case e < 0.01:
		return "below 0.01"
	case e < 999.5:
		return significant(e, 2+boolInt(e >= 99.5))
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(e, 'e', 1, 64), "e+")
	return trim(mantissa) + "e" + strings.TrimLeft(exponent, "0")
}

// Times writes a factor: "0.8", "2.5", "38", "1,200".
func Times(x float64) string {
	switch {
	case math.IsNaN(x):
		return "unknown"
	case math.Abs(x) >= unbounded:
		return "unlimited"
	case math.Abs(x) >= 1e15:
		return EValue(x)
	case math.Abs(x) >= 999.5:
		return Integer(int64(math.Round(x)))
	}
	return significant(x, 2+boolInt(math.Abs(x) >= 99.5))
}

// significant rounds to digits significant ones, without an exponent.
func significant(x float64, digits int) string {
	if x == 0 {
		return "0"
	}
	decimals := digits - 1 - int(math.Floor(math.Log10(math.Abs(x))))
	return trim(strconv.FormatFloat(x, 'f', max(decimals, 0), 64))
}

// trim takes away zeros that say nothing.
func trim(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Bytes writes an amount of memory: "512 B", "1.5 KiB", "230 MiB".
func Bytes(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) || math.Abs(x) >= unbounded {
		return "unknown"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(x) >= 1023.95 && i < len(units)-1 {
		x /= 1024
		i++
	}
	return Times(x) + " " + units[i]
}
