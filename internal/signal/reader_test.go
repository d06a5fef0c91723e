package signal

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shops fills a store with n releases in namespaces of their own, each with a
// pod in both arms that serves two requests per scrape.
func shops(s *store, n int) []Subject {
	var out []Subject
	for i := range n {
		sub := worldSubject()
		sub.ID, sub.Namespace = release.ID(fmt.Sprintf("r%03d", i)), fmt.Sprintf("shop%03d", i)
		out = append(out, sub)
		for _, pod := range []string{oldPod, newPod} {
			s.scrapes(pod, 2, "__name__=http_requests_total", "code=200", "pod="+pod, "namespace="+sub.Namespace)
		}
	}
	return out
}

func (s *store) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.queries
	s.queries, s.lists = nil, 0
	return out
}

func TestQueriesDoNotGrowWithTheNumberOfReleases(t *testing.T) {
	perTick := map[int]int{}
	for _, n := range []int{1, 10, 60} {
		s := newStore()
		subjects := shops(s, n)
		r := newTestReader(t, s)
		for i := range 3 {
			s.asked()
			for id, res := range r.Read(context.Background(), epoch.Add(time.Duration(i+1)*testTick), subjects) {
				if res.Err != nil {
					t.Fatalf("%s: %v", id, res.Err)
				}
			}
		}
		perTick[n] = len(s.asked())
	}
	// In the third tick all arms are known but for what never appears.
	if perTick[1] != 2 || perTick[10] != 2 || perTick[60] != 2 {
		t.Errorf("queries per tick by releases: %v, want 2 (requests, and when was scraped)", perTick)
	}
}

func TestABatchHoldsNoMoreReleasesThanAllowed(t *testing.T) {
	s := newStore()
	subjects := shops(s, 25)
	cat := builtin(t)
	r := NewReader(cat, s, Options{Tick: testTick, ScrapeLookback: testLookback, BatchSize: 10})
	r.Read(context.Background(), epoch.Add(2*time.Minute), subjects)
	for _, q := range s.asked() {
		if n := strings.Count(q, "shop0"); n > 10 {
			t.Errorf("%d releases in one query", n)
		}
	}
	res := r.Read(context.Background(), epoch.Add(2*time.Minute+testTick), subjects)
	if n := len(s.asked()); n != 6 {
		t.Errorf("%d queries for 25 releases in batches of 10, want 3 for each of 2 metrics", n)
	}
	if len(res) != 25 {
		t.Errorf("%d results", len(res))
	}
}

func TestReleasesThatLagDoNotWidenTheWindowOfTheOthers(t *testing.T) {
	s := newStore()
	subjects := shops(s, 4)
	r := newTestReader(t, s)
	ctx := context.Background()
	for i := 1; i <= 4; i++ {
		r.Read(ctx, epoch.Add(time.Duration(i)*testTick), subjects[:2])
		if i == 1 {
			r.Read(ctx, epoch.Add(testTick), subjects[3:]) // and then not for a while
		}
	}
	windows := map[string]time.Duration{}
	var mu sync.Mutex
	s.fail = func(q string, w time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		for _, sub := range subjects {
			if strings.HasPrefix(q, "http_requests_total") && strings.Contains(q, sub.Namespace) && !strings.Contains(q, "exported") && !strings.Contains(q, "k8s") && !strings.Contains(q, "kubernetes") {
				windows[sub.Namespace] = max(windows[sub.Namespace], w)
			}
		}
		return nil
	}
	s.asked()
	res := r.Read(ctx, epoch.Add(5*testTick), subjects)
	for _, f := range r.live["r002"].feeds {
		if f.what == feedRequests && f.begin.EmitFrom != epoch.UnixMilli() {
			t.Errorf("a release seen late counts from %s", fromMillis(f.begin.EmitFrom))
		}
	}
	if len(res["r000"].Readings) != 1 || len(res["r002"].Readings) != 5 {
		t.Fatalf("%d and %d readings", len(res["r000"].Readings), len(res["r002"].Readings))
	}
	if len(res["r003"].Readings) != 4 || windows["shop003"] <= 4*testTick {
		t.Errorf("the one that was left out for a while: %d readings of %s", len(res["r003"].Readings), windows["shop003"])
	}
	for _, ns := range []string{"shop000", "shop001"} {
		if windows[ns] != 2*testTick {
			t.Errorf("%s was asked for %s", ns, windows[ns])
		}
	}
}

