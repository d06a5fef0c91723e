package heldout

import (
	"fmt"
	"math"
)

// Versions of a workload.
const (
	stable = iota
	fresh  // the release's
)

// never is a time after all that is simulated.
const never = 1e12

// span is a time from and to, in seconds of the scene.
type span struct{ from, to float64 }

func (s span) holds(at float64) bool { return at >= s.from && at < s.to }

// workload is one Deployment. Times are seconds of the scene, whose zero is the
// start of its first rollout.
type workload struct {
	scene           *scene
	namespace, name string
	sets            [2]string
	images, digests [2]string
	created         [2]float64
	start           float64 // of its rollout; never for one that only calls
	completed       float64 // when the last new pod is available
	replicas        int
	startup         float64 // seconds until a pod is ready, at the least
	minReady        float64 // seconds that it must have been, to count
	hold            hold
	pods            []*pod

	dialect dialect
	faults  string // the code of a failure
	routes  []route
	rate    float64 // requests per second
	base    float64 // share of requests that fail
	burst   float64 // mean number of failures that come together
	refusal float64 // share of requests that are the client's fault
	median  float64 // seconds
	sigma   float64
	memory  float64 // bytes
	preset  bool    // counters are there from the start, at zero

	hooks
	claims

	weights [2][]float64 // of the pods of a version that take requests, by second
	demand  []float64    // requests by second
	noise   []float64    // of the log of the median, by 5 seconds
	callers []*caller
}

// route is a part of what a workload serves.
type route struct {
	name         string
	weight, slow float64 // slow: factor on the median
}

// hold is a rollout that waits with a part of the new pods until a time.
type hold struct{ part, until float64 }

// hooks are what makes families differ; nil: nothing.
type hooks struct {
	desired func(at float64) int                     // replicas
	fail    func(p *pod, r int, at float64) float64  // share that fails, instead of base
	slow    func(p *pod, at float64) float64         // factor on the median
	tail    func(p *pod) float64                     // share that takes five times as long
	load    func(at float64) float64                 // factor on the rate
	mix     func(at float64) float64                 // factor on the last route's weight
	hangs   func(p *pod, at float64) bool            // requests are taken and never finished
	refuses func(p *pod, at float64) float64         // share that never gets to the pod: only callers see it
	bloat   func(p *pod, at float64) float64         // factor on the memory
	crashes func(p *pod) []outage                    // drawn at its birth
	missed  float64                                  // share of scrapes that fail
	silent  span                                     // nothing is stored
	linger  func(p *pod) (serving, existing float64) // seconds after it was told to stop
	onset   func() float64                           // once the pods' lives are known
}

// claims are what is true of the release.
type claims struct {
	family                   string
	regressed, ambiguous     bool
	kind, effect, affectedBy string
}

// outage is a time in which the container of a pod does not run.
type outage struct {
	span
	reason  string // why it ended
	backoff bool   // the kubelet waits
	ready   float64
}

// pod is one with what it has counted since its container began.
type pod struct {
	of                      *workload
	version, index          int
	name, uid, ip, instance string
	born, ready             float64
	stop                    float64 // it is told to
	serves                  float64 // until then it takes requests
	gone                    float64
	weight                  float64 // share of the requests, against others
	downs                   []outage
	due                     []float64 // requests up to each second, expected
	at                      float64   // up to when its requests were drawn
	tally
	pending float64 // failures of a burst that has begun
	calls   []*caller
}

func (p *pod) isNew() bool { return p.version == fresh }

// down is the outage in which a pod's container is, or nil.
func (p *pod) down(at float64) *outage {
	for i := range p.downs {
		if p.downs[i].holds(at) {
			return &p.downs[i]
		}
	}
	return nil
}

// takes tells whether a pod is sent requests.
func (p *pod) takes(at float64) bool { return at >= p.ready && at < p.serves && p.sound(at) }

// sound tells whether its container runs, and has done for long enough.
func (p *pod) sound(at float64) bool {
	for i := range p.downs {
		if at >= p.downs[i].from && at < p.downs[i].ready {
			return false
		}
	}
	return true
}

// restarts is how often its container was started again.
func (p *pod) restarts(at float64) (n int, last string) {
	for i := range p.downs {
		if at >= p.downs[i].from {
			last = p.downs[i].reason
		}
		if at >= p.downs[i].to {
			n++
		}
	}
	return n, last
}

