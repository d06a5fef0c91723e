package pattern

import "bytes"

// frame is what a container runtime or kubectl puts around a line.
type frame struct {
	text    []byte
	partial bool // the line goes on in the next one
}

// unframe takes the frame of a container runtime off a line: CRI's
// "TIME stdout F text", the JSON of Docker's json-file, the "[pod/x/y] " of
// kubectl logs --prefix. The text of Docker's is written into buf if it has
// escapes.
func unframe(line, buf []byte) (f frame, newBuf []byte) {
	f.text = line
	if len(line) < 12 {
		return f, buf
	}
	switch c := line[0]; {
	case c == '[' && bytes.HasPrefix(line, []byte("[pod/")):
		if end := bytes.Index(line[:min(len(line), 512)], []byte("] ")); end > 0 {
			f, buf = unframe(line[end+2:], buf)
		}
	case c == '{' && bytes.HasPrefix(line, []byte(`{"log":"`)):
		f, buf = unframeDocker(line, buf)
	case c >= '0' && c <= '9' && (line[4] == '-' && line[10] == 'T'):
		f.text, f.partial = unframeCRI(line)
	}
	return f, buf
}

// unframeCRI takes off "2026-01-02T03:04:05.123456789Z stdout F ".
func unframeCRI(line []byte) (text []byte, partial bool) {
	space := bytes.IndexByte(line[:min(len(line), 40)], ' ')
	if space < 0 || len(line) < space+9 {
		return line, false
	}
	rest := line[space+1:]
	if !bytes.HasPrefix(rest, []byte("stdout ")) && !bytes.HasPrefix(rest, []byte("stderr ")) {
		return line, false
	}
	rest = rest[7:]
	if len(rest) == 0 || rest[0] != 'F' && rest[0] != 'P' || len(rest) > 1 && rest[1] != ' ' && rest[1] != ':' {
		return line, false
	}
	partial = rest[0] == 'P'
	if space = bytes.IndexByte(rest, ' '); space < 0 {
		return nil, partial
	}
	return rest[space+1:], partial
}

// unframeDocker reads {"log":"text\n","stream":"stdout","time":"…"}. A text
// without the end of a line goes on in the next one.
func unframeDocker(line, buf []byte) (frame, []byte) {
	var log, stream []byte
	object(line, func(key, value []byte, _ bool) bool {
		switch string(key) {
		case "log":
			log = value
		case "stream":
			stream = value
		}
		return true
	})
	if stream == nil {
		return frame{text: line}, buf
	}
	buf = unescape(log, buf[:0])
	text, whole := bytes.CutSuffix(buf, []byte{'\n'})
	return frame{text: text, partial: !whole}, buf
}
