package signal

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// armIndex is an arm as an index.
type armIndex int

const (
	armRelease armIndex = iota
	armStable
	armCount
)

// The counters of a subject: two of the dialect, then two for each of the
// user's own signals.
const (
	slotRequests int32 = iota
	slotLatency
	slotCustom // 2i: bad, 2i+1: total
)

func isCustom(slot int32) (i int, ok bool) { return int(slot-slotCustom) / 2, slot >= slotCustom }

// What a series means within its slot; within slotLatency it is the index of
// its bucket bound.
const (
	classIgnored int32 = -1
	classTotal   int32 = 0
	classBad     int32 = 1
)

// tracked is a subject with all that is kept of it between reads.
type tracked struct {
	subject  Subject
	wholeOf  bool // history: the stable arm is every pod of the workload
	arms     [armCount]arm
	custom   []customSignal
	start    int64 // beginning of the first tick
	pos      int64 // end of the last tick that was counted
	until    int64 // where the read is to end
	tick     int64
	counters *counters

	// slice bounds how many ticks one round may cover; it shrinks when the
	// source finds them too expensive.
	slice    int
	attempts int // of discovery
	bounds   []float64
	boundAt  map[float64]int32
	leftOut  string   // the route label by which series were left out
	noStatus *dialect // whose requests metric stands there without telling failures
	exprs    []pasted
	notes    []string
	// boundsNote is what is to be said of the bucket bounds.
	boundsNote string
	stale      bool // exprs and notes must be made again
	pending    []Reading

	// Of the round that is being read:
	entries []entry
	begins  []begin
	expect  int // how many entries the round before had
	err     error
	retry   bool // in a shorter slice
}

// arm is what is known of one arm's pods.
type arm struct {
	owner   owner
	exists  bool
	offers  map[*dialect]int // dialects the pods export → labels that name the pod
	dialect *dialect         // that is read; nil while none is known
	form    int
	counted bool // some series of the dialect was seen
	// switched: another dialect was counted before this one.
	switched bool
	begun    map[int32]beginning
}

// customSignal is a user's own signal, ready to be asked for.
type customSignal struct {
	name       string
	bad, total selector
	form       int   // labels that name the pod; -1 while not known
	since      int64 // from when on it counts
	seen       bool
	broken     error // its selectors do not parse
	err        error // why it could not be read in this round
}

// begin is a beginning that comes into force when the round succeeds.
type begin struct {
	arm  armIndex
	slot int32
	beginning
}

// tally is what a pod served in a round, by tick.
type tally struct {
	signals []tickCounts // errors, then the user's own
	latency [][]float64  // by tick: cumulative buckets, in order of tracked.bounds
}

type tickCounts struct{ total, bad []float64 }

// carry is the fraction of a count that did not fit into whole requests yet.
type carry struct{ total, bad float64 }

func (r *Reader) newTracked(s Subject, wholeOf bool, start int64) *tracked {
	look := r.opt.ScrapeLookback.Milliseconds()
	t := &tracked{
		wholeOf: wholeOf, start: start, pos: start, tick: r.tick, stale: true,
		slice: maxSliceTicks, counters: newCounters(look, keepLookbacks*look),
		boundAt: map[float64]int32{},
	}
	stable := podPrefix(s.Stable)
	if s.Stable == "" {
		stable = ""
	}
	newest := podPrefix(s.Release)
	t.arms[armStable].owner = owner{namespace: s.Namespace, prefix: stable}
	t.arms[armRelease].owner = owner{namespace: s.Namespace, prefix: newest}
	if wholeOf {
		t.arms[armStable].owner.workload = s.Workload + "-"
		t.arms[armStable].exists = true
	} else if newest != stable {
		t.arms[armRelease].exists = true
		t.arms[armStable].exists = stable != ""
	}
	for a := range t.arms {
		t.arms[a].offers = map[*dialect]int{}
		t.arms[a].begun = map[int32]beginning{}
		t.arms[a].form = -1
	}
	t.setCustom(s)
	return t
}

// setCustom takes the user's own signals from s. Selectors that do not parse
// are said in the notes.
func (t *tracked) setCustom(s Subject) {
	t.subject, t.stale, t.custom = s, true, nil
	for _, c := range s.Custom {
		cs := customSignal{name: c.Name, form: -1, since: t.pos}
		if cs.bad, cs.broken = parseSelector(c.Bad); cs.broken == nil {
			cs.total, cs.broken = parseSelector(c.Total)
		}
		t.custom = append(t.custom, cs)
	}
	for a := range t.arms {
		maps.DeleteFunc(t.arms[a].begun, func(slot int32, _ beginning) bool { return slot >= slotCustom })
	}
	for _, p := range t.counters.pods {
		p.carry = p.carry[:min(1, len(p.carry))]
	}
}

// sameRollout reports whether s is the rollout that is tracked.
func (t *tracked) sameRollout(s Subject) bool {
	return t.subject.Namespace == s.Namespace && t.subject.Workload == s.Workload && t.subject.Release == s.Release &&
		t.subject.Stable == s.Stable && t.subject.StartedAt.Equal(s.StartedAt)
}

