package traffic

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pod(name, ip string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": "webapp"}},
		Status:     corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
}

// listen serves on one port of each address.
func listen(t *testing.T, handlers map[string]http.HandlerFunc) (port int) {
	t.Helper()
	for ip, handler := range handlers {
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if port != 0 {
			_ = listener.Close()
			listener, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(ip), Port: port})
		}
		if err != nil {
			t.Fatal(err)
		}
		port = listener.Addr().(*net.TCPAddr).Port
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return port
}

func TestRunSpreadsOverReadyPodsAndCountsAnswers(t *testing.T) {
	var one, two, three atomic.Int64
	answer := func(n *atomic.Int64, code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(code) }
	}
	port := listen(t, map[string]http.HandlerFunc{
		"127.88.0.1": answer(&one, 200), "127.88.0.2": answer(&two, 500), "127.88.0.3": answer(&three, 200),
	})
	leaving := pod("d", "127.88.0.3", true)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: time.Now()}, []string{"a/b"}
	hashed := pod("a", "127.88.0.1", true)
	hashed.Labels["pod-template-hash"] = "5d9f7c"
	client := fake.NewClientset(hashed, pod("b", "127.88.0.2", true), pod("c", "127.88.0.3", false), leaving)
	var mu sync.Mutex
	observed := map[Pod][2]int{} // served, failed
	report, err := Run(t.Context(), Config{
		Client: client, Namespace: "shop", Selector: "app=webapp", Port: port, Rate: 400, Duration: time.Second, Seed: 1,
		Observe: func(a Answer) {
			mu.Lock()
			defer mu.Unlock()
			n := observed[a.Pod]
			if a.Failed() {
				n[1]++
			} else {
				n[0]++
			}
			observed[a.Pod] = n
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if three.Load() != 0 {
		t.Errorf("%d requests went to a pod that is not ready or is leaving", three.Load())
	}
	if int64(report.OK) != one.Load() || int64(report.Failed) != two.Load() || report.Codes["200"] != report.OK || report.Codes["500"] != report.Failed {
		t.Errorf("report %+v, served %d and %d", report, one.Load(), two.Load())
	}
	if len(observed) != 2 || observed[Pod{"a", "127.88.0.1", "5d9f7c"}] != [2]int{report.OK, 0} || observed[Pod{"b", "127.88.0.2", ""}] != [2]int{0, report.Failed} {
		t.Errorf("observed %v, reported %+v", observed, report)
	}
	if report.Sent != report.OK+report.Failed || report.OK == 0 || report.Failed == 0 {
		t.Errorf("report %+v", report)
	}
	if arrived := report.Sent + report.NoPod; math.Abs(float64(arrived)-400) > 100 { // 5 standard deviations
		t.Errorf("%d requests arrived in a second at 400 a second", arrived)
	}
}

func TestRunSendsNothingToTheOutside(t *testing.T) {
	for name, ip := range map[string]string{"another machine": "10.0.0.1", "no address": ""} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(pod("a", ip, true))
			report, err := Run(t.Context(), Config{Client: client, Namespace: "shop", Selector: "app=webapp", Rate: 100})
			if !errors.Is(err, errNotLoopback) || !strings.Contains(err.Error(), "shop/a") {
				t.Fatalf("got %v", err)
			}
			if report.Sent != 0 {
				t.Fatalf("%d requests were sent", report.Sent)
			}
		})
	}
}

func TestRunFollowsThePods(t *testing.T) {
	served := make(chan struct{}, 1000)
	port := listen(t, map[string]http.HandlerFunc{"127.88.0.4": func(http.ResponseWriter, *http.Request) { served <- struct{}{} }})
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	var report Report
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		report, err = Run(ctx, Config{Client: client, Namespace: "shop", Selector: "app=webapp", Port: port, Rate: 200})
	})
	if _, err := client.CoreV1().Pods("shop").Create(ctx, pod("a", "127.88.0.4", true), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	<-served
	cancel()
	wg.Wait()
	if err != nil || report.OK == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
}

func TestASlowServiceDoesNotSlowTheTraffic(t *testing.T) {
	release := make(chan struct{})
	port := listen(t, map[string]http.HandlerFunc{"127.88.0.5": func(http.ResponseWriter, *http.Request) { <-release }})
	client := fake.NewClientset(pod("a", "127.88.0.5", true))
	var once sync.Once
	report, err := Run(t.Context(), Config{
		Client: client, Namespace: "shop", Selector: "app=webapp", Port: port, Rate: 500, Duration: 1500 * time.Millisecond, MaxInFlight: 5,
		Progress: func(r Report) {
			if r.Dropped > 0 {
				once.Do(func() { close(release) })
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Dropped < 100 {
		t.Errorf("arrivals waited for answers: %+v", report)
	}
}

func TestConfigIsChecked(t *testing.T) {
	client := fake.NewClientset()
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no client":            {Config{Selector: "a=b", Rate: 1}, "no client"},
		"no rate":              {Config{Client: client, Selector: "a=b"}, "rate"},
		"a rate of NaN":        {Config{Client: client, Selector: "a=b", Rate: math.NaN()}, "rate"},
		"no selector":          {Config{Client: client, Rate: 1}, "selector"},
		"a bad selector":       {Config{Client: client, Rate: 1, Selector: "a=="}, ""},
		"a route without path": {Config{Client: client, Rate: 1, Selector: "a=b", Routes: []Route{{Weight: 1}}}, "route"},
		"no weight":            {Config{Client: client, Rate: 1, Selector: "a=b", Routes: []Route{{Path: "/"}}}, "weight"},
	} {
		if name == "a bad selector" {
			c.cfg.Selector, c.want = "a in (", "selector"
		}
		t.Run(name, func(t *testing.T) {
			if _, err := Run(t.Context(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestArrivalsHaveTheRateAndTheMix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Rate: rapid.Float64Range(1, 1000).Draw(t, "rate"), Seed: rapid.Uint64().Draw(t, "seed"),
			Routes: []Route{{Path: "/a", Weight: rapid.Float64Range(0.1, 5).Draw(t, "weight")}, {Path: "/b", Weight: 1}, {Path: "/never", Weight: 0}},
		}
		a := newArrivals(cfg)
		const n = 4000
		var elapsed time.Duration
		paths := map[string]float64{}
		for range n {
			gap, route, pick := a.next()
			if gap < 0 || pick < 0 || pick >= 1 {
				t.Fatalf("gap %s, pick %g", gap, pick)
			}
			elapsed += gap
			paths[route.Path]++
		}
		// The mean of n gaps has a standard deviation of 1/√n of itself.
		if got := n / elapsed.Seconds(); math.Abs(got/cfg.Rate-1) > 6/math.Sqrt(n) {
			t.Fatalf("rate %g, want %g", got, cfg.Rate)
		}
		share := cfg.Routes[0].Weight / (cfg.Routes[0].Weight + 1)
		if got := paths["/a"] / n; math.Abs(got-share) > 6*math.Sqrt(share*(1-share)/n) {
			t.Fatalf("share %g of /a, want %g", got, share)
		}
		if paths["/never"] > 0 {
			t.Fatal("a route of no weight was taken")
		}
	})
}
