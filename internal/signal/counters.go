package signal

import (
	"math"
	"slices"
)

// counters takes the increases of one subject's counters. It knows nothing of
// metrics and dialects: it is given samples, and calls back with how much was
// counted when.
//
// The order of things is: subject → pod → process (what answers at one
// instance address) → stream (one scraper's view of the process) → series. All
// series of a stream come from the same scrapes, which is what tells a restart
// from a series that was born late, and two scrapers from two processes.
type counters struct {
	graceMillis int64 // within it every scraped target has been seen once
	keepMillis  int64 // how long after its last sample a stream is remembered
	first       int64 // earliest sample of any pod, noSample before
	last        int64 // newest sample of any pod
	pods        map[string]*pod
}

const noSample = math.MinInt64

// pod is one pod of a subject.
type pod struct {
	name      string
	arm       armIndex
	processes map[uint64]*process
	tally     *tally // what the pod served in the round that is being read
	carry     []carry
	bounds    []bool // which of the subject's bucket bounds the pod exports
}

// process is what answers at one instance address. Of the scrapers that see it
// only one is counted, the primary.
type process struct {
	first   int64
	primary *stream
	last    int64 // newest counted scrape
	streams []*stream
	batch   []*entry
}

// stream is one scraper's view of a process.
type stream struct {
	scraper uint64
	first   int64
	last    int64
	reset   int64 // newest restart seen
	// lost is set once the series were forgotten; what comes back is a new
	// beginning, not a birth.
	lost   bool
	index  map[uint64]int32
	values []Sample
	batch  []*entry
}

// entry is the samples of one series in one round.
type entry struct {
	pod string
	identity
	class   int32 // meaning within the slot
	at      int32 // where the stream keeps the series; -1 while it is unknown
	samples []Sample
	lane    *lane
	owner   *pod
}

// lane is what the series of one counter of one arm have in common.
type lane struct {
	arm  armIndex
	slot int32 // which of the subject's counters
	// newborn: the pods of this arm were born after counting began.
	newborn bool
	beginning
}

// beginning is from when on a counter was asked for, and from when on it
// counts; samples before only tell where it stood.
type beginning struct{ since, emitFrom int64 }

// emit is told that the counter of e went up by delta at a time.
type emit func(e *entry, millis int64, delta float64)

func newCounters(graceMillis, keepMillis int64) *counters {
	return &counters{graceMillis: graceMillis, keepMillis: keepMillis, first: noSample, last: noSample, pods: map[string]*pod{}}
}

// add counts a round of samples, of which the newest are not after to. The
// order of the entries does not matter; samples that were given before are
// skipped.
func (c *counters) add(entries []entry, to int64, out emit) {
	var touched []*process
	for i := range entries {
		e := &entries[i]
		e.samples = upTo(e.samples, to)
		if len(e.samples) == 0 {
			continue
		}
		if first := e.samples[0].Millis; c.first == noSample || first < c.first {
			c.first = first
		}
		c.last = max(c.last, e.samples[len(e.samples)-1].Millis)
		e.owner = c.pod(e)
		p := e.owner.processes[e.process]
		if p == nil {
			p = &process{first: noSample, last: noSample}
			e.owner.processes[e.process] = p
		}
		if len(p.batch) == 0 {
			touched = append(touched, p)
		}
		p.batch = append(p.batch, e)
	}
	for _, p := range touched {
		c.addProcess(p, out)
	}
	c.forget()
}

func upTo(samples []Sample, to int64) []Sample {
	n := len(samples)
	for n > 0 && samples[n-1].Millis > to {
		n--
	}
	return samples[:n]
}

func (c *counters) pod(e *entry) *pod {
	p := c.pods[e.pod]
	if p == nil {
		p = &pod{name: e.pod, arm: e.lane.arm, processes: map[uint64]*process{}}
		c.pods[e.pod] = p
	}
	return p
}

func (c *counters) addProcess(p *process, out emit) {
	for _, e := range p.batch {
		s := p.stream(e.scraper)
		s.batch = append(s.batch, e)
		if first := e.samples[0].Millis; s.first == noSample || first < s.first {
			s.first = first
		}
		if p.first == noSample || s.first < p.first {
			p.first = s.first
		}
	}
	p.batch = nil
	turns := p.turns(c.graceMillis)
	for _, s := range p.streams {
		if len(s.batch) > 0 {
			c.addStream(p, s, turns, out)
		}
	}
}

func (p *process) stream(scraper uint64) *stream {
	for _, s := range p.streams {
		if s.scraper == scraper {
			return s
		}
	}
	s := &stream{scraper: scraper, first: noSample, last: noSample, reset: noSample, index: map[uint64]int32{}}
	p.streams = append(p.streams, s)
	return s
}

