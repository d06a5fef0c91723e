// Package traffic sends requests to the pods of a selector as the outside
// world does: at a rate of its own, whether or not the answers keep up.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// Config says what to send and where.
type Config struct {
	Client    kubernetes.Interface
	Namespace string
	Selector  string // label selector of the pods
	Port      int    // default 8080
	// Rate is the mean number of requests per second; arrivals are Poisson.
	Rate   float64
	Routes []Route // default DefaultRoutes
	// Duration ends the run; 0 runs until the context ends.
	Duration time.Duration
	// MaxInFlight bounds the requests under way; an arrival beyond it is
	// counted as dropped (default 256).
	MaxInFlight int
	Timeout     time.Duration // of one request (default 5 s)
	Seed        uint64        // 0: a different run each time
	// Progress, when set, gets the counts so far every second.
	Progress func(Report)
	// Observe, when set, is told of each request that was sent, once it has ended.
	// It is called from several goroutines at once.
	Observe func(Answer)
	Log     *slog.Logger
}

// Answer is what came of one request.
type Answer struct {
	Route Route
	Pod   Pod
	Code  int   // HTTP status; 0 when Err is set
	Err   error // nobody answered
	Took  time.Duration
}

// Failed says whether the server failed or did not answer.
func (a Answer) Failed() bool { return a.Err != nil || a.Code >= http.StatusInternalServerError }

// Route is one kind of request and its share of the traffic.
type Route struct {
	Method string // default GET
	Path   string
	Weight float64
}

// DefaultRoutes is the mix of a shop: many look, few buy.
func DefaultRoutes() []Route {
	return []Route{
		{Path: "/", Weight: 4},
		{Path: "/api/products", Weight: 3},
		{Path: "/api/cart", Weight: 2},
		{Method: http.MethodPost, Path: "/api/checkout", Weight: 1},
	}
}

// Report counts what was sent and what came of it.
type Report struct {
	Elapsed time.Duration  `json:"elapsed_ns"`
	Sent    int            `json:"sent"`
	OK      int            `json:"ok"`      // answered below 500
	Failed  int            `json:"failed"`  // answered 500 or above, or not at all
	NoPod   int            `json:"no_pod"`  // arrivals while no pod was ready; not sent
	Dropped int            `json:"dropped"` // arrivals beyond MaxInFlight; not sent
	Codes   map[string]int `json:"codes"`   // by status code, or "error"
}

// Run sends traffic until Duration is over or ctx ends, which is no error,
// waits for the answers and returns the counts. A ready pod whose address is
// not a loopback one ends it with an error: nothing is ever sent to it.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.complete(); err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pods := watchPods(ctx, cfg, cancel)
	defer pods.close()
	if cfg.Duration > 0 {
		timer := time.AfterFunc(cfg.Duration, func() { cancel(nil) })
		defer timer.Stop()
	}
	s := &sender{
		cfg:   cfg,
		slots: make(chan struct{}, cfg.MaxInFlight),
		// Each request has a connection of its own: a connection kept alive may end
		// with its pod just as a request is written to it.
		client: &http.Client{Timeout: cfg.Timeout, Transport: &http.Transport{DisableKeepAlives: true}},
		report: Report{Codes: map[string]int{}},
		began:  time.Now(),
	}
	var telling sync.WaitGroup
	if cfg.Progress != nil {
		telling.Go(func() { s.tell(ctx) })
	}
	s.run(ctx, pods)
	s.underWay.Wait()
	cancel(nil)
	telling.Wait()
	if err := context.Cause(ctx); errors.Is(err, errNotLoopback) {
		return s.snapshot(), err
	}
	return s.snapshot(), nil
}

