package heldout

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// sample is one as it was read back.
type sample struct {
	millis int64
	value  float64
}

// data is a series as it was read back, without marks of staleness.
type data struct {
	labels  labels.Labels
	samples []sample
}

func write(t testing.TB, opt Options) (string, *Truth) {
	t.Helper()
	dir := t.TempDir()
	truth, err := Write(context.Background(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return dir, truth
}

// read returns the series of all blocks that match, in no order.
func read(t testing.TB, dir string, matchers ...*labels.Matcher) []data {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no block: %v", err)
	}
	slices.Sort(blocks) // by time, as they are called after it
	at := map[string]int{}
	var out []data
	for _, meta := range blocks {
		for _, d := range readBlock(t, filepath.Dir(meta), matchers) {
			key := d.labels.String()
			if i, ok := at[key]; ok {
				out[i].samples = append(out[i].samples, d.samples...)
				continue
			}
			at[key] = len(out)
			out = append(out, d)
		}
	}
	return out
}

func readBlock(t testing.TB, dir string, matchers []*labels.Matcher) (out []data) {
	t.Helper()
	ix, err := index.NewFileReader(filepath.Join(dir, "index"), index.DecodePostingsRaw)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ix.Close() }()
	stored, err := chunks.NewDirReader(filepath.Join(dir, "chunks"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stored.Close() }()
	name, value := index.AllPostingsKey()
	all, err := ix.Postings(context.Background(), name, value)
	if err != nil {
		t.Fatal(err)
	}
	b := labels.NewScratchBuilder(16)
	for all.Next() {
		var metas []chunks.Meta
		if err := ix.Series(all.At(), &b, &metas); err != nil {
			t.Fatal(err)
		}
		ls := b.Labels()
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) }) {
			continue
		}
		d := data{labels: ls.Copy()}
		for _, m := range metas {
			d.samples = append(d.samples, decode(t, stored, m)...)
		}
		out = append(out, d)
	}
	if all.Err() != nil {
		t.Fatal(all.Err())
	}
	return out
}

func decode(t testing.TB, stored *chunks.Reader, m chunks.Meta) (out []sample) {
	t.Helper()
	c, _, err := stored.ChunkOrIterable(m)
	if err != nil {
		t.Fatal(err)
	}
	it := c.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		if millis, v := it.At(); !value.IsStaleNaN(v) {
			out = append(out, sample{millis, v})
		}
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return out
}

func is(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

func like(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, name, value)
}

// digest is that of all files of a directory.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %x\n", rel, sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestTheSameSeedGivesTheSameFilesAndAnotherSeedOthers(t *testing.T) {
	opt := Options{Seed: 7, Healthy: 6, Regressed: 6, Spread: time.Hour, Observe: 5 * time.Minute}
	a, truth := write(t, opt)
	b, again := write(t, opt)
	if digest(t, a) != digest(t, b) || fmt.Sprint(truth) != fmt.Sprint(again) {
		t.Error("the same seed gave two corpora")
	}
	opt.Seed = 8
	if c, _ := write(t, opt); digest(t, a) == digest(t, c) {
		t.Error("two seeds gave the same corpus")
	}
}

