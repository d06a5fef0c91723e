package heldout

import (
	"math"
	"math/rand/v2"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// chunkSamples is how many samples Prometheus puts into a chunk.
const chunkSamples = 120

// series is one that is being written.
type series struct {
	labels   labels.Labels
	store    *store
	round    int64 // that it was last scraped in
	chunk    *chunkenc.XORChunk
	appender chunkenc.Appender // nil between chunks
	from, to int64             // of the chunk
	limit    int64             // where its block ends
	parts    []part
}

type part struct {
	block  *block
	chunks []spooled
}

// append adds a sample that is later than the last.
func (s *series) append(millis int64, v float64) {
	if s.appender != nil && (millis >= s.limit || s.chunk.NumSamples() >= chunkSamples) {
		s.cut()
	}
	if s.appender == nil {
		if s.chunk == nil {
			s.chunk = chunkenc.NewXORChunk()
		}
		appender, err := s.chunk.Appender()
		if err != nil {
			s.store.fail(err)
			return
		}
		s.appender, s.from = appender, millis
		s.limit = millis - millis%blockMillis + blockMillis
	}
	s.appender.Append(0, millis, v)
	s.to = millis
}

// cut hands the chunk over and makes it empty.
func (s *series) cut() {
	b := s.store.block(s.from)
	data := s.chunk.Bytes()
	kept := s.store.keep(b, data, s.from, s.to, s.chunk.NumSamples())
	if n := len(s.parts); n == 0 || s.parts[n-1].block != b {
		s.parts = append(s.parts, part{block: b})
	}
	last := &s.parts[len(s.parts)-1]
	last.chunks = append(last.chunks, kept)
	empty := data[:2]
	empty[0], empty[1] = 0, 0
	s.chunk.Reset(empty)
	s.appender = nil
}

// end hands over what there is.
func (s *series) end() {
	if s.appender != nil {
		s.cut()
	}
	for _, p := range s.parts {
		p.block.series = append(p.block.series, stored{s.labels, p.chunks})
	}
	s.parts, s.chunk = nil, nil
}

// target is something that is scraped: all of its series at once.
type target struct {
	scene   *scene
	offset  int64 // milliseconds into each scrape interval
	collect func(t *target, at float64)
	round   int64
	millis  int64 // of the scrape that is going on
	series  []*series
}

// add makes a series of a target; pairs are names and values of its labels.
func (t *target) add(metric string, pairs ...string) *series {
	s := &series{labels: labels.FromStrings(append([]string{model.MetricNameLabel, metric}, pairs...)...), store: t.scene.store}
	t.series = append(t.series, s)
	return s
}

// put stores a value of the scrape that is going on.
func (t *target) put(s *series, v float64) {
	s.append(t.millis, v)
	s.round = t.round
}

// settle marks as stale what the scrape before had and this has not, as Prometheus
// does.
func (t *target) settle() {
	for _, s := range t.series {
		if s.round == t.round-1 {
			s.append(t.millis, math.Float64frombits(value.StaleNaN))
		}
	}
}

// scrapeMisses is the share of scrapes that fail for no reason.
const scrapeMisses = 0.004

// kubeMissed tells whether kube-state-metrics could not be scraped in a round: the
// same for all workloads.
func (o Options) kubeMissed(round int64) bool {
	return rand.New(rand.NewPCG(o.Seed, uint64(round))).Float64() < scrapeMisses
}

// kubeOffset is when in each interval kube-state-metrics is scraped.
func (o Options) kubeOffset() int64 {
	return int64((o.Seed*0x9e3779b97f4a7c15)>>20) % o.Scrape.Milliseconds()
}

const kubeInstance = "10.0.0.17:8080"

// addScrapeHealth adds what a block has that belongs to no workload: whether
// kube-state-metrics was scraped.
func (st *store) addScrapeHealth(b *block) {
	s := &series{labels: labels.FromStrings(model.MetricNameLabel, "up", "instance", kubeInstance, "job", "kube-state-metrics"), store: st}
	from, to := max(b.from, st.truth.From.UnixMilli()), min(b.from+blockMillis, st.truth.To.UnixMilli())
	every := st.opt.Scrape.Milliseconds()
	for round := from / every; ; round++ {
		millis := round*every + st.opt.kubeOffset()
		if millis >= to {
			break
		}
		if millis < from {
			continue
		}
		up := 1.0
		if st.opt.kubeMissed(round) {
			up = 0
		}
		s.append(millis, up)
	}
	s.end()
}
