package count

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
func (p *process) turns(entries []Entry, graceMillis int64) []turn {
	if len(p.streams) == 1 {
		s := p.streams[0]
		p.primary = s
		for _, i := range s.batch {
			e := &entries[i]
			p.last = max(p.last, e.Samples[len(e.Samples)-1].Millis)
		}
		return nil
	}
	type scrape struct {
		at     int64
		stream *stream
	}
	var scrapes []scrape
	for _, s := range p.streams {
		for _, i := range s.batch {
			for _, sample := range entries[i].Samples {
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
	turns := []turn{{NoSample, p.primary}}
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