// addStream counts the batch of a stream.
func (c *counters) addStream(p *process, s *stream, turns []turn, out emit) {
	resets := s.resets()
	var scrapes []int64 // when the batch's scrapes were; made when first needed
	for _, e := range s.batch {
		prev, known := s.before(e)
		for _, sample := range e.samples {
			if !countable(sample.Value) || (known && sample.Millis <= prev.Millis) {
				continue
			}
			var delta float64
			switch {
			case known && (sample.Value < prev.Value || resetBetween(resets, s.reset, prev.Millis, sample.Millis)):
				delta = sample.Value
			case known:
				delta = sample.Value - prev.Value
			default:
				if scrapes == nil && !s.original(p, e) {
					scrapes = s.scrapes()
				}
				if c.born(p, s, e, sample.Millis, scrapes) {
					delta = sample.Value
				}
			}
			prev, known = sample, true
			if delta > 0 && sample.Millis > e.lane.emitFrom && inTurn(turns, s, sample.Millis) {
				out(e, sample.Millis, delta)
			}
		}
		if known {
			s.remember(e, prev)
		}
	}
	for _, e := range s.batch {
		s.last = max(s.last, e.samples[len(e.samples)-1].Millis)
	}
	if n := len(resets); n > 0 {
		s.reset = max(s.reset, resets[n-1])
	}
	s.lost = false
	s.batch = nil
}

// before is the newest sample of the series that was counted already.
func (s *stream) before(e *entry) (Sample, bool) {
	if e.at < 0 { // also when the batch brought the same series once more
		at, ok := s.index[e.key]
		if !ok {
			return Sample{}, false
		}
		e.at = at
	}
	return s.values[e.at], true
}

// original reports whether all that the stream ever showed happened in the
// arm: its pods were born after counting began, and no other scraper saw the
// process earlier.
func (s *stream) original(p *process, e *entry) bool {
	return e.lane.newborn && !s.lost && s.first <= p.first
}

// born reports whether a series first seen at a time began at zero after the
// scrape before, rather than having been there unseen. Scrapes are those of
// the batch, in order of time.
func (c *counters) born(p *process, s *stream, e *entry, at int64, scrapes []int64) bool {
	if s.original(p, e) {
		return true
	}
	// The newest earlier scrape of the stream, in which the series was missing.
	scraped := int64(noSample)
	if i, _ := slices.BinarySearch(scrapes, at); i > 0 {
		scraped = scrapes[i-1]
	}
	if !s.lost && s.last < at {
		scraped = max(scraped, s.last)
	}
	switch {
	case scraped != noSample:
		return scraped >= e.lane.since
	case s.last != noSample:
		return false // known, but lost, or come late
	case s.first > p.first:
		return false // a second scraper of a process that is known
	default:
		// A process seen for the first time: new, unless everything is.
		return at-c.first > c.graceMillis
	}
}

// scrapes returns when the batch's new scrapes were, in order of time.
func (s *stream) scrapes() []int64 {
	var out []int64
	for _, e := range s.batch {
		for _, sample := range e.samples {
			if sample.Millis > s.last {
				out = append(out, sample.Millis)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// resets returns when the process restarted, in order of time. A restart takes
// all series of a stream back to zero, also one that has outgrown its old
// value by the next scrape. A series that comes back only later falls too, but
// for the same restart.
func (s *stream) resets() []int64 {
	type fall struct{ after, at int64 }
	var falls []fall
	for _, e := range s.batch {
		e.at = -1
		prev, known := s.before(e)
		for _, sample := range e.samples {
			if !countable(sample.Value) || (known && sample.Millis <= prev.Millis) {
				continue
			}
			if known && sample.Value < prev.Value {
				falls = append(falls, fall{prev.Millis, sample.Millis})
			}
			prev, known = sample, true
		}
	}
	if falls == nil {
		return nil
	}
	slices.SortFunc(falls, func(a, b fall) int { return compare(a.at, b.at) })
	var out []int64
	for _, f := range falls {
		if !resetBetween(out, s.reset, f.after, f.at) {
			out = append(out, f.at)
		}
	}
	return out
}

func resetBetween(resets []int64, last, after, until int64) bool {
	if last > after && last <= until {
		return true
	}
	i, _ := slices.BinarySearch(resets, after+1)
	return i < len(resets) && resets[i] <= until
}

func (s *stream) remember(e *entry, v Sample) {
	if e.at >= 0 {
		s.values[e.at] = v
		return
	}
	s.index[e.key] = int32(len(s.values))
	s.values = append(s.values, v)
}

// forget drops the series of streams that have long gone while others were
// scraped. The pod's name stays, so that it is not taken for a new one should
// it come back.
func (c *counters) forget() {
	for _, p := range c.pods {
		for _, proc := range p.processes {
			for _, s := range proc.streams {
				if !s.lost && c.last-s.last > c.keepMillis {
					s.lost, s.index, s.values = true, map[uint64]int32{}, nil
				}
			}
		}
	}
}

// countable reports whether v can be the value of a counter.
func countable(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }
