package corpus

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// sim is the simulation of one world.
type sim struct {
	rand       *rand.Rand
	opt        Options
	family     Family
	begin, end time.Time
	namespace  string
	kubeAt     time.Duration // offset of kube-state-metrics' scrapes
	workloads  []*workload
	series     []*Series
	sound      []string // earlier releases, as namespace/replicaset
	sets       []string // that were stable in earlier rollouts, by how many before

	kube        map[string]*Series
	noise, wave float64 // of latency and of load, shared by all pods
}

type arm int

const (
	stable arm = iota
	fresh      // the release's
)

// workload is one Deployment that is rolled out.
type workload struct {
	name     string
	sets     [2]string
	images   [2]string
	start    time.Time
	since    time.Time // when the stable version was rolled out; zero: long ago
	replicas int
	pods     []*pod
	dialect  dialect
	rate     float64 // requests per second
	routes   []route
	base     float64 // share of requests that fail
	burst    float64 // mean size of a burst of failures
	median   float64 // seconds
	sigma    float64
	memory   float64 // bytes

	// What makes families differ; nil: nothing.
	failing func(p *pod, r int, at time.Time) float64 // instead of base
	slower  func(p *pod, r int, at time.Time) float64 // factor on the median
	tail    func(p *pod, at time.Time) float64        // share of requests that take five times as long
	load    func(at time.Time) float64                // factor on the rate
	mix     func(at time.Time) float64                // factor on the last route's weight
	serves  func(p *pod, at time.Time) bool           // false: requests are taken and never finished
	refused func(p *pod, at time.Time) float64        // share that never gets to the pod: only callers see it
	missed  func(at time.Time) bool                   // scrapes of pods that fail
	silent  func(at time.Time) bool                   // nothing at all is stored
	leak    func(p *pod, at time.Time) float64        // factor on the memory
	waiting func(p *pod, at time.Time) string         // the reason for which its container waits
	killed  func(p *pod, at time.Time) int            // restarts for want of memory so far

	regressed, ambiguous bool
	kind, effect         string
	onset                time.Time
	affectedBy           string
	bystander            bool
	seen                 *caller
	minutes              []Minute
}

type route struct {
	name   string
	weight float64
	slow   float64 // factor on the median
}

type pod struct {
	of                *workload
	arm               arm
	index             int
	name              string
	born, ready, gone time.Time
	scrapeAt          time.Duration
	counted           time.Time // up to when its requests were drawn
	total             [][2]float64
	buckets           [][]float64
	sum               []float64
	cpu               float64
	series            []*Series
}

func (p *pod) there(at time.Time) bool { return !at.Before(p.born) && at.Before(p.gone) }
func (p *pod) takes(at time.Time) bool { return !at.Before(p.ready) && at.Before(p.gone) }

const hashLetters = "bcdfghjklmnpqrstvwxz2456789"

func (s *sim) letters(n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = hashLetters[s.rand.IntN(len(hashLetters))]
	}
	return string(out)
}

func pick[T any](s *sim, of ...T) T { return of[s.rand.IntN(len(of))] }

// draw makes a workload and its rollout, as yet without fault.
func (s *sim) draw() *workload {
	w := &workload{
		name: pick(s, "web", "cart", "search", "users", "billing", "mail", "feed", "stock") + "-" + s.letters(4),
		// A ReplicaSet's creation is told in whole seconds.
		start:    s.opt.Start.Add(time.Duration(s.rand.IntN(60)) * time.Second).Truncate(time.Second),
		replicas: 2 + s.rand.IntN(7),
		rate:     pick(s, 2.0, 10, 50, 200), base: pick(s, 0, 0.0005, 0.002, 0.01, 0.03),
		burst: pick(s, 1.0, 1, 1, 3, 8), median: pick(s, 0.02, 0.08, 0.3), sigma: 0.5 + 0.4*s.rand.Float64(),
		memory: 1e8 * (1 + 4*s.rand.Float64()), dialect: pick(s, dialects...),
	}
	w.sets = [2]string{w.name + "-" + s.letters(9), w.name + "-" + s.letters(9)}
	w.images = [2]string{"shop/" + w.name + ":1", "shop/" + w.name + ":2"}
	for i, n := 0, 2+s.rand.IntN(3); i < n; i++ {
		w.routes = append(w.routes, route{fmt.Sprintf("/api/%s", []string{"list", "item", "order", "report"}[i]), 1 / float64(i+1), []float64{1, 0.7, 1.5, 3}[i]})
	}
	s.schedule(w)
	return w
}

