package signal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/signal/count"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// question is one query for many subjects.
type question struct {
	questionKey
	from    int64
	to      int64
	step    int64 // of a gauge by PromQL
	targets []target
}

// target is a feed of a subject that a question is asked for.
type target struct {
	t     *tracked
	feed  *feed
	begin count.Beginning
	found int // series of the answer
}

// answer is what came of a question, or of a part of it.
type answer struct {
	question
	series []samples.Series
	err    error
}

// questionKey groups targets that can share a query.
type questionKey struct {
	text    string
	form    int
	exact   bool // the pods are known by name
	regular bool // only the newest tick; others would widen the window
	users   bool // the user's own
	gauge   bool
	// callers is the dialect of what callers count: it says how series name a
	// workload, and dialects may share a metric.
	callers *catalogue.Dialect
}

// plan makes the questions that bring the members to a boundary. Those that the
// source is spared when it cannot keep up are left out.
func (r *Reader) plan(members []*tracked, to int64) []question {
	var order []questionKey
	groups := map[questionKey]*question{}
	for _, t := range members {
		for _, f := range t.feeds {
			if f.breadth() > r.budget.breadth() && !t.essential(f) {
				f.err, t.findings.stale = errSpared, true
				continue
			}
			begin, from := f.begin, t.pos-max(t.tick, r.late())
			if f.what == feedNative || f.exporter() {
				from = min(from, t.pos-t.look)
			}
			if !f.begun {
				begin = r.beginning(t, f)
				from = begin.Since
			}
			regular := f.begun && t.pos == to-t.tick
			exact := regular && t.knowsPods(f)
			key := questionKey{text: f.text(), form: f.form, exact: exact, regular: regular, users: f.what >= feedBad, gauge: f.what == feedGauge}
			if f.form == formCallers {
				key.callers = f.dialect
			}
			g := groups[key]
			if g == nil {
				g = &question{questionKey: key, from: from, to: to, step: t.tick}
				groups[key] = g
				order = append(order, key)
			}
			if key.gauge {
				from = t.pos
			}
			g.from = min(g.from, from)
			g.targets = append(g.targets, target{t: t, feed: f, begin: begin})
		}
	}
	var out []question
	for _, key := range order {
		out = append(out, r.chunks(*groups[key], r.budget.size(key.text))...)
	}
	return out
}

var errSpared = release.E(release.CodeRateLimited, "left out while the metric source cannot keep up", nil)

// knowsPods reports whether the pods of a feed are known by name, so that no
// pattern is needed to find new ones.
func (t *tracked) knowsPods(f *feed) bool {
	return !t.wholeOf && f.form != formCallers && len(t.subject.Pods) > 0 && len(t.arms[f.arm].owner.named) > 0
}

// beginning is where a feed that was not asked for yet begins: far enough back to
// know where the counters stood, and which pods were there.
func (r *Reader) beginning(t *tracked, f *feed) count.Beginning {
	b := count.Beginning{Since: t.pos - max(2*t.look, firstReach), EmitFrom: t.start}
	switch {
	case f.what >= feedBad:
		b.EmitFrom = t.custom[f.custom].since
	case f.exporter() || f.view == viewCallers:
		b.EmitFrom = t.start
	case t.arms[f.arm].switched:
		b.EmitFrom = t.pos // what came before was counted in another dialect
	}
	return b
}

// chunks splits a question so that none is for more than size subjects, longer
// than the source takes, or likely to answer with more samples than is allowed.
func (r *Reader) chunks(q question, size int) []question {
	var out []question
	begin, subjects, bytes, series := 0, 0, 0, 0
	for i := range q.targets {
		newSubject := i == 0 || q.targets[i].t != q.targets[i-1].t
		b, s := q.cost(&q.targets[i])
		full := subjects == size || bytes+b > r.opt.Limits.QueryBytes || q.samples(series+s) > r.opt.Limits.Samples
		if newSubject && subjects > 0 && full {
			out = append(out, q.part(begin, i))
			begin, subjects, bytes, series = i, 0, 0, 0
		}
		if newSubject {
			subjects++
		}
		bytes += b
		series += s
	}
	return append(out, q.part(begin, len(q.targets)))
}

