package signal

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

const (
	defaultTick      = 15 * time.Second
	defaultLookback  = time.Minute
	defaultBatchSize = 500
	defaultBytes     = 64 << 10
	defaultSamples   = 10_000_000
	// defaultSlice is how many ticks of what was missed one round of queries
	// covers: it bounds how many samples an answer holds after an outage.
	defaultSlice = 16
	// keepLookbacks is how many look-backs a stream is remembered after its last
	// sample, while others are still scraped.
	keepLookbacks = 10
	// firstReach is how far before the rollout the first look reaches, in
	// milliseconds: it shows how often the pods are scraped, and what was busy.
	firstReach = 5 * 60 * 1000
	// A look-back is so many scrape intervals, and never longer than the store
	// itself takes a series for alive.
	lookIntervals = 2.5
	maxLook       = 5 * 60 * 1000
	// seriesGuess is how many series a feed is taken to have before it was read.
	seriesGuess = 200
)

// Options of a Reader; zero values stand for the defaults.
type Options struct {
	// Tick is the length of the intervals in which is counted. Default 15 s.
	Tick time.Duration
	// Origin is a time at which a tick begins; zero for the Unix epoch.
	Origin time.Time
	// SliceTicks is how many ticks that were missed are caught up in one round of
	// queries. Default 16.
	SliceTicks int
	// Lag is how late samples arrive: only ticks that ended so long ago are read.
	Lag time.Duration
	// Late is how far back samples may still arrive out of order, at least a tick.
	Late time.Duration
	// ScrapeLookback is the time within which every target is scraped at least
	// once. Default 1 min, which is right for intervals up to 25 s; where pods are
	// seen to be scraped less often it grows by itself, up to 5 min.
	ScrapeLookback time.Duration
	// BatchSize is how many subjects share a query at most. Default 500.
	BatchSize int
	// Limits of one query; default 64 KiB and 10 million samples.
	Limits samples.Limits
}

// Reader counts requests, failures, latencies and what else is told of subjects.
// What it counted is kept in memory only: a new Reader counts the same ticks
// again, with the same result. Its methods may be called concurrently.
type Reader struct {
	cat  *catalogue.Catalogue
	q    Querier
	opt  Options
	grid grid

	reading sync.Mutex // held during Read
	mu      sync.Mutex // guards what follows
	live    map[release.ID]*tracked

	budget   budget
	meanings meanings
}

// NewReader makes a Reader of a catalogue over a metric store.
func NewReader(cat *catalogue.Catalogue, q Querier, opt Options) *Reader {
	if opt.Tick < time.Millisecond {
		opt.Tick = defaultTick
	}
	if opt.ScrapeLookback <= 0 {
		opt.ScrapeLookback = defaultLookback
	}
	if opt.BatchSize <= 0 {
		opt.BatchSize = defaultBatchSize
	}
	if opt.Limits.QueryBytes <= 0 {
		opt.Limits.QueryBytes = defaultBytes
	}
	if opt.Limits.Samples <= 0 {
		opt.Limits.Samples = defaultSamples
	}
	if opt.SliceTicks <= 0 {
		opt.SliceTicks = defaultSlice
	}
	r := &Reader{cat: cat, q: q, opt: opt, grid: grid{tick: opt.Tick.Milliseconds()}, live: map[release.ID]*tracked{}, budget: budget{full: opt.BatchSize}}
	if !opt.Origin.IsZero() {
		r.grid.origin = millis(opt.Origin)
	}
	return r
}

// late is how far back samples may still arrive out of order, in milliseconds.
func (r *Reader) late() int64 { return max(r.opt.Late.Milliseconds(), r.grid.tick) }

// Read counts, for each subject, all ticks that ended by at-Lag and were not
// counted before. The first read of a subject begins with the tick that holds
// its StartedAt. A read that fails for a subject changes nothing of it; the
// next good one covers the gap.
func (r *Reader) Read(ctx context.Context, at time.Time, subjects []Subject) map[release.ID]Result {
	r.reading.Lock()
	defer r.reading.Unlock()
	to := r.grid.floor(millis(at) - r.opt.Lag.Milliseconds())
	all := r.track(subjects, to)
	out := make(map[release.ID]Result, len(all))
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
func (r *Reader) track(subjects []Subject, until int64) []*tracked {
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
		switch {
		case t == nil || !t.sameRollout(s):
			t = r.newTracked(s, false, r.grid.first(s.StartedAt))
			r.live[s.ID] = t
		case !t.sameCustom(s):
			t.setCustom(s)
		}
		t.until = until
		t.setPods(s)
		t.err = nil
		all = append(all, t)
	}
	sortTracked(all)
	return all
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
			t.slice = r.opt.SliceTicks
		}
		t.pruneNamed()
	}
}