func (t *tracked) sameCustom(s Subject) bool { return slices.Equal(t.subject.Custom, s.Custom) }

// bound is the index of a bucket bound given in seconds.
func (t *tracked) bound(seconds float64) int32 {
	i, ok := t.boundAt[seconds]
	if !ok {
		i = int32(len(t.bounds))
		t.boundAt[seconds] = i
		t.bounds = append(t.bounds, seconds)
	}
	return i
}

// dialectKnown reports whether some arm's requests can be counted.
func (t *tracked) dialectKnown() bool {
	return t.arms[armRelease].dialect != nil || t.arms[armStable].dialect != nil
}

// apply counts the round's entries up to a time and makes the readings of the
// ticks since the last round.
func (t *tracked) apply(to int64, lookMillis int64) {
	ticks := int((to - t.pos) / t.tick)
	newest := t.newestByTick(ticks, to)
	t.counters.add(t.entries, to, func(e *entry, millis int64, delta float64) {
		t.count(e, t.tickOf(millis, ticks), ticks, delta)
	})
	for i := range t.entries {
		e := &t.entries[i]
		if e.owner == nil {
			continue
		}
		if e.lane.slot <= slotLatency && !t.arms[e.lane.arm].counted {
			t.arms[e.lane.arm].counted = true
		}
		if c, ok := isCustom(e.lane.slot); ok && !t.custom[c].seen {
			t.custom[c].seen, t.stale = true, true
		}
		if e.lane.slot == slotLatency && e.class >= 0 {
			e.owner.exports(e.class)
		}
	}
	for _, b := range t.begins {
		t.arms[b.arm].begun[b.slot] = b.beginning
	}
	if newest == nil && ticks == 1 {
		newest = []int64{t.counters.last}
	}
	t.readings(ticks, func(k int) bool {
		end := t.pos + int64(k+1)*t.tick
		return newest[k] != noSample && newest[k] > end-lookMillis
	})
	t.pos = to
}

func (t *tracked) clearRound() {
	t.expect = len(t.entries)
	t.entries, t.begins = nil, nil
	for _, p := range t.counters.pods {
		p.tally = nil
	}
}

func (p *pod) exports(bound int32) {
	for int(bound) >= len(p.bounds) {
		p.bounds = append(p.bounds, false)
	}
	p.bounds[bound] = true
}

// newestByTick is the time of the newest sample not after the end of each
// tick; nil for a single one, where the counters know it.
func (t *tracked) newestByTick(ticks int, to int64) []int64 {
	if ticks == 1 {
		return nil
	}
	out := make([]int64, ticks)
	for k := range out {
		out[k] = t.counters.last
	}
	for i := range t.entries {
		for _, s := range t.entries[i].samples {
			if s.Millis <= to {
				k := t.tickOf(s.Millis, ticks)
				out[k] = max(out[k], s.Millis)
			}
		}
	}
	for k := 1; k < ticks; k++ {
		out[k] = max(out[k], out[k-1])
	}
	return out
}

// tickOf is the tick of the round that a sample belongs to. One that came late
// belongs to the first: its own was handed out already.
func (t *tracked) tickOf(millis int64, ticks int) int {
	k := int((millis-t.pos+t.tick-1)/t.tick) - 1
	return min(max(k, 0), ticks-1)
}

func (t *tracked) count(e *entry, k, ticks int, delta float64) {
	if e.class == classIgnored {
		return
	}
	y := e.owner.tally
	if y == nil {
		y = &tally{signals: make([]tickCounts, 1+len(t.custom))}
		e.owner.tally = y
	}
	if e.lane.slot == slotLatency {
		if y.latency == nil {
			y.latency = make([][]float64, ticks)
		}
		if y.latency[k] == nil {
			y.latency[k] = make([]float64, len(t.bounds))
		}
		y.latency[k][e.class] += delta
		return
	}
	sig := 0
	if i, ok := isCustom(e.lane.slot); ok {
		sig = 1 + i
	}
	c := &y.signals[sig]
	if c.total == nil {
		c.total, c.bad = make([]float64, ticks), make([]float64, ticks)
	}
	switch {
	case e.class == classBad && sig > 0: // its total is another selector
		c.bad[k] += delta
	case e.class == classBad:
		c.bad[k] += delta
		c.total[k] += delta
	default:
		c.total[k] += delta
	}
}

// whole takes the whole requests out of the carries.
func (c *carry) whole(total, bad float64) release.Count {
	const almost = 1e-6 // sums of fractions that mean a whole number
	c.total += total
	c.bad += bad
	n := release.Count{Total: int64(math.Floor(c.total + almost))}
	// Never more bad than there were: what is over waits for its total.
	n.Bad = min(int64(math.Floor(c.bad+almost)), n.Total)
	c.total -= float64(n.Total)
	c.bad -= float64(n.Bad)
	return n
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
