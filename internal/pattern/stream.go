package pattern

import "bytes"

const (
	// sampleLines are looked at before the header of a source is learned.
	sampleLines = 1000
	sampleBytes = 1 << 20
	// window is after how many lines it is asked whether the header still fits.
	window = 8192
	// maxPartial bounds a line that a container runtime cut into several.
	maxPartial = MaxLine
)

// Stream turns the lines of one source into events and adds them to a Miner.
type Stream struct {
	miner    *Miner
	arm      int
	minLevel Level
	onEvent  func(lines uint64, ref Ref, counted bool)

	sample      [][]byte // lines kept until the header is learned; nil afterwards
	sampleSize  int
	header      *header
	learned     bool
	texts, hits int // lines of text of this window, and those with the header

	line    uint64 // number of the last physical line
	joiner  joiner
	record  record
	pending Event
	// What the pending event consists of, in buffers that are used again.
	message, logger, trace, thrown []byte

	partial      []byte // text of lines that go on
	partialLines uint64
	cleaned      []byte
	unframed     []byte
}

// StreamOptions say how a Stream reads.
type StreamOptions struct {
	Arm      int   // 0 or 1: which of two logs that are compared
	MinLevel Level // events below it, or without a level, are not counted
	// OnEvent is told, in the order of the lines, how many physical lines an event
	// has, and what it was counted as; counted is false for those below MinLevel.
	OnEvent func(lines uint64, ref Ref, counted bool)
}

// NewStream returns a Stream that adds to m.
func NewStream(m *Miner, opt StreamOptions) *Stream {
	return &Stream{miner: m, arm: opt.Arm, minLevel: opt.MinLevel, onEvent: opt.OnEvent}
}

// Line reads one physical line, without its end. The first lines are kept until
// the header of the source is learned, or Learn or Close is called.
func (s *Stream) Line(line []byte) {
	if s.learned {
		s.read(line)
		return
	}
	s.sample = append(s.sample, bytes.Clone(line))
	s.sampleSize += len(line)
	if len(s.sample) >= sampleLines || s.sampleSize >= sampleBytes {
		s.Learn()
	}
}

// Truncated counts a line of which the end was not read.
func (s *Stream) Truncated() { s.miner.stats.Truncated++ }

// Learn learns the header from the lines so far, and reads them.
func (s *Stream) Learn() {
	if s.learned || len(s.sample) == 0 {
		return
	}
	s.header = learnHeader(s.different(s.sample))
	s.learned = true
	lines := s.sample
	s.sample, s.sampleSize = nil, 0
	for _, line := range lines {
		s.read(line)
	}
}

// different is the lines of text of a sample, without their frames, one for each
// shape.
func (s *Stream) different(lines [][]byte) [][]byte {
	seen := map[string]bool{}
	var out [][]byte
	var m masker
	for _, line := range lines {
		f, _ := unframe(line, nil)
		text, _ := clean(f.text, nil)
		if len(text) == 0 || text[0] == '{' || classOf[text[0]]&isSpace != 0 {
			continue
		}
		shape := string(m.mask(text[:min(len(text), maxText)]))
		if !seen[shape] {
			seen[shape] = true
			out = append(out, bytes.Clone(text[:min(len(text), maxText)]))
		}
	}
	return out
}

// read reads a line whose header is known.
func (s *Stream) read(line []byte) {
	s.line++
	f := frame{text: line}
	if len(line) > 0 && (line[0] == '[' || line[0] == '{' || classOf[line[0]]&isDigit != 0) {
		f, s.unframed = unframe(line, s.unframed)
	}
	if f.partial || s.partialLines > 0 {
		if len(s.partial)+len(f.text) <= maxPartial {
			s.partial = append(s.partial, f.text...)
		} else if f.partial {
			s.miner.stats.Truncated++
		}
		s.partialLines++
		if f.partial {
			return
		}
		f.text = s.partial
	}
	lines := max(s.partialLines, 1)
	s.partialLines = 0
	s.text(f.text, lines)
	s.partial = s.partial[:0]
}

