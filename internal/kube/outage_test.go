package kube

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// expireNextWatches refuses the next watch of each kind as too old.
func (w *world) expireNextWatches() {
	refused := map[string]bool{}
	w.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		kind := a.GetResource().Resource
		if refused[kind] {
			return false, nil, nil
		}
		refused[kind] = true
		return true, nil, apierrors.NewResourceExpired("too old resource version")
	})
}

func testLogger(to io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, nil))
}

// outage makes every list and watch fail while it is on, and ends the watches
// that stand when it begins.
type outage struct {
	on      atomic.Bool
	mu      sync.Mutex
	watches []*watch.RaceFreeFakeWatcher
}

// begin refuses what is new and ends what stands.
func (o *outage) begin() {
	o.on.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.watches {
		f.Stop()
	}
}

func (o *outage) end() { o.on.Store(false) }

func (w *world) outage() *outage {
	var o outage
	down := errors.New("dial tcp 127.0.0.1:6443: connect: connection refused")
	w.client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return o.on.Load(), nil, down })
	w.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		if o.on.Load() {
			return true, nil, down
		}
		var opts metav1.ListOptions
		if x, ok := a.(clienttesting.WatchActionImpl); ok {
			opts = x.ListOptions
		}
		inner, err := w.client.Tracker().Watch(a.GetResource(), a.GetNamespace(), opts)
		if f, ok := inner.(*watch.RaceFreeFakeWatcher); ok {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.watches = append(o.watches, f)
		}
		return true, inner, err
	})
	return &o
}

func TestAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.outage()
		w.first()
		w.roll(bad, "b", 2)
		w.pod("b", "11111", nil)
		w.run()
		w.only()
		w.watcher.Follow(badRelease())
		w.observation()

		before := time.Now()
		o.begin()
		// Meanwhile the workload moves on.
		w.roll(next, "c", 3)
		if err := w.client.CoreV1().Pods(testNS).Delete(context.Background(), "webapp-b-11111", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.nothing("the API server went away")
		if obs := w.observation(); !obs.Current || len(obs.Release.Pods) != 1 {
			t.Errorf("the cache no longer answers with what was last known: %+v", obs)
		}
		if last := w.watcher.LastContact(); last.Sub(before) > 5*time.Second {
			t.Errorf("last contact %s after the loss", last.Sub(before))
		}

		o.end()
		time.Sleep(2 * time.Minute) // the library's longest wait between tries is a minute
		synctest.Wait()
		rollouts, gone := w.seen.take()
		if len(gone) != 0 || len(rollouts) == 0 || rollouts[len(rollouts)-1].Current.Hash != "c" {
			t.Errorf("told of %+v and %v gone, want the rollout to c", rollouts, gone)
		}
		if obs := w.observation(); obs.Current || len(obs.Release.Pods) != 0 {
			t.Errorf("observation %+v", obs)
		}
		if since := time.Since(w.watcher.LastContact()); since > time.Second {
			t.Errorf("last contact was %s ago", since)
		}
	})
}

func TestADeletionMissedWhileAwayIsTold(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.outage()
		w.first()
		w.run()
		w.only()
		o.begin()
		_ = w.client.AppsV1().ReplicaSets(testNS).Delete(context.Background(), testName+"-a", metav1.DeleteOptions{})
		_ = w.client.AppsV1().Deployments(testNS).Delete(context.Background(), testName, metav1.DeleteOptions{})
		time.Sleep(time.Second)
		w.nothing("the API server went away")
		// The history that would tell of the deletion is lost: the next watch is
		// refused as too old and the objects are listed again.
		o.end()
		w.expireNextWatches()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if rollouts, gone := w.seen.take(); len(rollouts) != 0 || len(gone) != 1 {
			t.Errorf("told of %+v and %v gone, want one gone", rollouts, gone)
		}
	})
}

func TestEndingDuringAnOutageLeavesNothingBehind(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.outage().begin()
		w.run()
		w.watcher.Follow(badRelease())
		time.Sleep(time.Minute)
		if w.watcher.Synced() {
			t.Error("synced without an API server")
		}
		if _, ok := w.watcher.Observe("r1"); ok {
			t.Error("observed without an API server")
		}
	})
}

func TestARefusedWatchIsLoggedOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var log strings.Builder
		w.watcher = NewWatcher(w.client, Config{Cluster: testCluster}, &w.seen, testLogger(&log))
		o := w.outage()
		o.begin()
		w.run()
		time.Sleep(5 * time.Minute)
		o.end()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if lost, back := strings.Count(log.String(), "kubernetes watch lost"), strings.Count(log.String(), "kubernetes watch restored"); lost != 3 || back != 3 {
			t.Errorf("%d losses and %d returns were logged for 3 watches:\n%s", lost, back, log.String())
		}
	})
}
