package heldout

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// scene is a release, or two that overlap, with all that belongs to it. Its times
// are seconds from the start of the first rollout.
type scene struct {
	dice
	opt       Options
	store     *store
	family    Family
	ordinal   int
	number    int
	start     time.Time
	from, to  float64
	namespace string
	workloads []*workload // those that are not rolled out last
	targets   []*target
	// afterwards is done once all pods' lives are known.
	afterwards []func()
}

// newScene sets a scene up, of which nothing is stored yet.
func newScene(opt Options, st *store, j job, number int) *scene {
	s := &scene{
		dice: diceOf(opt.Seed, number), opt: opt, store: st, family: j.family,
		ordinal: j.ordinal, number: number, start: j.start,
		from: -past.Seconds(), to: (opt.Observe + after).Seconds(),
	}
	s.namespace = fmt.Sprintf("team-%02d", s.IntN(36))
	s.cast()
	for _, w := range s.workloads {
		w.schedule()
		w.spreadLoad()
	}
	for _, do := range s.afterwards {
		do()
	}
	for _, w := range s.workloads {
		for _, p := range w.pods {
			if p.version == stable {
				p.history()
			}
		}
		if w.family == "" {
			w.family = j.family.Name
		}
	}
	return s
}

// cast makes the workloads.
func (s *scene) cast() {
	if s.family.cast != nil {
		s.family.cast(s)
		return
	}
	w := s.draw(0)
	s.workloads = []*workload{w}
	s.family.change(s, w)
}

// second is the index of a time in what is laid down by the second.
func (s *scene) second(at float64) int {
	return int(math.Min(math.Max(at-s.from, 0), s.to-s.from))
}

// millis is a time of the scene as it is stored.
func (s *scene) millis(at float64) int64 { return s.start.UnixMilli() + int64(math.Round(at*1000)) }

// time is a time of the scene.
func (s *scene) time(at float64) time.Time { return time.UnixMilli(s.millis(at)).UTC() }

// play scrapes everything, interval by interval, each target at its own moment.
func (s *scene) play() {
	s.watch()
	slices.SortStableFunc(s.targets, func(a, b *target) int { return cmp.Compare(a.offset, b.offset) })
	every := s.opt.Scrape.Milliseconds()
	first, last := s.millis(s.from)/every+1, s.millis(s.to)/every
	for round := first; round < last; round++ {
		for _, t := range s.targets {
			t.round, t.millis = round, round*every+t.offset
			t.collect(t, float64(t.millis-s.start.UnixMilli())/1000)
		}
	}
	for _, t := range s.targets {
		for _, series := range t.series {
			series.end()
		}
	}
}

// target adds one that is scraped at a moment of its own.
func (s *scene) target(collect func(t *target, at float64)) {
	s.targets = append(s.targets, &target{scene: s, offset: s.Int64N(s.opt.Scrape.Milliseconds()), collect: collect})
}

// watch makes the targets: kube-state-metrics, and of each pod itself and its
// kubelet.
func (s *scene) watch() {
	s.targets = append(s.targets, &target{scene: s, offset: s.opt.kubeOffset(), collect: s.kubeState()})
	for _, w := range s.workloads {
		for _, p := range w.pods {
			s.target(p.exporter())
			s.target(p.kubelet())
		}
	}
}

// truth is what is true of the scene's releases.
func (s *scene) truth() []Release {
	var out []Release
	for _, w := range s.workloads {
		if w.start >= never {
			continue
		}
		r := Release{
			Namespace: w.namespace, Workload: w.name, ReplicaSet: w.sets[fresh], Previous: w.sets[stable],
			Family: w.family, Regressed: w.regressed, Ambiguous: w.ambiguous, Kind: w.kind, Effect: w.effect,
			Traffic: fmt.Sprintf("%g/s", w.rate), Requests: w.rate, Dialect: w.dialect.name,
			StartedAt: s.time(w.start), AffectedBy: w.affectedBy, BoundSeconds: w.bound(),
		}
		if w.regressed {
			r.OnsetAt = s.time(w.harmFrom())
		}
		out = append(out, r)
	}
	return out
}

// harmFrom is when a regression first does harm: at its first new pod that serves,
// where the family says nothing else.
func (w *workload) harmFrom() float64 {
	if w.onset != nil {
		return w.onset()
	}
	return w.firstReady()
}

// firstReady is when the release's first pod is.
func (w *workload) firstReady() float64 {
	first := never
	for _, p := range w.pods {
		if p.isNew() {
			first = math.Min(first, p.ready)
		}
	}
	return first
}