// text reads the text of a line that stood on so many physical ones.
func (s *Stream) text(text []byte, lines uint64) {
	text, s.cleaned = clean(text, s.cleaned)
	s.record.read(text, s.header)
	structured := len(text) > 0 && text[0] == '{' && s.record.headed
	if !structured && len(text) > 0 {
		s.watch(text)
	}
	if !s.record.headed {
		switch s.joiner.continues(text) {
		case partMore:
			s.pending.Lines += lines
			return
		case partError:
			s.pending.Lines += lines
			if len(s.thrown) == 0 {
				s.thrown = append(s.thrown, bytes.TrimLeft(text, " \t")...)
			}
			return
		case partText:
			s.pending.Lines += lines
			s.message = append(s.message[:0], bytes.TrimLeft(text, " \t")...)
			return
		}
	}
	s.flush()
	s.joiner.begins(s.record.message, s.record.headed)
	if dotnetHead(text, s.record.message) {
		s.joiner.trace = netHead
	}
	s.message = append(s.message[:0], s.record.message...)
	s.logger = append(s.logger[:0], s.record.logger...)
	s.trace = append(s.trace[:0], s.record.traceID...)
	s.thrown = s.thrown[:0]
	s.pending = Event{Level: s.record.level, Line: s.line - lines + 1, Lines: lines, Arm: s.arm}
}

// dotnetHead tells the first of the two lines of .NET's console logger:
// "info: Microsoft.Hosting.Lifetime[0]".
func dotnetHead(text, message []byte) bool {
	return len(text) > 8 && text[4] == ':' && text[len(text)-1] == ']' && len(message) > 0 && bytes.IndexByte(message, ' ') < 0 && bytes.IndexByte(message, '[') > 0
}

// flush counts the pending event.
func (s *Stream) flush() {
	if !s.joiner.open {
		return
	}
	s.joiner.open = false
	ev := &s.pending
	if len(s.thrown) > 0 {
		s.addThrown()
		ev.Level = max(ev.Level, LevelError)
	} else if s.joiner.trace == goTrace && ev.Level == LevelUnknown {
		ev.Level = LevelFatal
	} else if s.joiner.frames && ev.Level == LevelUnknown {
		ev.Level = LevelError
	}
	if ev.Level < s.minLevel {
		s.miner.stats.Lines += ev.Lines
		s.miner.stats.Below += ev.Lines
		if s.onEvent != nil {
			s.onEvent(ev.Lines, 0, false)
		}
		return
	}
	ev.Message, ev.Logger, ev.TraceID = s.message, s.logger, s.trace
	ref := s.miner.Add(ev)
	if s.onEvent != nil {
		s.onEvent(ev.Lines, ref, true)
	}
}

// addThrown puts what was thrown into the message: all of it where the trace is
// all there is, its name after a message.
func (s *Stream) addThrown() {
	if bytes.HasPrefix(s.message, []byte("Traceback ")) {
		s.message = append(s.message[:0], s.thrown...)
		return
	}
	name := thrown(s.thrown)
	if name == nil {
		name, _, _ = bytes.Cut(s.thrown, []byte{':'})
	}
	if !bytes.Contains(s.message, name) {
		s.message = append(append(s.message, ": "...), name...)
	}
}

// Close reads what is kept and counts the last event.
func (s *Stream) Close() {
	s.Learn()
	if s.partialLines > 0 {
		lines := s.partialLines
		s.partialLines = 0
		s.text(s.partial, lines)
	}
	s.flush()
}

// watch learns the header anew where the lines do not have it any more.
func (s *Stream) watch(text []byte) {
	s.texts++
	if s.record.headed {
		s.hits++
	}
	if s.texts > window-sampleLines && s.hits*2 < window {
		s.sample = append(s.sample, bytes.Clone(text[:min(len(text), maxText)]))
	}
	if s.texts < window {
		return
	}
	if s.hits*2 < window {
		if h := learnHeader(s.different(s.sample)); h != nil {
			s.header = h
		}
	}
	s.texts, s.hits, s.sample = 0, 0, nil
}
