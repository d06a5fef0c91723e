package backtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/watchtower-verify/watchtower/bench/memory"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/rules"
)

// epoch is where the tests' time begins; start is when the release does.
var (
	epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	start = epoch.Add(40*time.Minute + 7*time.Second)
)

const scrape = 15 * time.Second

// world is a Deployment that is rolled out, and what is stored of it.
type world struct {
	*memory.Store
	rand     *rand.Rand
	exported bool // the scrape renamed conflicting labels
	twice    bool // two kube-state-metrics tell of it
	sets     []*rollout
	rate     float64 // requests per second of the workload
	silent   func(at time.Time) bool
	unready  time.Time // until then the release's pods are not ready
	// begin and until are the first and the end of the scrapes.
	begin, until time.Time
}

// rollout is one ReplicaSet: when it is created and from when to when it has pods.
type rollout struct {
	name, image string
	created     time.Time
	from, to    time.Time
	bad         float64
	serves      func(at time.Time) bool
	badFrom     time.Time // until then it is as the first
	wellFrom    time.Time // and from then on; zero: never
	trouble     string    // a reason to wait that its containers have
}

func newWorld() *world {
	return &world{Store: memory.New(), rand: rand.New(rand.NewPCG(1, 2)), rate: 20, begin: epoch, until: epoch.Add(2 * time.Hour)}
}

// standard is an old version and a release that takes over.
func (w *world) standard(bad float64) *world {
	w.sets = []*rollout{
		{name: "web-5c7bffbd", image: "shop/web:1", created: epoch.Add(-time.Hour), from: epoch.Add(-time.Hour), to: start.Add(3 * time.Minute), bad: 0.002},
		{name: "web-6d5f7c9b8", image: "shop/web:2", created: start, from: start.Add(10 * time.Second), to: w.until, bad: bad},
	}
	return w
}

// hurting is a workload of which each new version fails for its first minutes: version n
// is rolled out n hours after the first.
func (w *world) hurting(versions int) *world {
	w.until = epoch.Add(time.Duration(versions) * time.Hour)
	for n := range versions {
		created := epoch.Add(time.Duration(n) * time.Hour).Add(7 * time.Second)
		w.sets = append(w.sets, &rollout{
			name: versionName(n), image: fmt.Sprintf("shop/web:%d", n), created: created, from: created.Add(10 * time.Second),
			to: created.Add(time.Hour + 3*time.Minute), bad: 0.05, wellFrom: created.Add(10 * time.Minute),
		})
	}
	first := w.sets[0]
	first.created, first.from, first.bad = epoch.Add(-time.Hour), epoch.Add(-time.Hour), 0.002
	return w.store()
}

// versionName is the ReplicaSet of a version of a workload that hurts.
func versionName(n int) string { return "web-6d5f7c9b" + string("bcdfg"[n]) }

const podsEach = 3

func podOf(set *rollout, i int) string { return set.name + "-x7k2" + string("bcdfg"[i]) }

func (r *rollout) there(at time.Time) bool { return !at.Before(r.from) && at.Before(r.to) }

// store writes all scrapes of two hours.
func (w *world) store() *world {
	served := map[string]*[2]float64{}
	for at := w.begin; at.Before(w.until); at = at.Add(scrape) {
		if w.silent != nil && w.silent(at) {
			continue
		}
		live := 0
		for _, set := range w.sets {
			if set.there(at) && set.trouble == "" && (set.serves == nil || set.serves(at)) {
				live += podsEach
			}
		}
		for _, set := range w.sets {
			w.kubeState(at, set)
			for i := range podsEach {
				pod := podOf(set, i)
				if !set.there(at) {
					continue
				}
				n := served[pod]
				if n == nil {
					n = &[2]float64{}
					served[pod] = n
				}
				if set.trouble == "" && (set.serves == nil || set.serves(at)) {
					total := distuv.Poisson{Lambda: w.rate * scrape.Seconds() / float64(live), Src: w.rand}.Rand()
					p := set.bad
					if at.Before(set.badFrom) || !set.wellFrom.IsZero() && !at.Before(set.wellFrom) {
						p = w.sets[0].bad
					}
					bad := distuv.Binomial{N: total, P: p, Src: w.rand}.Rand()
					n[0], n[1] = n[0]+total-bad, n[1]+bad
				}
				w.application(at.Add(time.Duration(i+1)*time.Second), pod, *n)
			}
		}
	}
	return w
}

func (w *world) application(at time.Time, pod string, n [2]float64) {
	w.Put(at, n[0], "__name__=http_requests_total", "namespace=shop", "pod="+pod, "code=200", "handler=/cart")
	w.Put(at, n[1], "__name__=http_requests_total", "namespace=shop", "pod="+pod, "code=500", "handler=/cart")
}

// kubeState writes what kube-state-metrics tells of a ReplicaSet and its pods.
func (w *world) kubeState(at time.Time, set *rollout) {
	if at.Before(set.created) {
		return
	}
	instances := []string{"a"}
	if w.twice {
		instances = append(instances, "b")
	}
	for _, instance := range instances {
		put := func(v float64, metric string, pairs ...string) {
			ns := []string{"namespace=shop"}
			if w.exported {
				ns = []string{"namespace=monitoring", "exported_namespace=shop"}
			}
			w.Put(at, v, append(append([]string{"__name__=" + metric, "instance=" + instance}, ns...), pairs...)...)
		}
		there := 0.0
		if set.there(at) {
			there = podsEach
		}
		put(float64(set.created.Unix()), "kube_replicaset_created", "replicaset="+set.name)
		put(1, "kube_replicaset_owner", "replicaset="+set.name, "owner_kind=Deployment", "owner_name=web")
		put(there, "kube_replicaset_spec_replicas", "replicaset="+set.name)
		ready := there
		if set.trouble != "" || set == w.sets[len(w.sets)-1] && at.Before(w.unready) {
			ready = 0
		}
		put(ready, "kube_replicaset_status_ready_replicas", "replicaset="+set.name)
		for i := range podsEach {
			if there == 0 {
				break
			}
			pod := []string{"pod=" + podOf(set, i)}
			if w.exported {
				pod = []string{"pod=kube-state-metrics-0", "exported_" + pod[0]}
			}
			put(1, "kube_pod_owner", append(pod, "owner_kind=ReplicaSet", "owner_name="+set.name)...)
			put(float64(set.from.Unix()), "kube_pod_created", pod...)
			put(1, "kube_pod_container_info", append(pod, "container=web", "image="+set.image, "image_id=shop/web@sha256:"+set.name)...)
			put(ready/podsEach, "kube_pod_status_ready", append(pod, "condition=true")...)
			put(1-ready/podsEach, "kube_pod_status_ready", append(pod, "condition=false")...)
			if set.trouble != "" {
				put(1, "kube_pod_container_status_waiting_reason", append(pod, "container=web", "reason="+set.trouble)...)
			}
		}
	}
}

func builtin(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	cat, err := catalogue.Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func options() Options {
	return Options{
		From: epoch, To: epoch.Add(2 * time.Hour), Observe: 30 * time.Minute, Tick: 15 * time.Second, Workers: 2,
		Policy: func(string, string) release.Policy {
			p := release.DefaultPolicy()
			p.Autonomy = release.AutonomyAuto
			return p
		},
	}
}

func replayed(t testing.TB, w *world, change func(*Options)) *Report {
	t.Helper()
	opt := options()
	if change != nil {
		change(&opt)
	}
	r, err := Run(context.Background(), builtin(t), w, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
