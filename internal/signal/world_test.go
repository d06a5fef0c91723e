package signal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/rules"
)

// epoch is a tick boundary; a subject's counting begins there.
var epoch = time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)

const (
	testTick     = 15 * time.Second
	testLookback = time.Minute
)

// world is pods that serve requests and are scraped: it writes what scrapers
// see into a store, and keeps the books of what that adds up to.
type world struct {
	store *store
	pods  []*worldPod
	rand  *rand.Rand
}

// oneIn is true once in n times.
func (w *world) oneIn(n int) bool { return w.rand.IntN(n) == 0 }

// worldPod keeps, for each scraper of the pod, what was served up to each of
// its scrapes since the one before.
type worldPod struct {
	name  string
	books map[string][]booked
}

type booked struct {
	at    time.Time
	count release.Count
}

// sum is what a scraper saw served in (from, to].
func (p *worldPod) sum(scraper string, from, to time.Time) release.Count {
	var c release.Count
	for _, b := range p.books[scraper] {
		if b.at.After(from) && !b.at.After(to) {
			c = c.Add(b.count)
		}
	}
	return c
}

// drawWorld lets pods live from before the release on: some die, some are born
// late, containers restart, scrapes fail, some pods are scraped by two jobs.
func drawWorld(t *rapid.T, minutes int) *world {
	w := &world{store: newStore(), rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}
	before := epoch.Add(-5 * time.Minute)
	end := epoch.Add(time.Duration(minutes) * time.Minute)
	interval := time.Duration(rapid.SampledFrom([]int{5, 10, 15, 30, 60}).Draw(t, "scrape interval")) * time.Second
	live := func(name string, born, died time.Time) {
		w.pods = append(w.pods, w.live(name, born, died, interval, w.oneIn(4)))
	}
	death := func(born time.Time) time.Time {
		if w.oneIn(4) {
			return born.Add(time.Duration(w.rand.IntN(600)) * time.Second)
		}
		return end
	}
	// One old pod stays: by it the others are known to be new.
	live("web-stable-stays", before, end)
	for i := range rapid.IntRange(0, 2).Draw(t, "old pods") {
		live(fmt.Sprintf("web-stable-old%02d", i), before, death(before))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "young stable pods") {
		born := epoch.Add(time.Duration(w.rand.IntN(60*minutes+50)-50) * time.Second)
		live(fmt.Sprintf("web-stable-new%02d", i), born, death(born))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "release pods") {
		born := epoch.Add(time.Duration(1+w.rand.IntN(60*minutes)) * time.Second)
		live(fmt.Sprintf("web-new-pod%02d", i), born, death(born))
	}
	return w
}

var worldSeries = []struct{ code, route string }{{"200", "/"}, {"500", "/"}, {"200", "/cart"}, {"503", "/cart"}, {"200", "/healthz"}}

// live lets a pod serve and be scraped. Its first counter rests after a restart
// until it was scraped, so that the restart shows: one that no counter shows is
// beyond anybody.
func (w *world) live(name string, born, died time.Time, interval time.Duration, twice bool) *worldPod {
	p := &worldPod{name: name, books: map[string][]booked{}}
	scrapers := []string{"a"}
	if twice {
		scrapers = append(scrapers, "b")
	}
	served := make([]float64, len(worldSeries)) // by the process
	seen := map[string][]float64{}              // by scraper: served at its last scrape in this life
	quiet, missed := false, 0
	for at := born.Add(time.Duration(w.rand.Int64N(int64(interval)))); at.Before(died); at = at.Add(interval) {
		if w.oneIn(10) && seen["a"] != nil && seen["a"][0] > 0 {
			served, seen, quiet = make([]float64, len(worldSeries)), map[string][]float64{}, true
		}
		for i := range served {
			if i > 0 || !quiet {
				served[i] += float64(max(0, w.rand.IntN(8)-2))
			}
		}
		// Never so many scrapes in a row fail that the look-back is filled.
		if missed < min(2, int(max(time.Minute, 5*interval/2)/interval)-1) && w.oneIn(7) {
			missed++
			continue
		}
		missed, quiet = 0, false
		for j, scraper := range scrapers {
			w.scrape(p, scraper, at.Add(time.Duration(j)*700*time.Millisecond), served, seen[scraper])
			seen[scraper] = slices.Clone(served)
		}
	}
	return p
}

// scrape writes what the pod shows: a series appears with its first request,
// but for the first, which is always there.
func (w *world) scrape(p *worldPod, scraper string, at time.Time, served, seen []float64) {
	var c release.Count
	for i, s := range worldSeries {
		if i > 0 && served[i] == 0 {
			continue
		}
		w.store.put(at, served[i], "__name__=http_requests_total", "namespace=shop", "pod="+p.name,
			"instance=10.0.0.1:8080/"+p.name, "job="+scraper, "code="+s.code, "handler="+s.route)
		w.store.put(at, math.NaN(), "__name__=http_requests_total", "namespace=shop", "pod="+p.name,
			"instance=10.0.0.1:8080/"+p.name, "job="+scraper, "code="+s.code, "handler=/nan")
		if s.route == "/healthz" {
			continue
		}
		n := served[i]
		if seen != nil {
			n -= seen[i]
		}
		c.Total += int64(n)
		if s.code[0] == '5' {
			c.Bad += int64(n)
		}
	}
	p.books[scraper] = append(p.books[scraper], booked{at, c})
}

func worldSubject() Subject {
	return Subject{ID: "r1", Namespace: "shop", Workload: "web", Release: "web-new", Stable: "web-stable", StartedAt: epoch.Add(time.Second)}
}

func newTestReader(t interface{ Fatal(...any) }, q Querier) *Reader {
	cat, err := catalogue.Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	return NewReader(cat, q, Options{Tick: testTick, ScrapeLookback: testLookback})
}
