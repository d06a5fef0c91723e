package tests

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/service"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

const (
	workload = "webapp"
	good     = "mycompany/webapp:v1"
	better   = "mycompany/webapp:v2"
	bad      = "mycompany/webapp:broken" // fails 20 % of all requests
)

// fastPolicy lets a test see a whole observation. Pods have five minutes to
// become ready, as a machine that does much else may need them: who is called
// regressed for that is no baseline for the next.
const fastPolicy = `autonomy: auto
observe: 10m
warmup: 0s
history: 10m
source_grace: 10s
ready_within: 5m`

var notInNames = regexp.MustCompile("[^a-z0-9]+")

var crowding sync.Mutex

// crowd starts many pods while no other test does: all of them at once would
// keep each other, and the few of the smaller tests, from becoming ready.
func crowd(start func()) {
	crowding.Lock()
	defer crowding.Unlock()
	start()
}

// scene is one test's corner of the lab: a namespace with a workload, traffic
// to it, and a Watchtower that sees nothing else.
type scene struct {
	t    *testing.T
	ns   string
	name string // of the workload
	*service.Service
}

// of is the same scene for another workload of it, and another test.
func (s *scene) of(t *testing.T, name string) *scene {
	return &scene{t: t, ns: s.ns, name: name, Service: s.Service}
}

// manyAtOnce keeps the breaker closed: two dozen workloads that regress at once are
// no incident here.
const manyAtOnce = "actions: {breaker: {rollbacks: 1000, rollbacks_per_namespace: 1000, regressions: 1000}}"

// newScene makes the corner; change, when given, alters what Watchtower is
// told of the outside. Watchtower is not started.
func newScene(t *testing.T, change func(*service.Config)) *scene {
	t.Helper()
	ns := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	ns = strings.Trim(ns[max(0, len(ns)-50):], "-")
	cfg := service.Config{
		Binary: binary, Dir: t.TempDir(), Namespaces: []string{ns}, Policy: fastPolicy,
		More: manyAtOnce,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := service.New(theLab.Info(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	sc := &scene{t: t, ns: ns, name: workload, Service: s}
	t.Cleanup(func() {
		_ = s.Kill()
		if t.Failed() {
			t.Logf("watchtower's log ends:\n%s", s.LogTail(40))
		}
		_ = theLab.Client().CoreV1().Namespaces().Delete(context.Background(), ns, metav1.DeleteOptions{})
	})
	return sc
}

// start starts Watchtower.
func (s *scene) start() {
	s.t.Helper()
	if err := s.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// deploy rolls the workload to an image; change alters the rest of the spec.
func (s *scene) deploy(image string, change func(*deployment.Spec)) {
	s.t.Helper()
	spec := deployment.Spec{Namespace: s.ns, Name: s.name, Image: image}
	if change != nil {
		change(&spec)
	}
	if _, _, err := deployment.Apply(s.t.Context(), theLab.Client(), spec); err != nil {
		s.t.Fatal(err)
	}
}

// serve deploys the first version with two replicas, sends it traffic and lets
// it have a past.
func (s *scene) serve(requestsPerSecond float64, change func(*deployment.Spec)) {
	s.t.Helper()
	s.deploy(good, func(d *deployment.Spec) {
		d.Replicas = ptr(int32(2))
		if change != nil {
			change(d)
		}
	})
	s.rolled()
	if requestsPerSecond > 0 {
		s.traffic(requestsPerSecond)
		time.Sleep(25 * time.Second)
	}
}

// rolled waits until the workload's rollout is complete. It has patience for a
// controller that waits longer and longer for an API server that was away.
func (s *scene) rolled() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	if err := deployment.WaitReady(ctx, theLab.Client(), s.ns, s.name); err != nil {
		s.t.Fatal(err)
	}
}

// traffic sends requests until the end of the test, or until the function that
// it returns is called, which waits for the answers.
func (s *scene) traffic(rate float64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = traffic.Run(ctx, traffic.Config{
			Client: theLab.Client(), Namespace: s.ns, Selector: "app=" + s.name, Rate: rate, Duration: 10 * time.Minute,
		})
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

// wait waits until the release of an image is as done says.
func (s *scene) wait(image string, limit time.Duration, what string, done func(*service.Record) bool) *service.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	rec, err := s.Wait(ctx, s.ns, s.name, image, done)
	if err != nil {
		if rec != nil {
			v := rec.Verdict
			for _, e := range v.Evidence {
				s.t.Logf("%s against %s: %d of %d bad, before %d of %d; %s", e.Signal, e.Baseline, e.Release.Bad, e.Release.Total, e.Stable.Bad, e.Stable.Total, e.Reason)
			}
			s.t.Fatalf("no %s of %s within %s; it is %s, e-value %.3g: %s; %s; actions %v", what, image, limit, v.Kind, v.EValue, v.Summary, v.Reason, rec.Actions)
		}
		s.t.Fatalf("no %s of %s within %s: %v", what, image, limit, err)
	}
	return rec
}

// verdict waits for a verdict of one of the kinds.
func (s *scene) verdict(image string, limit time.Duration, kinds ...string) *service.Record {
	s.t.Helper()
	return s.wait(image, limit, "verdict "+strings.Join(kinds, " or "), func(r *service.Record) bool {
		for _, k := range kinds {
			if r.Verdict.Kind == k {
				return true
			}
		}
		return false
	})
}

// settled waits until an action has the state.
func (s *scene) settled(image, kind, state string, limit time.Duration) *service.Record {
	s.t.Helper()
	return s.wait(image, limit, kind+" "+state, func(r *service.Record) bool {
		a, ok := r.Action(kind)
		return ok && a.State == state
	})
}

// current is the workload's Deployment as it stands.
func (s *scene) current() *appsv1.Deployment {
	s.t.Helper()
	d, err := theLab.Client().AppsV1().Deployments(s.ns).Get(s.t.Context(), s.name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// runs checks which image the Deployment asks for.
func (s *scene) runs(image string) {
	s.t.Helper()
	if got := s.current().Spec.Template.Spec.Containers[0].Image; got != image {
		s.t.Errorf("the Deployment asks for %s, want %s", got, image)
	}
}

// never checks for a while that no release of the image has one of the kinds.
func (s *scene) never(image string, during time.Duration, kinds ...string) {
	s.t.Helper()
	end := time.Now().Add(during)
	for time.Now().Before(end) {
		rec, err := s.ByImage(s.t.Context(), s.ns, s.name, image)
		if err == nil && rec != nil {
			for _, k := range kinds {
				if rec.Verdict.Kind == k {
					s.t.Fatalf("%s was found %s: %s; %s", image, k, rec.Verdict.Summary, rec.Verdict.Reason)
				}
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func always(*service.Record) bool { return true }

func ptr[T any](v T) *T { return &v }
