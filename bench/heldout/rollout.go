package heldout

import (
	"fmt"
	"math"
)

// schedule plays the Deployment controller, second by second: a quarter more pods
// than wanted at the most, a quarter less at the least.
func (w *workload) schedule() {
	s := w.scene
	for i := range w.replicas {
		p := w.add(stable, i, math.Max(w.created[stable]+30, s.from-s.between(1, 40)*3600))
		p.at = s.from
	}
	w.completed = w.start
	if w.start >= never {
		return
	}
	for at := w.start + 1; at < s.to; at++ {
		wanted := w.replicas
		if w.desired != nil {
			wanted = w.desired(at)
		}
		if w.grow(at, wanted) {
			w.shrink(at, wanted)
		}
	}
	for _, p := range w.pods {
		if p.isNew() && p.ready < never {
			w.completed = math.Max(w.completed, p.ready+w.minReady)
		}
	}
}

// living are the pods of a version that nobody has told to stop.
func (w *workload) living(version int, at float64) (out []*pod) {
	for _, p := range w.pods {
		if p.version == version && p.born <= at && at < p.stop {
			out = append(out, p)
		}
	}
	return out
}

// grow makes new pods as far as the surge and a hold let it, and tells whether the
// rollout is under way.
func (w *workload) grow(at float64, wanted int) bool {
	old, young := len(w.living(stable, at)), w.living(fresh, at)
	most := wanted
	if at < w.hold.until {
		most = int(math.Ceil(w.hold.part * float64(wanted)))
	}
	room := wanted + (wanted+3)/4 - old - len(young)
	for n := len(young); n < most && room > 0; n, room = n+1, room-1 {
		w.add(fresh, n, at)
	}
	return old > 0 || len(young) < wanted
}

// shrink stops old pods of which enough new ones are available.
func (w *workload) shrink(at float64, wanted int) {
	old := w.living(stable, at)
	available := 0
	for _, p := range w.living(fresh, at) {
		if at >= p.ready+w.minReady {
			available++
		}
	}
	spare := len(old) + available - (wanted - wanted/4)
	if at < w.hold.until {
		spare = min(spare, len(old)+available-wanted)
	}
	for i := 0; i < len(old) && spare > 0; i, spare = i+1, spare-1 {
		w.tellToStop(old[len(old)-1-i], at)
	}
}

func (w *workload) tellToStop(p *pod, at float64) {
	serving, existing := 1+w.scene.Float64(), w.scene.between(4, 25)
	if w.linger != nil {
		serving, existing = w.linger(p)
	}
	p.stop, p.serves, p.gone = at, at+serving, at+serving+existing
}

// add makes a pod.
func (w *workload) add(version, index int, born float64) *pod {
	s := w.scene
	p := &pod{
		of: w, version: version, index: index, name: w.sets[version] + "-" + s.letters(5, kubeLetters), uid: s.uid(),
		ip:   fmt.Sprintf("10.%d.%d.%d", 1+s.IntN(60), s.IntN(256), 2+s.IntN(250)),
		born: born, ready: born + w.startup + s.between(0, 10), stop: never, serves: never, gone: never,
		weight: s.between(0.85, 1.15), at: born,
	}
	p.instance = p.ip + ":8080"
	p.ready = math.Ceil(p.ready)
	if w.crashes != nil {
		p.downs = w.crashes(p)
	}
	p.tally = newTally(w)
	w.pods = append(w.pods, p)
	return p
}