func TestNothingIsCountedForAnotherNamespaceOrRelease(t *testing.T) {
	s := newStore()
	subjects := shops(s, 2)
	// The same ReplicaSet names in a third namespace that nobody asks for.
	s.scrapes(newPod, 100, "__name__=http_requests_total", "code=500", "pod="+newPod, "namespace=elsewhere")
	r := newTestReader(t, s)
	for id, res := range r.Read(context.Background(), epoch.Add(2*time.Minute), subjects) {
		rel, stable := totals(res)
		if rel != (release.Count{Total: 42}) || stable != (release.Count{Total: 48}) {
			t.Errorf("%s: %+v %+v", id, rel, stable)
		}
	}
}

func TestAReplicaSetMayBeTheReleaseOfOneAndTheStableArmOfTheNext(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	next := subjects[0]
	next.ID, next.Release, next.Stable, next.StartedAt = "next", "web-newest", "web-new", epoch.Add(time.Minute+time.Second)
	r := newTestReader(t, s)
	res := r.Read(context.Background(), epoch.Add(2*time.Minute), []Subject{subjects[0], next})
	if rel, _ := totals(res["r000"]); rel.Total != 42 {
		t.Errorf("as a release: %+v", rel)
	}
	if _, stable := totals(res["next"]); stable.Total != 24 {
		t.Errorf("as the stable arm of the minute that followed: %+v", stable)
	}
}

func TestTheFirstTickIsTheOneThatHoldsTheStart(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{
		0:               -testTick, // (from, to]
		time.Nanosecond: 0,
		time.Second:     0,
		testTick:        0,
		testTick + 1:    testTick,
		-time.Second:    -testTick,
		testTick - 1:    0,
	} {
		if got := fromMillis(grid{tick: testTick.Milliseconds()}.first(epoch.Add(at))).Sub(epoch); got != want {
			t.Errorf("%s after the boundary: tick begins at %s, want %s", at, got, want)
		}
	}
}

func TestTicksMayBeginAtTheReleaseAndBeReadInLongSlices(t *testing.T) {
	start := epoch.Add(7 * time.Second)
	read := func(slice int, steps ...time.Duration) []Reading {
		s := newStore()
		subjects := shops(s, 1)
		subjects[0].StartedAt = start.Add(time.Millisecond)
		r := NewReader(builtin(t), s, Options{Tick: testTick, ScrapeLookback: testLookback, Origin: start, SliceTicks: slice})
		var out []Reading
		for _, after := range steps {
			out = append(out, r.Read(context.Background(), start.Add(after), subjects)["r000"].Readings...)
		}
		return out
	}
	var each []time.Duration
	for k := range 8 {
		each = append(each, time.Duration(k+1)*testTick)
	}
	want, got := read(1, each...), read(64, 8*testTick)
	if len(want) != 8 || !want[0].From.Equal(start) || !want[7].To.Equal(start.Add(8*testTick)) {
		t.Fatalf("%d readings from %s", len(want), want[0].From)
	}
	for k := range want {
		if want[k].Errors == nil || want[k].Errors.Stable.Count != got[k].Errors.Stable.Count || want[k].Errors.Release.Count != got[k].Errors.Release.Count {
			t.Errorf("tick %d read at once: %+v, tick by tick: %+v", k, got[k].Errors, want[k].Errors)
		}
	}
}

func TestOnlyTicksThatEndedALagAgoAreRead(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	r := NewReader(builtin(t), s, Options{Tick: testTick, ScrapeLookback: testLookback, Lag: 10 * time.Second})
	read := func(after time.Duration) int {
		return len(r.Read(context.Background(), epoch.Add(after), subjects)["r000"].Readings)
	}
	if n := read(24 * time.Second); n != 0 {
		t.Errorf("%d readings before the first tick and its lag were over", n)
	}
	if n := read(25 * time.Second); n != 1 {
		t.Errorf("%d readings after them", n)
	}
	if n := read(39 * time.Second); n != 0 {
		t.Errorf("%d readings in between", n)
	}
	if n := read(0); n != 0 {
		t.Errorf("%d readings when time went back", n)
	}
}

