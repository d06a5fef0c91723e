package signal

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/count"
)

// armIndex is an arm as an index.
type armIndex int

const (
	armRelease armIndex = iota
	armStable
	armCount
)

func (a armIndex) name() release.Arm {
	if a == armRelease {
		return release.ArmRelease
	}
	return release.ArmStable
}

// tracked is a subject with all that is kept of it between reads.
type tracked struct {
	subject Subject
	wholeOf bool // history: the stable arm is every pod of the workload
	arms    [armCount]arm
	callers callers
	// resources that have series of the subject's pods.
	resources map[catalogue.ResourceSignal]resourceOffer
	custom    []customSignal
	feeds     []*feed

	start int64 // beginning of the first tick
	pos   int64 // end of the last tick that was counted
	until int64 // where the read is to end
	tick  int64
	look  int64 // the look-back, in milliseconds

	own      *count.Counters // what the pods export
	called   *count.Counters // what callers export
	exported *count.Counters // what the cluster's exporters tell of the pods
	pods     map[string]*pod
	known    map[string]Pod // that Kubernetes has told of, by name
	// When an exporter last told of any pod's readiness, in Unix milliseconds.
	readyHeard int64
	shapes     map[uint64]*nativeShape // of native histograms, by series
	schema     [viewCount]int8         // to which they are merged down

	// slice bounds how many ticks one round may cover; it shrinks when the
	// source finds them too expensive.
	slice    int
	attempts int // of discovery
	bounds   []float64
	boundAt  map[float64]int32
	strata   []string         // routes that are told apart; the rest comes after them
	routes   map[string]int32 // route → index in strata
	ranked   bool             // strata are settled
	findings findings
	pending  []Reading

	// Of the round that is being read:
	round roundOf
	err   error
	retry bool // in a shorter slice
}

// arm is what is known of one arm's pods.
type arm struct {
	owner   owner
	exists  bool
	offers  map[*catalogue.Dialect]*offer // what the pods export
	dialect *catalogue.Dialect            // that is read; nil while none is known
	counted bool                          // some series of the dialect was seen
	// switched: another dialect was counted before this one.
	switched bool
}

// offer is a dialect that is exported.
type offer struct {
	form int // labels that name the pod
	// In which forms the requests and the latencies stand.
	requests, requestsNative bool
	classic, native, sum     bool
}

// callers is what is known of what callers count of the workload.
type callers struct {
	offers  map[*catalogue.Dialect]*offer
	dialect *catalogue.Dialect
	// byPods: the series say which pod answered, so that the arms can be told apart.
	byPods map[*catalogue.Dialect]bool
	// sets are the ReplicaSets of the pods that call, as namespace/name.
	sets map[string]bool
}

// maxCallerSets bounds what is kept of who calls.
const maxCallerSets = 100

// calledBy notes whose pod exports a series about the workload.
func (c *callers) calledBy(namespace, pod string) {
	at := strings.LastIndexByte(pod, '-')
	if namespace == "" || at <= 0 || len(c.sets) >= maxCallerSets {
		return
	}
	if c.sets == nil {
		c.sets = map[string]bool{}
	}
	c.sets[namespace+"/"+pod[:at]] = true
}

type resourceOffer struct {
	resource *catalogue.Resource
	form     int
}

// customSignal is a user's own signal, ready to be asked for.
type customSignal struct {
	release.CustomSignal
	selectors []promql.Selector // bad and total, or the counter
	expr      promql.Expr       // of a gauge
	form      int               // labels that name the pod; -1 while not known
	since     int64             // from when on it counts
	seen      bool
	broken    error // it does not parse
}

// setCounters makes the counters, or has those that are there go by a new
// look-back.
func (t *tracked) setCounters(late int64) {
	opt := count.Options{GraceMillis: t.look, KeepMillis: keepLookbacks * t.look, LateMillis: late}
	if t.own == nil {
		t.own, t.called, t.exported = count.New(opt), count.New(opt), count.New(opt)
		return
	}
	for _, c := range []*count.Counters{t.own, t.called, t.exported} {
		c.SetOptions(opt)
	}
}

func (r *Reader) newTracked(s Subject, wholeOf bool, start int64) *tracked {
	t := &tracked{
		wholeOf: wholeOf, start: start, pos: start, tick: r.grid.tick, look: r.opt.ScrapeLookback.Milliseconds(),
		slice: r.opt.SliceTicks, boundAt: map[float64]int32{}, pods: map[string]*pod{}, shapes: map[uint64]*nativeShape{},
		resources: map[catalogue.ResourceSignal]resourceOffer{},
		callers:   callers{offers: map[*catalogue.Dialect]*offer{}, byPods: map[*catalogue.Dialect]bool{}},
	}
	t.schema = [viewCount]int8{maxSchema, maxSchema}
	t.findings.stale = true
	t.setCounters(r.late())
	for a := range t.arms {
		t.arms[a].offers = map[*catalogue.Dialect]*offer{}
		t.arms[a].owner = owner{namespace: s.Namespace, named: map[string]bool{}, ips: map[string]string{}}
	}
	rel, stable := &t.arms[armRelease], &t.arms[armStable]
	if s.Release != "" {
		rel.owner.prefix = podPrefix(s.Release)
	}
	if s.Stable != "" {
		stable.owner.prefix = podPrefix(s.Stable)
	}
	switch {
	case wholeOf:
		stable.exists = s.Workload != ""
		stable.owner.workload = s.Workload + "-"
		if s.Workload == "" {
			stable.owner.workload, stable.owner.prefix = "", ""
		}
		rel.owner.prefix = ""
	case rel.owner.prefix != stable.owner.prefix:
		rel.exists, stable.exists = rel.owner.prefix != "", stable.owner.prefix != ""
	case rel.owner.prefix != "" && slices.ContainsFunc(s.Pods, func(p Pod) bool { return p.Arm != "" }):
		// Their names begin alike, but Kubernetes says whose they are.
		rel.exists, stable.exists = true, true
		rel.owner.byName, stable.owner.byName = true, true
	}
	t.setPods(s)
	t.setCustom(s)
	return t
}

