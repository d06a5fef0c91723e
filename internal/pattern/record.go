package pattern

import "bytes"

// record is what a line says beside its time.
type record struct {
	level   Level
	logger  []byte
	traceID []byte
	message []byte // what is mined
	headed  bool   // it began with a header or is structured: it continues nothing

	rawMessage, rawError []byte // as they stand, with escapes
	messageIsString      bool
	buf                  []byte // message, where it is put together
}

// fieldKind is what the key of a structured line names.
type fieldKind uint8

const (
	fieldOther fieldKind = iota
	fieldMessage
	fieldTime
	fieldKnown
)

// field takes in one field of a structured line.
func (r *record) field(key, value []byte, isString bool) fieldKind {
	switch string(key) {
	case "msg", "message", "@m", "short_message", "Message", "MESSAGE", "RenderedMessage":
		r.rawMessage, r.messageIsString = value, isString
		return fieldMessage
	case "event", "@mt", "MessageTemplate", "body", "textPayload", "log":
		if r.rawMessage == nil && isString {
			r.rawMessage, r.messageIsString = value, isString
			return fieldMessage
		}
	case "level", "lvl", "severity", "levelname", "log.level", "@l", "Level", "LogLevel", "loglevel", "severity_text", "SeverityText", "L", "l":
		r.level = ParseLevel(value)
		if r.level == LevelUnknown {
			r.level = numberLevel(value)
		}
		if r.level == LevelUnknown && len(value) == 1 {
			r.level = letterLevel(value[0])
		}
		return fieldKnown
	case "logger", "logger_name", "loggerName", "log.logger", "component", "SourceContext", "Category", "name", "N", "controller":
		if isString || r.logger == nil {
			r.logger = value
		}
		return fieldKnown
	case "trace_id", "traceId", "traceID", "trace.id", "TraceId", "dd.trace_id", "otelTraceID":
		r.traceID = value
		return fieldKnown
	case "error", "err", "exception", "exc_info", "error.message", "@x", "Exception":
		r.rawError = value
		if !isString && len(value) > 0 && value[0] == '{' {
			object(value, func(k, v []byte, s bool) bool {
				if s && (string(k) == "message" || string(k) == "msg" || string(k) == "Message") {
					r.rawError = v
				}
				return true
			})
		}
		return fieldKnown
	case "time", "ts", "timestamp", "@timestamp", "t", "@t", "Timestamp", "asctime", "date", "datetime":
		return fieldTime
	}
	return fieldOther
}

// finish puts the message of a structured line together: what it says, and the
// first line of the error it tells of.
func (r *record) finish() {
	r.headed = true
	e := r.rawError
	if i := bytes.Index(e, []byte(`\n`)); i >= 0 {
		e = e[:i]
	}
	if string(e) == "null" || string(e) == "{}" {
		e = nil
	}
	if len(e) == 0 && bytes.IndexByte(r.rawMessage, '\\') < 0 {
		r.message = r.rawMessage
		return
	}
	r.buf = unescape(r.rawMessage, r.buf[:0])
	if len(e) > 0 && !bytes.Contains(r.rawMessage, e) {
		if len(r.buf) > 0 {
			r.buf = append(r.buf, ": "...)
		}
		r.buf = unescape(e, r.buf)
	}
	r.message = r.buf
}

// readJSON reads a line that is a JSON object and tells whether it is one. Of one
// that names no message all is the message.
func (r *record) readJSON(line []byte) bool {
	if line[0] != '{' || line[len(line)-1] != '}' {
		return false
	}
	whole := object(line, func(key, value []byte, isString bool) bool {
		if string(key) == "log" && !isString && bytes.Contains(value, []byte(`"level"`)) { // ECS: {"log":{"level":"error"}}
			object(value, func(k, v []byte, s bool) bool { r.field(k, v, s); return true })
			return true
		}
		r.field(key, value, isString)
		return true
	})
	if !whole {
		r.reset()
		return false
	}
	if r.rawMessage == nil && r.rawError == nil {
		r.rawMessage = line
		r.message, r.headed = line, true
		return true
	}
	r.finish()
	return true
}

func (r *record) reset() { *r = record{buf: r.buf} }

// read reads a line: JSON, logfmt, or text after its header.
func (r *record) read(line []byte, h *header) {
	r.reset()
	for len(line) > 0 && (line[len(line)-1] == '\r' || line[len(line)-1] == ' ' || line[len(line)-1] == '\t') {
		line = line[:len(line)-1]
	}
	if len(line) == 0 {
		return
	}
	if line[0] == '{' && r.readJSON(line) {
		return
	}
	if r.readLogfmt(line) {
		return
	}
	r.reset()
	r.readText(line, h)
}

