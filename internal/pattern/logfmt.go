package pattern

import "bytes"

// pairs reads logfmt: key=value and key="value", with one or more spaces between
// them. yield is not called for words without "="; they are counted. Quoted
// values are given without their quotes, escapes as they stand.
func pairs(line []byte, yield func(key, value []byte, quoted bool) bool) (loose int) {
	for i := 0; ; {
		for i < len(line) && classOf[line[i]]&isSpace != 0 {
			i++
		}
		if i == len(line) {
			return loose
		}
		from := i
		for i < len(line) && line[i] != '=' && line[i] != '"' && classOf[line[i]]&isSpace == 0 {
			i++
		}
		if i == len(line) || line[i] != '=' || i == from {
			for i < len(line) && classOf[line[i]]&isSpace == 0 {
				i++
			}
			loose++
			continue
		}
		key := line[from:i]
		i++
		from = i
		quoted := false
		if i < len(line) && line[i] == '"' {
			if end := endOfString(line, i); end > 0 {
				from, i, quoted = i+1, end, true
			}
		}
		value := line[from:max(from, i-1)]
		if !quoted {
			for i < len(line) && classOf[line[i]]&isSpace == 0 {
				i++
			}
			value = line[from:i]
		}
		if !yield(key, value, quoted) {
			return loose
		}
	}
}

// readLogfmt reads a line of logfmt into r and tells whether it is one: it names
// its message, and its level or time.
func (r *record) readLogfmt(line []byte) bool {
	if !bytes.Contains(line, []byte("msg=")) && !bytes.Contains(line, []byte("message=")) {
		return false
	}
	var message, time bool
	loose := pairs(line, func(key, value []byte, quoted bool) bool {
		switch r.field(key, value, quoted) {
		case fieldMessage:
			message = true
		case fieldTime:
			time = true
		}
		return true
	})
	if !message || loose > 1 || !time && r.level == LevelUnknown {
		return false
	}
	r.finish()
	return true
}
