// Package count takes the increases of counters from raw samples, exactly. It
// knows nothing of metrics and dialects: it is given samples, and calls back
// with how much was counted when.
//
// The order of things is: subject → pod → process (what answers at one instance
// address) → stream (one scraper's view of the process) → series. All series of
// a stream come from the same scrapes, which is what tells a restart from a
// series that was born late, and two scrapers from two processes.
package count

import (
	"math"
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// NoSample is the time of what never was.
const NoSample = math.MinInt64

// Options of Counters, in milliseconds.
type Options struct {
	GraceMillis int64 // within it every scraped target has been seen once
	KeepMillis  int64 // how long after its last sample a stream is remembered
	LateMillis  int64 // how far back samples may still arrive out of order
}

// Counters takes the increases of one subject's counters.
type Counters struct {
	opt   Options
	first int64 // earliest sample of any pod, NoSample before
	last  int64 // newest sample of any pod
	pods  map[string]*Pod
}

// Pod is one pod of a subject.
type Pod struct {
	name      string
	processes map[uint64]*process
}

// Entry is the samples of one series in one round.
type Entry struct {
	Pod *Pod
	Identity
	Samples []samples.Float // in order of time
	// Newborn: all pods of this arm were born after counting began.
	Newborn bool
	// Rebased: the first sample tells where the series stood, whatever else is
	// known of it.
	Rebased bool
	Beginning
	// Stats, when set, is told how the series moved.
	Stats *Stats

	at int32 // where the stream keeps the series; -1 while it is unknown
}

// Beginning is since when a counter is asked for, and from when on it counts;
// samples before only tell where it stood. Unix milliseconds.
type Beginning struct{ Since, EmitFrom int64 }

// Stats tells a counter from what only looks like one.
type Stats struct{ Steps, Falls int }

// Emit is told that the counter of entry i went up by delta at a time.
type Emit func(i int, millis int64, delta float64)

// New returns Counters that have seen nothing.
func New(opt Options) *Counters {
	return &Counters{opt: opt, first: NoSample, last: NoSample, pods: map[string]*Pod{}}
}

// SetOptions changes what is expected of the scrapes.
func (c *Counters) SetOptions(opt Options) { c.opt = opt }

// Last is the time of the newest sample of any pod, NoSample before the first.
func (c *Counters) Last() int64 { return c.last }

// Pod returns the pod of a name, a new one where it was not seen before.
func (c *Counters) Pod(name string) *Pod {
	p := c.pods[name]
	if p == nil {
		p = &Pod{name: name, processes: map[uint64]*process{}}
		c.pods[name] = p
	}
	return p
}

// Name of the pod.
func (p *Pod) Name() string { return p.name }

// Alive reports whether some stream of the pod is remembered.
func (p *Pod) Alive() bool {
	for _, proc := range p.processes {
		for _, s := range proc.streams {
			if !s.lost {
				return true
			}
		}
	}
	return false
}

// Add counts a round of samples, of which the newest are not after to. The
// order of the entries does not matter; samples that were given before are
// skipped.
func (c *Counters) Add(entries []Entry, to int64, out Emit) {
	var touched []*process
	for i := range entries {
		e := &entries[i]
		e.Samples = upTo(e.Samples, to)
		if len(e.Samples) == 0 {
			continue
		}
		c.Saw(e.Samples[0].Millis, e.Samples[len(e.Samples)-1].Millis)
		p := e.Pod.processes[e.Process]
		if p == nil {
			p = &process{first: NoSample, last: NoSample}
			e.Pod.processes[e.Process] = p
		}
		if len(p.batch) == 0 {
			touched = append(touched, p)
		}
		p.batch = append(p.batch, int32(i))
	}
	for _, p := range touched {
		c.addProcess(p, entries, to, out)
	}
	c.forget()
}

// Saw notes that there were samples from first to last, of whatever kind.
func (c *Counters) Saw(first, last int64) {
	if c.first == NoSample || first < c.first {
		c.first = first
	}
	c.last = max(c.last, last)
}

func upTo(list []samples.Float, to int64) []samples.Float {
	n := len(list)
	for n > 0 && list[n-1].Millis > to {
		n--
	}
	return list[:n]
}

func (c *Counters) addProcess(p *process, entries []Entry, to int64, out Emit) {
	for _, i := range p.batch {
		e := &entries[i]
		s := p.stream(e.Scraper)
		s.batch = append(s.batch, i)
		if first := e.Samples[0].Millis; s.first == NoSample || first < s.first {
			s.first = first
		}
		if p.first == NoSample || s.first < p.first {
			p.first = s.first
		}
	}
	p.batch = p.batch[:0]
	turns := p.turns(entries, c.opt.GraceMillis)
	for _, s := range p.streams {
		if len(s.batch) > 0 {
			c.addStream(round{p, s, entries, turns, to - c.opt.LateMillis}, out)
		}
	}
}

// round is what is added to a stream at once.
type round struct {
	p       *process
	s       *stream
	entries []Entry
	turns   []turn
	horizon int64 // what is older cannot come late any more
}

// addStream counts the batch of a stream.
func (c *Counters) addStream(r round, out Emit) {
	s := r.s
	for _, i := range s.batch {
		s.locate(&r.entries[i])
	}
	if len(r.p.streams) == 1 {
		s.correct(r, out)
	}
	resets := s.resetsWith(r.entries)
	var scrapes []int64 // when the batch's scrapes were; made when first needed
	for _, i := range s.batch {
		e := &r.entries[i]
		prev, known := s.before(e)
		for _, sample := range e.Samples {
			if !countable(sample.Value) || (known && sample.Millis <= prev.Millis) {
				continue
			}
			var delta float64
			switch {
			case known && (sample.Value < prev.Value || between(resets, prev.Millis, sample.Millis)):
				delta = sample.Value
			case known:
				delta = sample.Value - prev.Value
			case e.Rebased:
			default:
				if scrapes == nil && !s.original(r.p, e) {
					scrapes = s.scrapes(r.entries)
				}
				if c.born(r.p, s, e, sample.Millis, scrapes) {
					delta = sample.Value
				}
			}
			if known {
				e.Stats.step(sample.Value < prev.Value)
			}
			prev, known = sample, true
			s.remember(e, sample)
			again := e.Rebased && sample.Millis <= s.last // counted under another key
			if delta > 0 && !again && sample.Millis > e.EmitFrom && inTurn(r.turns, s, sample.Millis) {
				out(int(i), sample.Millis, delta)
			}
		}
		s.prune(e, r.horizon)
	}
	for _, i := range s.batch {
		e := &r.entries[i]
		s.last = max(s.last, e.Samples[len(e.Samples)-1].Millis)
	}
	s.resets = recent(resets, r.horizon)
	s.lost = false
	s.batch = s.batch[:0]
}

func (st *Stats) step(fell bool) {
	if st == nil {
		return
	}
	st.Steps++
	if fell {
		st.Falls++
	}
}

// Suspicious reports whether the series fell so often that they may be no counters:
// a restart for every fourth scrape.
func (st Stats) Suspicious() bool { return st.Steps >= 40 && 4*st.Falls > st.Steps }

// original reports whether all that the stream ever showed happened in the
// arm: its pods were born after counting began, and no other scraper saw the
// process earlier.
func (s *stream) original(p *process, e *Entry) bool {
	return e.Newborn && !s.lost && s.first <= p.first
}

// born reports whether a series first seen at a time began at zero after the
// scrape before, rather than having been there unseen. Scrapes are those of
// the batch, in order of time.
func (c *Counters) born(p *process, s *stream, e *Entry, at int64, scrapes []int64) bool {
	if s.original(p, e) {
		return true
	}
	// The newest earlier scrape of the stream, in which the series was missing.
	scraped := int64(NoSample)
	if i, _ := slices.BinarySearch(scrapes, at); i > 0 {
		scraped = scrapes[i-1]
	}
	if !s.lost && s.last < at {
		scraped = max(scraped, s.last)
	}
	switch {
	case scraped != NoSample:
		return scraped >= e.Since
	case s.last != NoSample:
		return false // known, but lost, or come late
	case s.first > p.first:
		return false // a second scraper of a process that is known
	default:
		// A process seen for the first time: new, unless everything is.
		return at-c.first > c.opt.GraceMillis
	}
}

// forget drops the series of streams that have long gone while others were
// scraped. The pod's name stays, so that it is not taken for a new one should
// it come back.
func (c *Counters) forget() {
	for _, p := range c.pods {
		for _, proc := range p.processes {
			for _, s := range proc.streams {
				if !s.lost && c.last-s.last > c.opt.KeepMillis {
					s.lost, s.index, s.series, s.resets = true, map[uint64]int32{}, nil, nil
				}
			}
		}
	}
}

// maxCounter is beyond what anything counts up to.
const maxCounter = 1 << 60

// countable reports whether v can be the value of a counter.
func countable(v float64) bool { return v >= 0 && v <= maxCounter }