// next picks those furthest behind, and how far they go now. Stops lie on a
// common grid, so that subjects that began at different times catch up in
// common queries; one that is to stop earlier than the others may be brought
// too far.
func (r *Reader) next(all []*tracked) ([]*tracked, int64) {
	stop := int64(math.MaxInt64)
	for _, t := range all {
		if t.behind() {
			grid := r.grid.slice(t.pos, int64(r.opt.SliceTicks))
			stop = min(stop, grid, t.pos+int64(t.slice)*r.grid.tick)
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
		for _, f := range t.feeds {
			if f.err != nil {
				f.err, t.findings.stale = nil, true
			}
		}
	}
	answers := r.ask(ctx, r.plan(members, to))
	r.budget.learn(answers)
	var away error
	for _, a := range answers {
		if a.err == nil {
			r.stage(a)
			continue
		}
		a.fail()
		code := release.ErrorCode(a.err)
		if (code == release.CodeUnavailable || code == release.CodeRateLimited) && a.targets[0].t.essential(a.targets[0].feed) {
			away = a.err
		}
	}
	for _, t := range members {
		if t.err == nil && !t.retry {
			t.dropBroken()
			r.adapt(t)
			t.apply(to)
		}
		t.retry = false
		t.clearRound()
	}
	return away
}

// dropBroken leaves out what was read of a signal of which only a part could be:
// its counters are taken up where they were by the next good read.
func (t *tracked) dropBroken() {
	broken := func(f *feed) bool {
		return f.err != nil || slices.ContainsFunc(t.feeds, func(o *feed) bool {
			return o.err != nil && (f.what >= feedBad && o.what >= feedBad && o.custom == f.custom ||
				(f.what == feedSum || f.what == feedCount) && (o.what == feedSum || o.what == feedCount))
		})
	}
	if !slices.ContainsFunc(t.feeds, func(f *feed) bool { return f.err != nil }) {
		return
	}
	for _, b := range []*batch{&t.round.own, &t.round.called, &t.round.exported} {
		b.drop(broken)
	}
	t.round.begun = slices.DeleteFunc(t.round.begun, func(b begun) bool { return broken(b.feed) })
}

func (b *batch) drop(broken func(*feed) bool) {
	kept := 0
	for i := range b.metas {
		if !broken(b.metas[i].feed) {
			b.entries[kept], b.metas[kept] = b.entries[i], b.metas[i]
			kept++
		}
	}
	b.entries, b.metas = b.entries[:kept], b.metas[:kept]
}

// adapt takes the look-back from how often the pods are seen to be scraped in the
// moments before counting begins.
func (r *Reader) adapt(t *tracked) {
	if t.ranked {
		return
	}
	if interval := t.scrapeInterval(); interval > 0 {
		look := int64(lookIntervals * float64(interval))
		t.look = min(max(r.opt.ScrapeLookback.Milliseconds(), look), maxLook)
		t.setCounters(r.late())
	}
}

// scrapeInterval is the middle of the gaps between samples before counting began,
// 0 where there were none.
func (t *tracked) scrapeInterval() int64 {
	var gaps []int64
	for _, b := range []*batch{&t.round.own, &t.round.called} {
		for i := range b.entries {
			list := b.entries[i].Samples
			for j := 1; j < len(list) && list[j].Millis <= t.start; j++ {
				gaps = append(gaps, list[j].Millis-list[j-1].Millis)
			}
		}
		if gaps != nil {
			break
		}
	}
	if gaps == nil {
		return 0
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// result hands out what is pending, or the error.
func (r *Reader) result(t *tracked) Result {
	res := Result{Err: t.err, PerRequest: t.dialectKnown()}
	for _, a := range []armIndex{armStable, armRelease} {
		if d := t.arms[a].dialect; d != nil {
			res.Dialect = d.Name
		}
	}
	if d := t.callers.dialect; d != nil {
		res.Callers = d.Name
	}
	if len(t.callers.sets) > 0 {
		res.CalledBy = slices.Sorted(maps.Keys(t.callers.sets))
	}
	res.Notes = t.noteList(r.cat)
	if last := t.newestSample(); last != math.MinInt64 {
		res.LastSample = fromMillis(last)
	}
	if t.err != nil {
		return res
	}
	res.Readings, t.pending = t.pending, nil
	if n := len(res.Readings); n > 0 {
		res.Queries = t.queries(r.cat, res.Readings[0].From, res.Readings[n-1].To)
	}
	return res
}

func (t *tracked) newestSample() int64 {
	newest := int64(math.MinInt64)
	for _, p := range t.pods {
		newest = max(newest, p.own.newest)
	}
	return newest
}

// grid is where ticks begin and end, in milliseconds.
type grid struct{ tick, origin int64 }

// floor is the last boundary at or before ms.
func (g grid) floor(ms int64) int64 { return floorTo(ms-g.origin, g.tick) + g.origin }

// slice is the end of the run of n ticks that a boundary lies in.
func (g grid) slice(ms, n int64) int64 {
	return floorTo(ms-g.origin, n*g.tick) + n*g.tick + g.origin
}

// first is the beginning of the tick (from, to] that holds a time.
func (g grid) first(at time.Time) int64 {
	ms := millis(at)
	if from := g.floor(ms); from < ms || at.Sub(fromMillis(ms)) > 0 {
		return from
	}
	return ms - g.tick
}

// floorTo is the last multiple of step at or before ms.
func floorTo(ms, step int64) int64 {
	q := ms / step
	if ms%step < 0 {
		q--
	}
	return q * step
}