func TestFreshTellsWhetherPodsAreStillScraped(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1) // scraped until two minutes after epoch
	want := func(readings []Reading) {
		t.Helper()
		for _, rd := range readings {
			if fresh := rd.To.Before(epoch.Add(3 * time.Minute)); rd.Fresh != fresh {
				t.Errorf("the tick that ends %s after: fresh %t, want %t", rd.To.Sub(epoch), rd.Fresh, fresh)
			}
		}
	}
	res := newTestReader(t, s).Read(context.Background(), epoch.Add(5*time.Minute), subjects)["r000"]
	want(res.Readings)
	if !res.LastSample.Equal(epoch.Add(2 * time.Minute)) {
		t.Errorf("last sample %s", res.LastSample)
	}
	r := newTestReader(t, s)
	for i := range 20 {
		want(r.Read(context.Background(), epoch.Add(time.Duration(i+1)*testTick), subjects)["r000"].Readings)
	}
}

func TestLateSamplesAreCountedInTheNextTick(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	r := newTestReader(t, s)
	ctx := context.Background()
	r.Read(ctx, epoch.Add(testTick), subjects)
	// A pod that is scraped once, just before the tick's end, and known only after it.
	s.put(epoch.Add(29*time.Second), 7, "__name__=http_requests_total", "code=500", "pod=web-new-pod07", "namespace=shop000", "instance=x", "job=pods")
	late := s.series
	s.series = map[string]*samples.Series{}
	for k, ser := range late {
		if ser.Labels.Get("pod") != "web-new-pod07" {
			s.series[k] = ser
		}
	}
	before := r.Read(ctx, epoch.Add(2*testTick), subjects)["r000"]
	s.series = late
	after := r.Read(ctx, epoch.Add(3*testTick), subjects)["r000"]
	if n := before.Readings[0].Errors.Release.Bad; n != 0 {
		t.Errorf("%d failures before they were known", n)
	}
	if got := after.Readings[0].Errors.Release.Pods["web-new-pod07"]; got != (release.Count{Total: 7, Bad: 7}) {
		t.Errorf("%+v of what came late", got)
	}
}

func TestQueriesCanBePastedForTheSubjectAlone(t *testing.T) {
	s := newStore()
	subjects := shops(s, 3)
	s.scrapes(oldPod, 1, "__name__=http_requests_total", "code=200", "handler=/healthz", "pod="+oldPod, "namespace=shop001")
	res := newTestReader(t, s).Read(context.Background(), epoch.Add(time.Minute), subjects)
	from, to := epoch, epoch.Add(time.Minute)
	want := []release.Query{
		{Source: "prometheus", Signal: "error_ratio", From: from, To: to, Expr: `http_requests_total{namespace="shop000",pod=~"web-new-[a-z0-9]{5}|web-stable-[a-z0-9]{5}"}`},
	}
	if diff := cmp.Diff(want, res["r000"].Queries); diff != "" {
		t.Error(diff)
	}
	left := res["r001"].Queries[0].Expr
	if !strings.Contains(left, `handler!~"`) {
		t.Errorf("%s does not say that health checks are left out", left)
	}
	ms, err := matchersOf(left)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if m.Name == "handler" && (m.Matches("/healthz") || !m.Matches("/cart")) {
			t.Errorf("%s does not mean what was counted", left)
		}
	}
}

func TestForgetDropsASubjectAndItIsCountedAgainFromItsStart(t *testing.T) {
	s := newStore()
	subjects := shops(s, 1)
	r := newTestReader(t, s)
	first := r.Read(context.Background(), epoch.Add(2*time.Minute), subjects)["r000"]
	r.Forget("r000")
	if len(r.live) != 0 {
		t.Error("still there")
	}
	again := r.Read(context.Background(), epoch.Add(2*time.Minute), subjects)["r000"]
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
}

func TestReadAndHistoryMayRunAtTheSameTime(t *testing.T) {
	s := newStore()
	subjects := shops(s, 5)
	r := newTestReader(t, s)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { r.Read(context.Background(), epoch.Add(time.Duration(i+1)*testTick), subjects) })
		wg.Go(func() { r.History(context.Background(), subjects, time.Minute) })
		wg.Go(func() { r.Forget(subjects[i].ID) })
	}
	wg.Wait()
}
