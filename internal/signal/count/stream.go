package count

import (
	"slices"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// process is what answers at one instance address. Of the scrapers that see it
// only one is counted, the primary.
type process struct {
	first   int64
	primary *stream
	last    int64 // newest counted scrape
	streams []*stream
	batch   []int32 // indexes of the round's entries
}

// stream is one scraper's view of a process.
type stream struct {
	scraper uint64
	first   int64
	last    int64
	// resets are the restarts that were seen, in order of time: the newest that is
	// beyond doubt, and those within reach of a late sample.
	resets []int64
	// lost is set once the series were forgotten; what comes back is a new
	// beginning, not a birth.
	lost   bool
	index  map[uint64]int32
	series []series
	batch  []int32
}

// series is what was counted of one series: its newest sample, last in tail, and
// before it those that a late one may still come between. The first is beyond
// doubt.
type series struct{ tail []samples.Float }

func (p *process) stream(scraper uint64) *stream {
	for _, s := range p.streams {
		if s.scraper == scraper {
			return s
		}
	}
	s := &stream{scraper: scraper, first: NoSample, last: NoSample, index: map[uint64]int32{}}
	p.streams = append(p.streams, s)
	return s
}

// locate finds where the stream keeps the series of an entry.
func (s *stream) locate(e *Entry) {
	if at, ok := s.index[e.Key]; ok {
		e.at = at
	} else {
		e.at = -1
	}
}

// before is the newest sample of the series that was counted already.
func (s *stream) before(e *Entry) (samples.Float, bool) {
	if e.at < 0 { // also when the batch brought the same series once more
		s.locate(e)
	}
	if e.at < 0 {
		return samples.Float{}, false
	}
	tail := s.series[e.at].tail
	return tail[len(tail)-1], true
}

func (s *stream) remember(e *Entry, v samples.Float) {
	if e.at < 0 {
		e.at = int32(len(s.series))
		s.index[e.Key] = e.at
		s.series = append(s.series, series{make([]samples.Float, 0, 4)})
	}
	at := &s.series[e.at]
	at.tail = append(at.tail, v)
}

// prune drops what no late sample can come before any more, but the newest of it.
func (s *stream) prune(e *Entry, horizon int64) {
	if e.at < 0 {
		return
	}
	tail := s.series[e.at].tail
	keep := 0
	for keep+1 < len(tail) && tail[keep+1].Millis <= horizon {
		keep++
	}
	if keep > 0 {
		s.series[e.at].tail = append(tail[:0], tail[keep:]...)
	}
}

// scrapes returns when the batch's new scrapes were, in order of time.
func (s *stream) scrapes(entries []Entry) []int64 {
	var out []int64
	for _, i := range s.batch {
		for _, sample := range entries[i].Samples {
			if sample.Millis > s.last {
				out = append(out, sample.Millis)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fall is a counter that was less at one scrape than at an earlier one.
type fall struct{ after, at int64 }

// resetsWith returns when the process restarted, in order of time: what was
// known and what the batch shows. A restart takes all series of a stream back to
// zero, also one that has outgrown its old value by the next scrape. A series
// that comes back only later falls too, but for the same restart.
func (s *stream) resetsWith(entries []Entry) []int64 {
	var falls []fall
	for _, i := range s.batch {
		e := &entries[i]
		prev, known := s.before(e)
		falls = fallsOf(falls, prev, known, e.Samples)
	}
	return withFalls(s.resets, falls)
}

// fallsOf appends the falls of a series after its newest sample that was counted.
func fallsOf(falls []fall, prev samples.Float, known bool, list []samples.Float) []fall {
	for _, sample := range list {
		if !countable(sample.Value) || (known && sample.Millis <= prev.Millis) {
			continue
		}
		if known && sample.Value < prev.Value {
			falls = append(falls, fall{prev.Millis, sample.Millis})
		}
		prev, known = sample, true
	}
	return falls
}

// withFalls adds to the resets that are known those that explain the falls.
func withFalls(known []int64, falls []fall) []int64 {
	if falls == nil {
		return known
	}
	slices.SortFunc(falls, func(a, b fall) int { return compare(a.at, b.at) })
	out := slices.Clone(known)
	for _, f := range falls {
		if !between(out, f.after, f.at) {
			out = append(out, f.at)
			slices.Sort(out)
		}
	}
	return out
}

// between reports whether a restart lies in (after, until].
func between(resets []int64, after, until int64) bool {
	if len(resets) == 0 {
		return false
	}
	i, _ := slices.BinarySearch(resets, after+1)
	return i < len(resets) && resets[i] <= until
}

// recent keeps the resets after the horizon and the newest before it.
func recent(resets []int64, horizon int64) []int64 {
	keep := 0
	for keep+1 < len(resets) && resets[keep+1] <= horizon {
		keep++
	}
	return resets[keep:]
}

// compare orders numbers.
func compare[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
