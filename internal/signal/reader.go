package signal

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	defaultTick      = 15 * time.Second
	defaultLookback  = time.Minute
	defaultBatchSize = 500
	// maxSliceTicks is how much of what was missed one round of queries covers:
	// it bounds how many samples an answer holds after an outage.
	maxSliceTicks = 16
	// keepLookbacks is how many look-backs a stream is remembered after its last
	// sample, while others are still scraped.
	keepLookbacks = 10
)

// Options of a Reader; zero values stand for the defaults.
type Options struct {
	// Tick is the length of the intervals in which is counted. Ticks are aligned
	// to the Unix epoch. Default 15 s.
	Tick time.Duration
	// Lag is how late samples arrive: only ticks that ended so long ago are read.
	Lag time.Duration
	// ScrapeLookback is the time within which every target is scraped at least
	// once; give it two or three scrape intervals. Default 1 min.
	ScrapeLookback time.Duration
	// BatchSize is how many subjects share a query. Default 500.
	BatchSize int
}

// Reader counts requests, failures and latencies of subjects. What it counted
// is kept in memory only: a new Reader counts the same ticks again, with the
// same result. Its methods may be called concurrently.
type Reader struct {
	cat  *Catalogue
	q    Querier
	opt  Options
	tick int64 // milliseconds

	reading sync.Mutex // held during Read
	mu      sync.Mutex // guards what follows
	live    map[release.ID]*tracked

	budget  budget
	classes classes
}

// NewReader makes a Reader of a catalogue over a metric store.
func NewReader(cat *Catalogue, q Querier, opt Options) *Reader {
	if opt.Tick < time.Millisecond {
		opt.Tick = defaultTick
	}
	if opt.ScrapeLookback <= 0 {
		opt.ScrapeLookback = defaultLookback
	}
	if opt.BatchSize <= 0 {
		opt.BatchSize = defaultBatchSize
	}
	return &Reader{cat: cat, q: q, opt: opt, tick: opt.Tick.Milliseconds(), live: map[release.ID]*tracked{}, budget: budget{full: opt.BatchSize}}
}

// Read counts, for each subject, all ticks that ended by at-Lag and were not
// counted before. The first read of a subject begins with the tick that holds
// its StartedAt. A read that fails for a subject changes nothing of it; the
// next good one covers the gap.
func (r *Reader) Read(ctx context.Context, at time.Time, subjects []Subject) map[release.ID]Result {
	r.reading.Lock()
	defer r.reading.Unlock()
	to := floorTo(millis(at)-r.opt.Lag.Milliseconds(), r.tick)
	all := r.track(subjects)
	out := make(map[release.ID]Result, len(all))
	for _, t := range all {
		t.until = to
	}
	r.run(ctx, all)
	for _, t := range all {
		out[t.subject.ID] = r.result(t)
	}
	return out
}

// Forget drops what is kept of a subject.
func (r *Reader) Forget(id release.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, id)
}

// track returns the states of the subjects, in a stable order.
func (r *Reader) track(subjects []Subject) []*tracked {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[release.ID]bool, len(subjects))
	all := make([]*tracked, 0, len(subjects))
	for _, s := range subjects {
		if seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		t := r.live[s.ID]
		if t == nil || !t.sameRollout(s) {
			t = r.newTracked(s, false, firstTick(s.StartedAt, r.tick))
			r.live[s.ID] = t
		} else if !t.sameCustom(s) {
			t.setCustom(s)
		}
		t.err = nil
		all = append(all, t)
	}
	sortTracked(all)
	return all
}

func sortTracked(all []*tracked) {
	slices.SortFunc(all, func(a, b *tracked) int {
		if c := strings.Compare(a.subject.Namespace, b.subject.Namespace); c != 0 {
			return c
		}
		return strings.Compare(string(a.subject.ID), string(b.subject.ID))
	})
}