func (c *Config) complete() error {
	if c.Client == nil {
		return errors.New("traffic: no client")
	}
	if !(c.Rate > 0) || c.Rate > 10_000 {
		return fmt.Errorf("traffic: rate %g: want requests per second above 0 and up to 10000", c.Rate)
	}
	if _, err := labels.Parse(c.Selector); err != nil {
		return fmt.Errorf("traffic: selector: %w", err)
	}
	if c.Selector == "" {
		return errors.New("traffic: no selector: it would reach every pod of the namespace")
	}
	if len(c.Routes) == 0 {
		c.Routes = DefaultRoutes()
	}
	total := 0.0
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Method == "" {
			r.Method = http.MethodGet
		}
		if len(r.Path) == 0 || r.Path[0] != '/' || !(r.Weight >= 0) {
			return fmt.Errorf("traffic: route %q with weight %g: want a path from / and a weight of 0 or more", r.Path, r.Weight)
		}
		total += r.Weight
	}
	if total == 0 {
		return errors.New("traffic: no route has a weight")
	}
	if c.Port == 0 {
		c.Port = 8080
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 256
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

type sender struct {
	cfg      Config
	client   *http.Client
	slots    chan struct{} // one for each request under way
	underWay sync.WaitGroup
	began    time.Time

	mu     sync.Mutex
	report Report
}

// run lets requests arrive until ctx is done. A late arrival is sent at once:
// the rate does not give way to a slow service.
func (s *sender) run(ctx context.Context, pods *pods) {
	a := newArrivals(s.cfg)
	due := s.began
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		gap, route, pick := a.next()
		due = due.Add(gap)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return
		}
		s.arrive(ctx, route, pods.pick(pick))
	}
}

func (s *sender) arrive(ctx context.Context, route Route, pod Pod) {
	if pod.Address == "" {
		s.count(func(r *Report) { r.NoPod++ })
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.count(func(r *Report) { r.Dropped++ })
		return
	}
	s.count(func(r *Report) { r.Sent++ })
	s.underWay.Go(func() {
		// Who has sent a request waits for its answer, also when the run is over.
		defer func() { <-s.slots }()
		began := time.Now()
		code, err := s.send(context.WithoutCancel(ctx), route, pod.Address)
		a := Answer{Route: route, Pod: pod, Code: code, Err: err, Took: time.Since(began)}
		if err != nil {
			s.cfg.Log.Debug("request failed", "pod", pod.Name, "path", route.Path, "error", err)
		}
		if s.cfg.Observe != nil {
			s.cfg.Observe(a)
		}
		s.count(func(r *Report) {
			if a.Failed() {
				r.Failed++
			} else {
				r.OK++
			}
			key := "error"
			if err == nil {
				key = strconv.Itoa(code)
			}
			r.Codes[key]++
		})
	})
}

func (s *sender) send(ctx context.Context, route Route, address string) (int, error) {
	url := "http://" + net.JoinHostPort(address, strconv.Itoa(s.cfg.Port)) + route.Path
	req, err := http.NewRequestWithContext(ctx, route.Method, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "lab-traffic")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func (s *sender) count(do func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(&s.report)
}

func (s *sender) snapshot() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.Codes = maps.Clone(r.Codes)
	r.Elapsed = time.Since(s.began)
	return r
}

func (s *sender) tell(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.cfg.Progress(s.snapshot())
		}
	}
}

// arrivals draws when the next request comes, on which route and to which pod.
type arrivals struct {
	rng    *rand.Rand
	rate   float64
	routes []Route
	total  float64
}

func newArrivals(cfg Config) *arrivals {
	a := &arrivals{rng: rand.New(rand.NewPCG(cfg.Seed, 0)), rate: cfg.Rate, routes: cfg.Routes}
	for _, r := range cfg.Routes {
		a.total += r.Weight
	}
	return a
}

// next returns the time since the request before, the route, and a number in
// [0, 1) that picks the pod.
func (a *arrivals) next() (gap time.Duration, route Route, pick float64) {
	gap = time.Duration(a.rng.ExpFloat64() / a.rate * float64(time.Second))
	at := a.rng.Float64() * a.total
	for _, r := range a.routes {
		if r.Weight == 0 { // not even by a rounding error
			continue
		}
		if route = r; at < r.Weight {
			break
		}
		at -= r.Weight
	}
	return gap, route, a.rng.Float64()
}