// setPods takes the pods that are known to exist. Those that are gone stay known
// while their samples may still be asked for.
func (t *tracked) setPods(s Subject) {
	t.subject.Pods, t.subject.Services = s.Pods, s.Services
	for a := range t.arms {
		clear(t.arms[a].owner.ips)
	}
	t.known = make(map[string]Pod, len(s.Pods))
	for _, p := range s.Pods {
		t.known[p.Name] = p
		for a := range armCount {
			o := &t.arms[a].owner
			if !t.arms[a].exists || !t.has(a, p) {
				continue
			}
			if !p.GoneAt.IsZero() && t.until > millis(p.GoneAt)+t.look {
				continue // nothing of it is still to come, and its address may be another's
			}
			o.named[p.Name] = true
			if p.IP == "" {
				continue
			}
			if other, ok := t.known[o.ips[p.IP]]; !ok || !other.CreatedAt.After(p.CreatedAt) {
				o.ips[p.IP] = p.Name
			}
		}
	}
}

// has reports whether a pod belongs to an arm.
func (t *tracked) has(a armIndex, p Pod) bool {
	if t.wholeOf {
		return a == armStable
	}
	if p.Arm != "" {
		return p.Arm == a.name()
	}
	prefix, ok := cutPod(p.Name)
	return ok && !t.arms[a].owner.byName && prefix == t.arms[a].owner.prefix
}

// pruneNamed forgets pods by name that neither exist nor were scraped lately.
func (t *tracked) pruneNamed() {
	for a := range t.arms {
		maps.DeleteFunc(t.arms[a].owner.named, func(name string, _ bool) bool {
			p := t.pods[name]
			gone := p == nil || p.own.newest < t.pos-t.look
			known, told := t.known[name]
			return gone && (!told || !known.GoneAt.IsZero())
		})
	}
}

// workload is how series of callers name the subject.
func (t *tracked) workload() catalogue.Workload {
	w := catalogue.Workload{Namespace: t.subject.Namespace, Name: t.subject.Workload, Services: t.subject.Services}
	for a := range t.arms {
		for ip := range t.arms[a].owner.ips {
			w.PodIPs = append(w.PodIPs, ip)
		}
	}
	slices.Sort(w.PodIPs)
	return w
}

// setCustom takes the user's own signals from s. What does not parse is said in
// the notes.
func (t *tracked) setCustom(s Subject) {
	pods, services := t.subject.Pods, t.subject.Services
	t.subject, t.findings.stale, t.custom = s, true, nil
	if s.Pods == nil {
		t.subject.Pods, t.subject.Services = pods, services
	}
	for _, c := range s.Custom {
		cs := customSignal{CustomSignal: c, form: -1, since: t.pos}
		cs.parse()
		t.custom = append(t.custom, cs)
	}
	t.feeds = slices.DeleteFunc(t.feeds, func(f *feed) bool { return f.what >= feedBad })
	for _, p := range t.pods {
		p.carry = nil
		p.cells = nil
	}
}

func (c *customSignal) parse() {
	if c.Gauge != "" {
		c.expr, c.broken = promql.ParseVector(c.Gauge)
		return
	}
	for _, text := range c.texts() {
		sel, err := promql.ParseSelector(text)
		if err != nil {
			c.broken = err
			return
		}
		c.selectors = append(c.selectors, sel)
	}
}

func (c *customSignal) texts() []string {
	if c.Counter != "" {
		return []string{c.Counter}
	}
	return []string{c.Bad, c.Total}
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
		i = int32(len(t.boundAt))
		t.boundAt[seconds] = i
		t.bounds = append(t.bounds, seconds)
	}
	return i
}

// dialectKnown reports whether some arm's requests can be counted.
func (t *tracked) dialectKnown() bool {
	return t.arms[armRelease].dialect != nil || t.arms[armStable].dialect != nil
}

// essential reports whether the subject cannot be read without the feed.
func (t *tracked) essential(f *feed) bool {
	return f.breadth() == 0 || (!t.dialectKnown() && f.view == viewCallers && (f.what == feedRequests || f.requests))
}

func (t *tracked) behind() bool { return t.err == nil && t.pos < t.until }

func sortTracked(all []*tracked) {
	slices.SortFunc(all, func(a, b *tracked) int {
		if c := strings.Compare(a.subject.Namespace, b.subject.Namespace); c != 0 {
			return c
		}
		return strings.Compare(string(a.subject.ID), string(b.subject.ID))
	})
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// whole takes the whole requests out of the carries.
func (c *carry) whole(total, bad float64) release.Count {
	const (
		almost = 1e-6    // sums of fractions that mean a whole number
		most   = 1 << 53 // up to here floats count by ones
	)
	c.total = math.Min(c.total+total, most)
	c.bad = math.Min(c.bad+bad, most)
	n := release.Count{Total: int64(math.Floor(c.total + almost))}
	// Never more bad than there were: what is over waits for its total.
	n.Bad = min(int64(math.Floor(c.bad+almost)), n.Total)
	c.total -= float64(n.Total)
	c.bad -= float64(n.Bad)
	return n
}

// carry is the fraction of a count that did not fit into whole requests yet.
type carry struct{ total, bad float64 }
