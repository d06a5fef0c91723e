package signal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// question is one query for many subjects.
type question struct {
	sel     selector
	form    int
	from    int64
	to      int64
	targets []target
}

// target is one counter of one arm that a question is asked for.
type target struct {
	t     *tracked
	arm   armIndex
	slot  int32
	begin beginning
}

// answer is what came of a question, or of a part of it.
type answer struct {
	question
	series []Series
	err    error
}

// questionKey groups targets that can share a query.
type questionKey struct {
	text    string
	form    int
	regular bool // only the newest tick; others would widen the window
}

// plan makes the questions that bring the members to a boundary.
func (r *Reader) plan(members []*tracked, to int64) []question {
	var order []questionKey
	groups := map[questionKey]*question{}
	for _, t := range members {
		ask := func(a armIndex, slot int32, sel selector, form int) {
			begin, begun := t.arms[a].begun[slot]
			from := t.pos - r.tick // what came late for the tick before
			if !begun {
				begin = r.beginning(t, a, slot)
				from = begin.since
			}
			key := questionKey{sel.text, form, begun && t.pos == to-r.tick}
			g := groups[key]
			if g == nil {
				g = &question{sel: sel, form: form, from: from, to: to}
				groups[key] = g
				order = append(order, key)
			}
			g.from = min(g.from, from)
			g.targets = append(g.targets, target{t, a, slot, begin})
		}
		for a := range armCount {
			arm := &t.arms[a]
			if !arm.exists {
				continue
			}
			if d := arm.dialect; d != nil {
				ask(a, slotRequests, d.Requests.selector, arm.form)
				if d.Latency != nil {
					ask(a, slotLatency, d.Latency.selector, arm.form)
				}
			}
			for i := range t.custom {
				c := &t.custom[i]
				form := t.customForm(c)
				if c.broken != nil || form < 0 {
					continue
				}
				ask(a, slotCustom+2*int32(i), c.bad, form)
				ask(a, slotCustom+2*int32(i)+1, c.total, form)
			}
		}
	}
	var out []question
	for _, key := range order {
		out = append(out, groups[key].chunks(r.budget.size(key.text))...)
	}
	return out
}

// beginning is where a counter that was not asked for yet begins: far enough
// back to know where the counters stood, and which pods were there.
func (r *Reader) beginning(t *tracked, a armIndex, slot int32) beginning {
	b := beginning{since: t.pos - 2*r.opt.ScrapeLookback.Milliseconds(), emitFrom: t.start}
	if i, ok := isCustom(slot); ok {
		b.emitFrom = t.custom[i].since
	} else if t.arms[a].switched {
		b.emitFrom = t.pos // what came before was counted in another dialect
	}
	return b
}

// chunks splits a question so that none is for more than size subjects.
func (q question) chunks(size int) []question {
	var out []question
	begin, subjects := 0, 0
	for i := range q.targets {
		if i > 0 && q.targets[i].t == q.targets[i-1].t {
			continue
		}
		if subjects == size {
			out = append(out, q.part(begin, i))
			begin, subjects = i, 0
		}
		subjects++
	}
	return append(out, q.part(begin, len(q.targets)))
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
// the Querier's business.
func (r *Reader) ask(ctx context.Context, questions []question) []answer {
	answers := make([][]answer, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() { answers[i] = r.askOne(ctx, q) })
	}
	wg.Wait()
	var out []answer
	for _, a := range answers {
		out = append(out, a...)
	}
	return out
}

// askOne puts one question; in halves when the source finds it too expensive.
func (r *Reader) askOne(ctx context.Context, q question) []answer {
	form := r.cat.pods[q.form]
	series, err := r.q.Raw(ctx, q.sel.with(matchers(form, q.owners())), time.Duration(q.to-q.from)*time.Millisecond, fromMillis(q.to))
	n := q.subjects()
	if release.ErrorCode(err) == release.CodeTooExpensive && n > 1 {
		half := (n + 1) / 2
		r.budget.tooExpensive(q.sel.text, half)
		var out []answer
		for _, part := range q.chunks(half) {
			out = append(out, r.askOne(ctx, part)...)
		}
		return out
	}
	if err == nil {
		r.budget.affordable(q.sel.text)
	}
	return []answer{{q, series, typed(err)}}
}

func (q question) owners() []owner {
	owners := make([]owner, len(q.targets))
	for i, t := range q.targets {
		owners[i] = t.t.arms[t.arm].owner
	}
	return owners
}

// fail tells the targets that their question was not answered.
func (a answer) fail() {
	code := release.ErrorCode(a.err)
	for _, target := range a.targets {
		t := target.t
		ticks := int((a.to - t.pos) / t.tick)
		i, custom := isCustom(target.slot)
		switch {
		case code == release.CodeTooExpensive && ticks > 1:
			// One subject alone is too much for so long a time: go in shorter steps.
			t.slice, t.retry = ticks/2, true
		case custom && (code == release.CodeTooExpensive || code == release.CodeBadQuery):
			// The user's own query is at fault, not the source: the rest goes on.
			t.custom[i].err, t.stale = a.err, true
		default:
			t.err = a.err
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
