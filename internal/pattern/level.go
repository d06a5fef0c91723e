package pattern

// Level is how bad an event is. Levels are ordered.
type Level uint8

// The levels, from none told to the worst.
const (
	LevelUnknown Level = iota
	LevelTrace
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
)

var levelNames = [...]string{"", "trace", "debug", "info", "warn", "error", "fatal"}

// String is the level's name in lower case, "" where none is known.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

// ParseLevel reads the name of a level as the usual libraries write it, in
// either case; LevelUnknown where it is none.
func ParseLevel(s []byte) Level {
	if len(s) < 3 || len(s) > 13 {
		return LevelUnknown
	}
	var lower [13]byte
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(s)]) {
	case "trace", "trc", "trce", "verbose", "vrb", "finest", "finer", "silly":
		return LevelTrace
	case "debug", "dbg", "dbug", "fine":
		return LevelDebug
	case "info", "inf", "information", "informational", "notice", "config", "http":
		return LevelInfo
	case "warn", "wrn", "warning":
		return LevelWarn
	case "error", "err", "eror", "fail", "failure", "severe":
		return LevelError
	case "fatal", "ftl", "crit", "critical", "panic", "alert", "emerg", "emergency", "dpanic":
		return LevelFatal
	}
	return LevelUnknown
}

// letterLevel is the level that klog and logcat write as one letter.
func letterLevel(c byte) Level {
	switch c {
	case 'T', 'V':
		return LevelTrace
	case 'D':
		return LevelDebug
	case 'I', 'N':
		return LevelInfo
	case 'W':
		return LevelWarn
	case 'E':
		return LevelError
	case 'F', 'C':
		return LevelFatal
	}
	return LevelUnknown
}

// numberLevel is the level of pino and bunyan, which write it as a number of
// two digits.
func numberLevel(s []byte) Level {
	if len(s) != 2 || s[1] != '0' || s[0] < '1' || s[0] > '6' {
		return LevelUnknown
	}
	return LevelTrace + Level(s[0]-'1')
}