var (
	names      = []string{"web", "cart", "search", "users", "billing", "mail", "feed", "stock", "checkout", "media", "auth", "pricing"}
	routeNames = []string{"/api/list", "/api/item", "/api/order", "/api/report"}
	methods    = []string{"List", "Get", "Order", "Report"}
)

// draw makes a workload that is as yet without fault.
func (s *scene) draw(start float64) *workload {
	d := s.dice
	w := &workload{
		scene: s, namespace: s.namespace, name: fmt.Sprintf("%s-%d", pick(d, names...), s.number),
		start: start, replicas: 2 + d.IntN(11), startup: d.between(10, 30), minReady: pick(d, 5.0, 10, 20, 30, 45),
		rate: pick(d, 0.5, 2, 2, 10, 10, 50, 50, 200, 500), base: pick(d, 0, 0.0005, 0.0005, 0.002, 0.002, 0.01, 0.05),
		burst: 1, refusal: pick(d, 0, 0, 0.01, 0.03), median: math.Exp(d.between(math.Log(0.01), math.Log(0.4))),
		sigma: d.between(0.4, 0.9), memory: d.between(8e7, 6e8), preset: d.IntN(2) == 0,
	}
	if len(s.workloads) > 0 {
		w.name = fmt.Sprintf("%s-%db", pick(d, names...), s.number)
	}
	if d.Float64() < 0.3 {
		w.burst = d.between(3, 10)
	}
	if w.replicas > 6 && d.IntN(2) == 0 {
		w.replicas -= 5 // small ones are the more common
	}
	w.dialect = drawDialect(d)
	w.faults = pick(d, w.dialect.faults...)
	w.identify()
	w.drawRoutes()
	return w
}

// identify makes names as Kubernetes does, and images.
func (w *workload) identify() {
	d := w.scene.dice
	version := 10 + d.IntN(300)
	for i := range w.sets {
		w.sets[i] = w.name + "-" + d.letters(8+d.IntN(3), kubeLetters)
		w.images[i] = fmt.Sprintf("registry.example/shop/%s:v1.%d", w.name, version+i)
		w.digests[i] = "registry.example/shop/" + w.name + "@sha256:" + d.letters(64, hexLetters)
	}
	w.created = [2]float64{-math.Floor(d.between(30, 200)) * 3600, w.start}
}

// drawRoutes makes two to four, the i-th asked for 1/i as often as the first.
func (w *workload) drawRoutes() {
	d := w.scene.dice
	for i := range 2 + d.IntN(3) {
		name := routeNames[i]
		if w.dialect.methods {
			name = methods[i]
		}
		w.routes = append(w.routes, route{name, math.Pow(float64(i+1), -1.2), math.Exp(d.between(-0.5, 0.5))})
	}
}

// bystander makes a workload that calls and is not rolled out.
func (s *scene) bystander() *workload {
	w := s.draw(never)
	w.name = "frontend-" + w.name
	w.identify()
	w.replicas, w.rate = 2, 0
	return w
}

// failure is the share of a route's requests that fail at a pod.
func (w *workload) failure(p *pod, r int, at float64) float64 {
	if w.fail == nil {
		return w.base
	}
	return math.Min(w.fail(p, r, at), 0.95)
}

// medianAt is that of a route at a pod, without noise.
func (w *workload) medianAt(p *pod, r int, at float64) float64 {
	m := w.median * w.routes[r].slow
	if w.slow != nil {
		m *= w.slow(p, at)
	}
	return m
}

// long is the share of requests that takes five times as long.
func (w *workload) long(p *pod) float64 {
	if w.tail == nil {
		return 0
	}
	return w.tail(p)
}

// shares are the routes' shares of the requests.
func (w *workload) shares(at float64) []float64 {
	out := make([]float64, len(w.routes))
	sum := 0.0
	for i, r := range w.routes {
		out[i] = r.weight
		if i == len(out)-1 && w.mix != nil {
			out[i] *= w.mix(at)
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// freshShare is the release's share of the requests.
func (w *workload) freshShare(at float64) float64 {
	i := w.scene.second(at)
	if all := w.weights[stable][i] + w.weights[fresh][i]; all > 0 {
		return w.weights[fresh][i] / all
	}
	return 0
}
