package pattern

import "bytes"

// traceKind is the stack trace that an event is in the middle of.
type traceKind uint8

const (
	noTrace   traceKind = iota
	pyTrace             // Python: indented frames, then the exception
	pyBetween           // Python: after the exception; another may follow
	goTrace             // Go: a panic, a fatal error or a dump of goroutines
	netHead             // .NET's console logger: the message is on the next line
	keyBlock            // a private key in PEM, to its end
)

// joiner tells which lines go on the event before them.
type joiner struct {
	trace  traceKind
	headed bool // the event began with a header
	open   bool // there is an event
	frames bool // with frames of a stack trace
}

// begins notes that line begins an event.
func (j *joiner) begins(message []byte, headed bool) {
	*j = joiner{open: true, headed: headed}
	switch {
	case bytes.HasPrefix(message, []byte("Traceback (most recent call last)")):
		j.trace = pyTrace
	case bytes.HasPrefix(message, []byte("panic: ")), bytes.HasPrefix(message, []byte("fatal error: ")),
		bytes.HasPrefix(message, []byte("SIGQUIT: quit")), isGoroutine(message), bytes.HasPrefix(message, []byte("unexpected fault address")):
		j.trace = goTrace
	case bytes.Contains(message, []byte("PRIVATE KEY-----")) && !bytes.Contains(message, []byte("-----END")):
		j.trace = keyBlock
	}
}

// part says what a line is to the event before it.
type part uint8

const (
	partNone  part = iota // it begins an event of its own
	partMore              // it goes on the event
	partError             // it goes on the event and names what was thrown
	partText              // it goes on the event and is its message
)

// continues tells what line, which has no header of its own, is to the event
// before it.
func (j *joiner) continues(line []byte) part {
	if !j.open {
		return partNone
	}
	trimmed := bytes.TrimLeft(line, " \t")
	indent := len(line) - len(trimmed)
	switch j.trace {
	case netHead:
		j.trace = noTrace
		if indent >= 4 {
			return partText
		}
	case keyBlock:
		if bytes.Contains(line, []byte("-----END")) {
			j.trace = noTrace
		}
		return partMore
	case pyTrace:
		if indent > 0 || len(trimmed) == 0 {
			return partMore
		}
		j.trace = pyBetween
		return partError
	case goTrace:
		if goLine(line, trimmed, indent) {
			return partMore
		}
		return partNone
	case pyBetween:
		if len(trimmed) == 0 || bytes.HasPrefix(trimmed, []byte("During handling of the above")) || bytes.HasPrefix(trimmed, []byte("The above exception was")) {
			return partMore
		}
	}
	switch {
	case len(trimmed) == 0:
		return partNone
	case bytes.HasPrefix(trimmed, []byte("Traceback (most recent call last)")):
		j.trace = pyTrace
		return partMore
	case isFrame(trimmed, indent):
		j.frames = true
		return partMore
	case indent > 0 && j.headed:
		return partMore
	case j.headed && isThrown(trimmed):
		return partError
	case j.headed && isGoFunction(line):
		return partMore
	case j.headed && isGoroutine(trimmed):
		j.trace = goTrace
		return partMore
	}
	return partNone
}

// isFrame tells the lines of Java's, Node's and .NET's stack traces.
func isFrame(s []byte, indent int) bool {
	switch {
	case indent > 0 && bytes.HasPrefix(s, []byte("at ")):
		return true
	case bytes.HasPrefix(s, []byte("Caused by: ")), indent > 0 && bytes.HasPrefix(s, []byte("Suppressed: ")):
		return true
	case indent > 0 && bytes.HasPrefix(s, []byte("... ")) && (bytes.HasSuffix(s, []byte(" more")) || bytes.Contains(s, []byte("common frames"))):
		return true
	case indent > 0 && (bytes.HasPrefix(s, []byte("---> ")) || bytes.HasPrefix(s, []byte("--- End of "))):
		return true
	case indent > 0 && bytes.HasPrefix(s, []byte("from ")) && bytes.Contains(s, []byte(":in ")): // Ruby
		return true
	}
	return false
}

// isThrown tells a line that names an exception: dotted or camel case words that
// end in Exception, Error and the like, before a colon or the end.
func isThrown(s []byte) bool {
	s = bytes.TrimPrefix(s, []byte("Unhandled exception. "))
	s = bytes.TrimPrefix(s, []byte("Uncaught "))
	return len(thrown(s)) > 0
}

// thrown is the name of the exception that s begins with, nil where it is none.
func thrown(s []byte) []byte {
	i := 0
	for i < len(s) && (classOf[s[i]]&(isLetter|isDigit) != 0 || s[i] == '.' || s[i] == '_' || s[i] == '$') {
		i++
	}
	if i < 5 || i < len(s) && s[i] != ':' && s[i] != ' ' {
		return nil
	}
	name := s[:i]
	if i < len(s) && s[i] == ' ' && !bytes.HasPrefix(s[i:], []byte(" [")) && !bytes.HasPrefix(s[i:], []byte(" (")) {
		return nil
	}
	for _, suffix := range [...]string{"Exception", "Error", "Throwable", "Interrupt", "Exit", "Warning"} {
		if bytes.HasSuffix(name, []byte(suffix)) {
			return name
		}
	}
	return nil
}

// isGoFunction tells a function in the stack traces of zap: package.name without
// a space.
func isGoFunction(s []byte) bool {
	dot := bytes.LastIndexByte(s, '.')
	return dot > 0 && dot+1 < len(s) && classOf[s[dot+1]]&isLetter != 0 && bytes.IndexByte(s, ' ') < 0
}

func isGoroutine(s []byte) bool {
	return bytes.HasPrefix(s, []byte("goroutine ")) && bytes.HasSuffix(bytes.TrimRight(s, " "), []byte("]:"))
}

// goLine tells the lines of a dump of goroutines.
func goLine(line, trimmed []byte, indent int) bool {
	switch {
	case len(trimmed) == 0, indent > 0, isGoroutine(trimmed):
		return true
	case bytes.HasPrefix(line, []byte("panic: ")), bytes.HasPrefix(line, []byte("[signal ")), bytes.HasPrefix(line, []byte("created by ")),
		bytes.HasPrefix(line, []byte("exit status ")), bytes.HasPrefix(line, []byte("runtime: ")), bytes.HasPrefix(line, []byte("runtime stack:")),
		bytes.HasPrefix(line, []byte("PC=")), bytes.HasPrefix(line, []byte("...")):
		return true
	}
	if line[len(line)-1] == ')' { // a call: package.function(0x1, 0x2)
		open := bytes.IndexByte(line, '(')
		return open > 0 && bytes.IndexByte(line[:open], ' ') < 0 && bytes.IndexByte(line[:open], '.') > 0
	}
	name, value, ok := bytes.Cut(line, []byte("0x")) // a register
	return ok && len(name) <= 8 && len(value) <= 16
}
