package signal

import "slices"

// turn says whose view of a process counts from a time on.
type turn struct {
	from   int64
	stream *stream
}

// turns settles which scraper's samples are counted: the one that saw the
// process first, until it has been silent for longer than the grace while
// another was not. Merging them instead would take a skew between two scrapers
// for a restart.
func (p *process) turns(graceMillis int64) []turn {
	if len(p.streams) == 1 {
		s := p.streams[0]
		p.primary = s
		for _, e := range s.batch {
			p.last = max(p.last, e.samples[len(e.samples)-1].Millis)
		}
		return nil
	}
	type scrape struct {
		at     int64
		stream *stream
	}
	var scrapes []scrape
	for _, s := range p.streams {
		for _, e := range s.batch {
			for _, sample := range e.samples {
				if sample.Millis > p.last {
					scrapes = append(scrapes, scrape{sample.Millis, s})
				}
			}
		}
	}
	slices.SortFunc(scrapes, func(a, b scrape) int {
		if a.at != b.at {
			return compare(a.at, b.at)
		}
		return compare(a.stream.scraper, b.stream.scraper)
	})
	turns := []turn{{noSample, p.primary}}
	for _, sc := range scrapes {
		if p.primary != sc.stream {
			if p.primary != nil && sc.at-p.last <= graceMillis {
				continue
			}
			p.primary = sc.stream
			turns = append(turns, turn{sc.at, sc.stream})
		}
		p.last = sc.at
	}
	return turns
}

// inTurn reports whether the stream counts at a time. Without turns there is
// only one.
func inTurn(turns []turn, s *stream, at int64) bool {
	if turns == nil {
		return true
	}
	for i := len(turns) - 1; i >= 0; i-- {
		if turns[i].from <= at {
			return turns[i].stream == s
		}
	}
	return false
}

func compare[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