// cost is how many bytes a target adds to a query, and how many series to its
// answer.
func (q question) cost(target *target) (bytes, series int) {
	t, f := target.t, target.feed
	o := &t.arms[f.arm].owner
	if q.form == formCallers {
		bytes = 4 * (len(t.subject.Workload) + len(t.subject.Namespace))
	} else if q.exact {
		for name := range o.named {
			bytes += len(name) + 1
		}
	} else {
		bytes = len(o.prefix) + len(o.workload) + 1
	}
	for ip := range o.ips {
		bytes += len(ip) / 4 // where pods are named by address
	}
	series = f.series
	if !f.begun {
		series = seriesGuess
	}
	return bytes, series
}

// samples is how many samples so many series are likely to have.
func (q question) samples(series int) int {
	const closest = 10_000 // milliseconds between scrapes, at a guess
	return series * int(1+(q.to-q.from)/closest)
}

func (q question) part(begin, end int) question {
	q.targets = q.targets[begin:end]
	return q
}

func (q question) subjects() int {
	n := 0
	for i := range q.targets {
		if i == 0 || q.targets[i].t != q.targets[i-1].t {
			n++
		}
	}
	return n
}

// ask puts all questions and waits for the answers; how many go out at once is
// the Querier's business. What a verdict stands on is asked first.
func (r *Reader) ask(ctx context.Context, questions []question) []answer {
	slices.SortStableFunc(questions, func(a, b question) int {
		return a.targets[0].feed.breadth() - b.targets[0].feed.breadth()
	})
	answers := make([][]answer, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() { answers[i] = r.askOne(ctx, q) })
	}
	wg.Wait()
	return slices.Concat(answers...)
}

// askOne puts one question; in halves when the source finds it too expensive.
func (r *Reader) askOne(ctx context.Context, q question) []answer {
	series, err := r.put(ctx, q)
	n := q.subjects()
	if release.ErrorCode(err) == release.CodeTooExpensive && n > 1 {
		half := (n + 1) / 2
		r.budget.tooExpensive(q.text, half)
		var out []answer
		for _, part := range r.chunks(q, half) {
			out = append(out, r.askOne(ctx, part)...)
		}
		return out
	}
	if err == nil {
		r.budget.affordable(q.text)
	}
	return []answer{{q, series, typed(err)}}
}

// put asks the source, unless the question would select more than the subjects'
// own.
func (r *Reader) put(ctx context.Context, q question) ([]samples.Series, error) {
	ms, ok := r.narrow(q)
	if !ok {
		return nil, nil // no pod and no callee to ask for
	}
	first := q.targets[0].feed
	if q.gauge {
		step := time.Duration(q.step) * time.Millisecond
		return r.q.Range(ctx, first.expr.With(ms), fromMillis(q.from).Add(step), fromMillis(q.to), step)
	}
	return r.q.Raw(ctx, first.sel.With(ms), time.Duration(q.to-q.from)*time.Millisecond, fromMillis(q.to))
}

// narrow returns the matchers that keep a question to its subjects. It is false
// where there are none: without them a selector is the whole cluster's.
func (r *Reader) narrow(q question) ([]*labels.Matcher, bool) {
	if q.form == formCallers {
		var about []catalogue.Workload
		for i, target := range q.targets {
			if i == 0 || target.t != q.targets[i-1].t {
				about = append(about, target.t.workload())
			}
		}
		ms := q.callers.AboutMatchers(about)
		return ms, len(ms) > 0
	}
	owners := make([]*owner, len(q.targets))
	for i, target := range q.targets {
		owners[i] = &target.t.arms[target.feed.arm].owner
	}
	return matchers(r.cat.Pods[q.form], owners, q.exact)
}

// fail tells the targets that their question was not answered.
func (a answer) fail() {
	code := release.ErrorCode(a.err)
	for i := range a.targets {
		t, f := a.targets[i].t, a.targets[i].feed
		ticks := int((a.to - t.pos) / t.tick)
		switch {
		case code == release.CodeTooExpensive && ticks > 1:
			// One subject alone is too much for so long a time: go in shorter steps.
			t.slice, t.retry = ticks/2, true
		case t.essential(f):
			t.err = a.err
		default:
			// The rest goes on without it.
			f.err = a.err
			t.findings.stale = true
		}
	}
}

// typed makes sure that an error carries a code.
func typed(err error) error {
	var e *release.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return release.E(release.CodeUnavailable, "ask the metric store", err)
}