// origin is since when the stable pods run.
func (s *sim) origin() time.Time {
	return s.begin.Add(-time.Hour - time.Duration(s.family.Days)*24*time.Hour)
}

// schedule draws the lives of the pods: each new one takes the place of an old one
// once it is ready.
func (s *sim) schedule(w *workload) {
	gap := time.Duration(5+s.rand.IntN(30)) * time.Second
	if most := 5 * time.Minute / time.Duration(w.replicas); gap > most {
		gap = most
	}
	s.scheduleAt(w, gap)
}

// scheduleAt lets a new pod begin every gap.
func (s *sim) scheduleAt(w *workload, gap time.Duration) {
	for i := range w.replicas {
		born := w.start.Add(2*time.Second + time.Duration(i)*gap)
		ready := born.Add(time.Duration(8+s.rand.IntN(25)) * time.Second)
		w.pods = append(w.pods,
			s.newPod(w, stable, i, s.origin(), s.origin(), ready.Add(2*time.Second)),
			s.newPod(w, fresh, i, born, ready, s.end.Add(time.Hour)))
	}
}

func (s *sim) newPod(w *workload, a arm, index int, born, ready, gone time.Time) *pod {
	return &pod{
		of: w, arm: a, index: index, name: w.sets[a] + "-" + s.letters(5), born: born, ready: ready, gone: gone,
		scrapeAt: time.Duration(s.rand.IntN(int(s.opt.Scrape.Milliseconds()))) * time.Millisecond, counted: ready,
	}
}

// completed is when the last pod of the release is ready.
func (w *workload) completed() time.Time {
	var last time.Time
	for _, p := range w.pods {
		if p.arm == fresh && p.ready.After(last) {
			last = p.ready
		}
	}
	return last
}

// failure is the share of a route's requests that fail at a pod.
func (w *workload) failure(p *pod, r int, at time.Time) float64 {
	if w.failing == nil {
		return w.base
	}
	return math.Min(w.failing(p, r, at), 0.95)
}

func (w *workload) factor(p *pod, r int, at time.Time) float64 {
	f := w.routes[r].slow
	if w.slower != nil {
		f *= w.slower(p, r, at)
	}
	return f
}

func (w *workload) tailShare(p *pod, at time.Time) float64 {
	if w.tail == nil {
		return 0
	}
	return w.tail(p, at)
}

func (w *workload) demand(at time.Time) float64 {
	if w.load == nil {
		return w.rate
	}
	return w.rate * w.load(at)
}

// shares are the routes' shares of the requests.
func (w *workload) shares(at time.Time) []float64 {
	out := make([]float64, len(w.routes))
	sum := 0.0
	for i, r := range w.routes {
		out[i] = r.weight
		if i == len(w.routes)-1 && w.mix != nil {
			out[i] *= w.mix(at)
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// taking is how many pods of an arm take requests.
func (w *workload) taking(a arm, at time.Time) float64 {
	n := 0.0
	for _, p := range w.pods {
		if p.arm == a && p.takes(at) {
			n++
		}
	}
	return n
}

func (w *workload) truth(s *sim) Truth {
	return Truth{
		Namespace: s.namespace, Workload: w.name, ReplicaSet: w.sets[fresh], Previous: w.sets[stable],
		Family: s.family.Name, Regressed: w.regressed, Ambiguous: w.ambiguous, Kind: w.kind, Effect: w.effect,
		Requests: w.rate, Dialect: w.dialect.name, StartedAt: w.start, OnsetAt: w.onset, AffectedBy: w.affectedBy,
		Bound: w.bound(s), Power: w.power(s),
	}
}