// run brings all to where they are to go, or sets their err.
func (r *Reader) run(ctx context.Context, all []*tracked) {
	r.discover(ctx, all)
	for {
		members, stop := r.next(all)
		if len(members) == 0 {
			break
		}
		if err := r.round(ctx, members, stop); err != nil {
			// The source is away: the rest would only wait for it in vain.
			for _, t := range all {
				if t.behind() {
					t.err = err
				}
			}
		}
	}
	for _, t := range all {
		if t.pos >= t.until {
			t.slice = maxSliceTicks
		}
	}
}

func (t *tracked) behind() bool { return t.err == nil && t.pos < t.until }

// next picks those furthest behind, and how far they go now. Stops lie on a
// common grid, so that subjects that began at different times catch up in
// common queries; one that is to stop earlier than the others may be brought
// too far.
func (r *Reader) next(all []*tracked) ([]*tracked, int64) {
	stop := int64(math.MaxInt64)
	for _, t := range all {
		if t.behind() {
			grid := floorTo(t.pos, maxSliceTicks*r.tick) + maxSliceTicks*r.tick
			stop = min(stop, grid, t.pos+int64(t.slice)*r.tick)
		}
	}
	var members []*tracked
	furthest := int64(math.MinInt64)
	for _, t := range all {
		if t.behind() && t.pos < stop {
			members = append(members, t)
			furthest = max(furthest, t.until)
		}
	}
	return members, min(stop, furthest)
}

// round counts the members up to a boundary. It returns an error only when the
// source cannot be asked any more; what concerns a member is its err.
func (r *Reader) round(ctx context.Context, members []*tracked, to int64) error {
	for _, t := range members {
		for i := range t.custom {
			t.custom[i].err = nil
		}
	}
	var away error
	for _, a := range r.ask(ctx, r.plan(members, to)) {
		if a.err == nil {
			r.stage(a)
			continue
		}
		if code := release.ErrorCode(a.err); code == release.CodeUnavailable || code == release.CodeRateLimited {
			away = a.err
		}
		a.fail()
	}
	look := r.opt.ScrapeLookback.Milliseconds()
	for _, t := range members {
		if t.err == nil && !t.retry {
			t.dropBrokenCustom()
			t.apply(to, look)
		}
		t.retry = false
		t.clearRound()
	}
	return away
}

// dropBrokenCustom leaves out what was read of a signal of which only one half
// could be: its counters are taken up where they were by the next good read.
func (t *tracked) dropBrokenCustom() {
	broken := func(slot int32) bool {
		i, ok := isCustom(slot)
		return ok && t.custom[i].err != nil
	}
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool { return broken(e.lane.slot) })
	t.begins = slices.DeleteFunc(t.begins, func(b begin) bool { return broken(b.slot) })
}

// result hands out what is pending, or the error.
func (r *Reader) result(t *tracked) Result {
	res := Result{Err: t.err}
	for _, a := range []armIndex{armStable, armRelease} {
		if d := t.arms[a].dialect; d != nil {
			res.Dialect = d.Name
		}
	}
	res.Notes = t.noteList(r.cat)
	if t.counters.last != noSample {
		res.LastSample = fromMillis(t.counters.last)
	}
	if t.err != nil {
		return res
	}
	res.Readings, t.pending = t.pending, nil
	if n := len(res.Readings); n > 0 {
		for _, q := range t.expressions(r.cat) {
			res.Queries = append(res.Queries, release.Query{Source: "prometheus", Signal: q.signal, Expr: q.expr, From: res.Readings[0].From, To: res.Readings[n-1].To})
		}
	}
	return res
}

// floorTo is the last multiple of step at or before ms.
func floorTo(ms, step int64) int64 {
	q := ms / step
	if ms%step < 0 {
		q--
	}
	return q * step
}

// firstTick is the beginning of the tick (from, to] that holds a time.
func firstTick(at time.Time, tick int64) int64 {
	ms := millis(at)
	if from := floorTo(ms, tick); from < ms || at.Sub(fromMillis(ms)) > 0 {
		return from
	}
	return ms - tick
}