// isCounter tells the series that only a restart of their container sets back.
func isCounter(name string) bool {
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func TestCountersNeverFallWhileAContainerLives(t *testing.T) {
	dir, truth := write(t, Options{Seed: 3, Healthy: 15, Regressed: 19, Spread: time.Hour})
	restarting := map[string]bool{}
	for _, r := range truth.Releases {
		if slices.Contains([]string{"crash-loop", "oom", "slow-leak"}, r.Family) {
			restarting[r.ReplicaSet] = true
		}
	}
	falls, seen := 0, 0
	for _, d := range read(t, dir) {
		name, pod := d.labels.Get(model.MetricNameLabel), d.labels.Get("pod")+d.labels.Get("k8s_pod_name")
		if !isCounter(name) {
			continue
		}
		seen++
		for i := 1; i < len(d.samples); i++ {
			if d.samples[i].millis <= d.samples[i-1].millis {
				t.Fatalf("%s: time goes back", d.labels)
			}
			if d.samples[i].value >= d.samples[i-1].value {
				continue
			}
			if falls++; name == "kube_pod_container_status_restarts_total" || !restarting[pod[:max(0, strings.LastIndex(pod, "-"))]] {
				t.Errorf("%s falls from %g to %g", d.labels, d.samples[i-1].value, d.samples[i].value)
			}
		}
	}
	if seen == 0 || falls == 0 {
		t.Errorf("%d counters, %d of them set back by a restart: there should be both", seen, falls)
	}
}

func TestEachFamilyHasItsTruthAndItsSeries(t *testing.T) {
	for _, f := range Families() {
		t.Run(f.Name, func(t *testing.T) {
			opt := Options{Seed: 11, Families: []string{f.Name}, Spread: 10 * time.Minute}
			if f.Regressed {
				opt.Regressed = 2
			} else {
				opt.Healthy = 2
			}
			dir, truth := write(t, opt)
			want := 2
			if f.Name == "overlap-pair" {
				want = 4
			}
			if len(truth.Releases) != want || f.Says == "" || f.Weight < 1 {
				t.Fatalf("%d releases, %d expected", len(truth.Releases), want)
			}
			for _, r := range truth.Releases {
				checkRelease(t, f, dir, r)
			}
		})
	}
}

func checkRelease(t *testing.T, f Family, dir string, r Release) {
	t.Helper()
	if r.Family != f.Name || r.Regressed != (f.Regressed && r.AffectedBy == "") || r.Regressed == (r.Kind == "") || r.Regressed == r.OnsetAt.IsZero() {
		t.Errorf("the truth does not fit: %+v", r)
	}
	if (f.Name == "bad-node") != r.Ambiguous {
		t.Errorf("ambiguous: %t", r.Ambiguous)
	}
	sets := read(t, dir, is(model.MetricNameLabel, "kube_replicaset_created"), is("namespace", r.Namespace), like("replicaset", r.ReplicaSet+"|"+r.Previous))
	if len(sets) != 2 {
		t.Fatalf("%d ReplicaSets", len(sets))
	}
	for _, s := range sets {
		born := int64(s.samples[0].value)
		if fresh := s.labels.Get("replicaset") == r.ReplicaSet; fresh != (born == r.StartedAt.Unix()) || !fresh && born > r.StartedAt.Add(-time.Hour).Unix() {
			t.Errorf("%s was created at %d", s.labels, born)
		}
	}
	pods := read(t, dir, is(model.MetricNameLabel, "kube_pod_owner"), is("owner_name", r.ReplicaSet))
	if len(pods) == 0 {
		t.Error("the release has no pods")
	}
	images := map[string]bool{}
	for _, d := range read(t, dir, is(model.MetricNameLabel, "kube_pod_container_info"), like("pod", "("+r.ReplicaSet+"|"+r.Previous+")-.*")) {
		images[d.labels.Get("image_id")] = true
	}
	if len(images) != 2 {
		t.Errorf("images %v, two expected", images)
	}
	served := requests(t, dir, r)
	switch {
	case f.Name == "zero-traffic" || f.Name == "never-serve" || f.Name == "crash-loop":
		if served > 0 {
			t.Errorf("%g requests are counted of a release that serves none", served)
		}
	case f.Name != "low-traffic" && f.Name != "hang" && served == 0:
		t.Error("no request is counted of the release")
	}
}

// requests that were counted of a release's pods.
func requests(t *testing.T, dir string, r Release) (sum float64) {
	t.Helper()
	metrics := map[string]string{
		"prometheus": "http_requests_total", "opentelemetry": "http_server_request_duration_seconds_count",
		"opentelemetry-collector": "http_server_request_duration_seconds_count", "grpc": "grpc_server_handled_total",
		"spring": "http_server_requests_seconds_count", "istio": "istio_requests_total",
	}
	label := "pod"
	if r.Dialect == "opentelemetry-collector" {
		label = "k8s_pod_name"
	}
	for _, d := range read(t, dir, is(model.MetricNameLabel, metrics[r.Dialect]), like(label, r.ReplicaSet+"-.*"), like("reporter", "|destination")) {
		most := 0.0
		for _, s := range d.samples {
			most = max(most, s.value)
		}
		sum += most
	}
	return sum
}

func TestTheTruthIsWrittenBesideTheBlocks(t *testing.T) {
	dir, truth := write(t, Options{Seed: 1, Healthy: 2, Spread: time.Minute, Observe: time.Minute, Scrape: time.Minute})
	text, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var again Truth
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(again) != fmt.Sprint(*truth) {
		t.Errorf("read back %+v, written %+v", again, *truth)
	}
	if _, err := Write(context.Background(), dir, Options{Healthy: 1}); err == nil {
		t.Error("a second corpus was written over the first")
	}
}

func TestOptionsThatMakeNoCorpusAreRefused(t *testing.T) {
	for name, opt := range map[string]Options{
		"an unknown family":              {Healthy: 1, Families: []string{"aa-loud"}},
		"no family of the wanted sort":   {Regressed: 1, Families: []string{"aa-quiet"}},
		"fewer than no releases":         {Healthy: -1},
		"a scrape of half a millisecond": {Healthy: 1, Scrape: 1500500 * time.Microsecond},
	} {
		if _, err := Write(context.Background(), t.TempDir(), opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Write(ctx, t.TempDir(), Options{Healthy: 1}); err == nil {
		t.Error("a corpus was written after its context had ended")
	}
}

// The figures are those of a table for ρ = 0.2, α = 0.001 and no tolerated harm.
func TestAsManyFailuresAsTheDivergenceSaysReachTheBound(t *testing.T) {
	for r, want := range map[float64]float64{2: 142, 3: 51, 5: 23, 10: 11} {
		const nc, ns, ps = 0.2, 0.8, 0.001
		each := twoArms(nc, ns, r*ps, ps, ps, ps) / (nc*r*ps + ns*ps)
		if got := math.Log(1/alpha) / each; math.Abs(got-want) > 0.5 {
			t.Errorf("r=%g: %.1f failures, %g expected", r, got, want)
		}
	}
	if twoArms(10, 10, 0.011, 0.01, 0.011, 0.011) != 0 {
		t.Error("what is tolerated counts as evidence")
	}
	if with, without := twoArms(10, 0, 0.05, 0, 0, 0.001), 10*divergence(0.05, 0.001); with != without {
		t.Errorf("against the past: %g, %g expected", with, without)
	}
}

func TestANewVersionFailsAsOftenAsItsFamilySays(t *testing.T) {
	for family, times := range map[string]float64{"aa-quiet": 1, "errors-x5": 5} {
		opt := Options{Seed: 21, Families: []string{family}, Spread: time.Hour, Healthy: 12}
		if times != 1 {
			opt.Healthy, opt.Regressed = 0, 12
		}
		dir, truth := write(t, opt)
		checked := 0
		for _, r := range truth.Releases {
			if r.Dialect != "prometheus" || r.Requests < 50 {
				continue
			}
			young, old := failing(t, dir, r.ReplicaSet), failing(t, dir, r.Previous)
			if old == 0 {
				continue
			}
			checked++
			if got := young / old; got < times/2 || got > times*2 {
				t.Errorf("%s: %g of the requests fail and %g did before", r.ReplicaSet, young, old)
			}
		}
		if checked == 0 {
			t.Errorf("%s: no release was fit to be checked", family)
		}
	}
}

// failing is the share of what the pods of a ReplicaSet counted that failed.
func failing(t *testing.T, dir, set string) float64 {
	t.Helper()
	bad, all := 0.0, 0.0
	for _, d := range read(t, dir, is(model.MetricNameLabel, "http_requests_total"), like("pod", set+"-.*")) {
		last := d.samples[len(d.samples)-1].value
		if all += last; d.labels.Get("code") >= "500" {
			bad += last
		}
	}
	return bad / max(all, 1)
}

func BenchmarkWritingReleases(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		if _, err := Write(context.Background(), dir, Options{Seed: 5, Healthy: 60, Regressed: 40, Spread: time.Hour}); err != nil {
			b.Fatal(err)
		}
		var size int64
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, _ error) error {
			if info, err := d.Info(); err == nil && !d.IsDir() {
				size += info.Size()
			}
			return nil
		})
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(size)/100/1e3, "kB/release")
		b.ReportMetric(float64(m.Sys)/1e6, "MB-sys")
	}
}
