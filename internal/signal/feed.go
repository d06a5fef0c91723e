package signal

import (
	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/count"
)

// what a feed brings.
type what uint8

const (
	feedRequests what = iota // finished requests
	feedNative               // native histograms: requests, latencies or both
	feedBuckets              // classic histograms
	feedSum                  // the sum of latencies, where there are no buckets
	feedCount                // how many that are
	feedCPU
	feedMemory
	feedRestarts
	feedOOM
	feedReady
	feedScrapes // when the pods were scraped, whatever they had to tell
	feedBad     // the user's own: of a ratio
	feedTotal   // of a ratio
	feedCounter // a counter
	feedGauge   // any PromQL
)

// view is whose count of the requests it is.
type view uint8

const (
	viewServer view = iota
	viewCallers
	viewCount
)

// feed is one metric that is read for a subject, or for one arm of it.
type feed struct {
	what     what
	view     view
	arm      armIndex // whose pods; armRelease in what callers count, which is of both
	dialect  *catalogue.Dialect
	resource *catalogue.Resource
	custom   int // index of the user's own signal
	sel      promql.Selector
	expr     promql.Expr // of a gauge
	form     int         // labels that name the pod; formCallers for what callers count
	// requests and latency say what is taken from a native histogram.
	requests, latency bool

	begun  bool
	begin  count.Beginning
	series int   // in the last answer: what is to be expected of the next
	known  bool  // some series was seen
	err    error // why it could not be read in this round
}

// formCallers stands for a pod label where series are about a callee.
const formCallers = -2

// text is what two feeds that can share a query have in common.
func (f *feed) text() string {
	if f.what == feedGauge {
		return f.expr.Text()
	}
	return f.sel.Text()
}

// same reports whether both ask for the same, so that one can go on where the
// other was.
func (f *feed) same(o *feed) bool {
	return f.what == o.what && f.view == o.view && f.arm == o.arm && f.custom == o.custom && f.form == o.form &&
		f.dialect == o.dialect && f.requests == o.requests && f.latency == o.latency && f.text() == o.text()
}

// salt tells the series of a feed from those of others that read the same
// metric.
func (f *feed) salt() uint64 { return uint64(f.what) + uint64(f.view)<<8 + uint64(f.custom+1)<<16 }

// exporter reports whether the cluster's exporters tell of the pods, rather than
// the pods of themselves.
func (f *feed) exporter() bool { return f.resource != nil }

// gauge reports whether values are taken as they are, not their increases.
func (f *feed) gauge() bool {
	switch f.what {
	case feedMemory, feedOOM, feedReady, feedGauge:
		return true
	}
	return false
}

// breadth is how soon a feed is done without when the source cannot keep up:
// 0 never. Requests are what a verdict stands on.
func (f *feed) breadth() int {
	switch {
	case f.exporter():
		return 3
	case f.what >= feedBad, f.view == viewCallers:
		return 2
	case f.what == feedRequests, f.what == feedNative && f.requests, f.what == feedScrapes:
		return 0
	}
	return 1
}

var resourceFeeds = map[catalogue.ResourceSignal]what{
	catalogue.ResourceCPU: feedCPU, catalogue.ResourceMemory: feedMemory, catalogue.ResourceRestarts: feedRestarts,
	catalogue.ResourceOOM: feedOOM, catalogue.ResourceReady: feedReady,
}
