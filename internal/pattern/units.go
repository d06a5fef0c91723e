package pattern

// unitLength is the length of the unit of time or size that s begins with, 0
// where it begins with none.
func unitLength(s []byte) int {
	n := 0
	for n < len(s) && n < 5 && classOf[s[n]]&isLetter != 0 {
		n++
	}
	switch string(s[:n]) {
	case "ns", "us", "µs", "ms", "s", "sec", "secs", "m", "min", "mins", "h", "d",
		"B", "kB", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "k", "K", "M", "G", "Ki", "Mi", "Gi", "AM", "PM":
		return n
	}
	return 0
}

// calendarWord tells whether a day of the week or a month stands at i, before
// the rest of a date.
func calendarWord(msg []byte, i int) bool {
	if i+4 >= len(msg) || classOf[msg[i+3]]&isLetter != 0 {
		return false
	}
	next := i + 3
	for next < len(msg) && (classOf[msg[next]]&isSpace != 0 || msg[next] == ',') {
		next++
	}
	if next == i+3 || next == len(msg) {
		return false
	}
	if isMonth(msg[i : i+3]) {
		return classOf[msg[next]]&isDigit != 0
	}
	return isWeekday(msg[i:i+3]) && (classOf[msg[next]]&isDigit != 0 || (next+3 < len(msg) && isMonth(msg[next:next+3])))
}

func isMonth(s []byte) bool {
	switch string(s) {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return true
	}
	return false
}

func isWeekday(s []byte) bool {
	switch string(s) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}
