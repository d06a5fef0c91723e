package signal

import "math"

// pod is one pod of a subject with what it did in the round that is being read.
// What callers count without saying which pod answered is that of a nameless
// one.
type pod struct {
	name   string
	arm    armIndex
	own    presence // what it exports itself
	told   presence // what exporters tell of it
	up     presence // that it was scraped at all
	carry  []carry
	cells  []float64 // by column and tick
	gauges [][]float64
	hist   [viewCount][]float64 // by stratum, tick and bound
	// native says that hist is per bucket, not cumulative.
	native [viewCount]bool
	bounds [viewCount][]bool // which of the subject's bucket bounds the pod exports
	ready  readiness
	// What cpu is over, since the last tick in which it moved.
	cpuWeight float64
}

// The columns of a pod: pairs of total and bad by stratum, then single ones,
// then two for each of the user's own signals.
const (
	maxStrata     = 9 // with that of all other routes
	columnServer  = 0
	columnCallers = columnServer + 2*maxStrata
	columnSum     = columnCallers + 2*maxStrata
	columnCount   = columnSum + 1
	columnCPU     = columnCount + 1
	columnRestart = columnCPU + 1
	columnCustom  = columnRestart + 1
)

// The gauges of a pod, then one for each of the user's own signals.
const (
	gaugeMemory = iota
	gaugeReady
	gaugeOOM
	gaugeCustom
)

// columnOf is the column of totals of a view's stratum; that of bad ones follows.
func columnOf(v view, stratum int32) int32 {
	return columnServer + int32(v)*(columnCallers-columnServer) + 2*stratum
}

func (t *tracked) columns() int { return columnCustom + 2*len(t.custom) }

// pod returns the state of a pod of an arm.
func (t *tracked) pod(name string, a armIndex) *pod {
	p := t.pods[name]
	if p == nil {
		p = &pod{name: name, arm: a, own: presence{newest: math.MinInt64}, told: presence{newest: math.MinInt64}, up: presence{newest: math.MinInt64}, ready: readiness{value: math.NaN()}}
		t.pods[name] = p
	}
	return p
}

// cell is where a column's count of a tick stands.
func (p *pod) cell(t *tracked, column int32, k int) *float64 {
	if p.cells == nil {
		p.cells = make([]float64, t.columns()*t.round.ticks)
	}
	return &p.cells[int(column)*t.round.ticks+k]
}

// at is a column's count of a tick.
func (p *pod) at(t *tracked, column int32, k int) float64 {
	if p.cells == nil {
		return 0
	}
	return p.cells[int(column)*t.round.ticks+k]
}

// slower adds to a bucket of the view's histogram.
func (p *pod) slower(t *tracked, v view, stratum, bound int32, k int, delta float64) {
	nb, strata := len(t.bounds), len(t.strata)+1
	if p.hist[v] == nil {
		p.hist[v] = make([]float64, strata*t.round.ticks*nb)
	}
	p.hist[v][(int(stratum)*t.round.ticks+k)*nb+int(bound)] += delta
}

// buckets are the counts by bound of a stratum in a tick; nil for none.
func (p *pod) buckets(t *tracked, v view, stratum, k int) []float64 {
	if p.hist[v] == nil {
		return nil
	}
	nb := len(t.bounds)
	at := (stratum*t.round.ticks + k) * nb
	return p.hist[v][at : at+nb]
}

func (p *pod) exports(v view, bound int32) {
	for int(bound) >= len(p.bounds[v]) {
		p.bounds[v] = append(p.bounds[v], false)
	}
	p.bounds[v][bound] = true
}

// clear forgets the round. A pod that did much keeps no room for it.
func (p *pod) clear() {
	p.hist = [viewCount][]float64{}
	p.gauges, p.cells = nil, nil
	p.own.ticks, p.told.ticks, p.up.ticks = nil, nil, nil
}