// readText reads a line of text.
func (r *record) readText(line []byte, h *header) {
	rest := line
	if h != nil {
		rest = h.strip(line, r)
	}
	if len(rest) == len(line) {
		rest = r.stripLevel(line)
	}
	// JSON after a header, as zap's console encoder and many pods write it.
	if len(rest) > 1 && len(rest) < len(line) && rest[0] == '{' && rest[len(rest)-1] == '}' {
		level, logger := r.level, r.logger
		if r.readJSON(rest) {
			if r.level == LevelUnknown {
				r.level = level
			}
			if r.logger == nil {
				r.logger = logger
			}
			return
		}
		r.level, r.logger, r.headed = level, logger, true
	}
	r.message = rest
	if r.level == LevelUnknown {
		r.level = levelWithin(rest)
	}
	if r.traceID == nil {
		r.traceID = traceWithin(rest)
	}
}

// stripLevel takes off what stands for a header in a line without a time:
// "ERROR:root:", "[warn] ", "info: ", klog's "E0102 15:04:05.000000 1 file.go:9] ".
func (r *record) stripLevel(line []byte) []byte {
	if rest, ok := r.klog(line); ok {
		return rest
	}
	if bytes.HasPrefix(line, []byte("panic: ")) { // Go's own
		return line
	}
	i := 0
	open := line[0] == '['
	if open {
		i = 1
	}
	from := i
	for i < len(line) && i-from < 12 && classOf[line[i]]&isLetter != 0 {
		i++
	}
	level := ParseLevel(line[from:i])
	if level == LevelUnknown || i == len(line) {
		return line
	}
	switch c := line[i]; {
	case open && c == ']':
		i++
	case c == ':' && !open:
		i++
		if i < len(line) && classOf[line[i]]&isLetter != 0 { // Python: LEVEL:name:message
			if end := bytes.IndexByte(line[i:min(len(line), i+80)], ':'); end > 0 && bytes.IndexByte(line[i:i+end], ' ') < 0 {
				r.logger = line[i : i+end]
				i += end + 1
			}
		}
	default:
		return line
	}
	r.level, r.headed = level, true
	return bytes.TrimLeft(line[i:], " \t")
}

// klog reads "I0102 15:04:05.000000    1234 file.go:123] message".
func (r *record) klog(line []byte) ([]byte, bool) {
	if len(line) < 24 || bytes.IndexByte([]byte("IWEF"), line[0]) < 0 || line[5] != ' ' || line[8] != ':' {
		return line, false
	}
	for _, c := range line[1:5] {
		if classOf[c]&isDigit == 0 {
			return line, false
		}
	}
	end := bytes.Index(line[:min(len(line), 160)], []byte("] "))
	if end < 0 {
		return line, false
	}
	r.level, r.headed = letterLevel(line[0]), true
	if space := bytes.LastIndexByte(line[:end], ' '); space > 0 {
		r.logger, _, _ = bytes.Cut(line[space+1:end], []byte{':'})
	}
	rest := line[end+2:]
	// Structured calls: "message" key="value" err="…".
	if rest[0] == '"' {
		if end := endOfString(rest, 0); end > 0 {
			r.rawMessage = rest[1 : end-1]
			pairs(rest[end:], func(key, value []byte, quoted bool) bool {
				if string(key) == "err" || string(key) == "error" {
					r.field(key, value, quoted)
				}
				return true
			})
			r.finish()
			rest = r.message
		}
	}
	return rest, true
}

// levelWithin is the level that a text names among its first words: in capitals,
// in brackets, or as level=.
func levelWithin(s []byte) Level {
	s = s[:min(len(s), 96)]
	for i := 0; i < len(s); {
		if classOf[s[i]]&isLetter == 0 {
			i++
			continue
		}
		from := i
		for i < len(s) && classOf[s[i]]&(isLetter|isDigit) != 0 {
			i++
		}
		if n := i - from; n < 4 || n > 9 {
			continue
		}
		marked := from > 0 && s[from-1] == '[' && i < len(s) && s[i] == ']' || from >= 6 && string(s[from-6:from]) == "level="
		upper := s[from+1] >= 'A' && s[from+1] <= 'Z' && s[from] <= 'Z' && (from == 0 || s[from-1] == ' ') && (i == len(s) || s[i] == ' ' || s[i] == ':')
		if marked || upper {
			if l := ParseLevel(s[from:i]); l != LevelUnknown {
				return l
			}
		}
	}
	return LevelUnknown
}

// traceWithin is the value of trace_id= or traceId= in a text.
func traceWithin(s []byte) []byte {
	i := bytes.Index(s, []byte("trace"))
	if i < 0 {
		return nil
	}
	for _, key := range [...]string{"trace_id=", "traceId=", "traceID=", "trace_id: ", "traceId: "} {
		if !bytes.HasPrefix(s[i:], []byte(key)) {
			continue
		}
		from := i + len(key)
		to := from
		for to < len(s) && (classOf[s[to]]&(isLetter|isDigit) != 0 || s[to] == '-') {
			to++
		}
		return s[from:to]
	}
	return nil
}
