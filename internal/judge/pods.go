package judge

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	// More pods than this are not looked at one by one, which bounds the state of
	// a release whose pods come and go.
	maxPods = 256
	// A pod with less than this share of the mean pod's requests has no say.
	podTraffic = 0.1
	// A pod shows the excess when so many bad requests would be this rare at the
	// tolerated rate, and its proportion is not far below the arm's.
	podTail     = 0.001
	podFraction = 0.33
	// Where the others without the worst pod have so large a part of the excess left
	// it is not that pod's.
	podExcess = 0.5
)

// podSteps are the alternatives of the test without one pod.
var podSteps = [...]float64{2, 5, 15}

// pods keeps what tells a bad image from one bad pod: causes that stick to a pod
// (its node, its cache, its sessions) make the pod the unit, not the request.
type pods struct {
	byName map[string]*pod
}

type pod struct {
	count release.Count
	alone release.Count // in ticks without the stable arm
	// without is the evidence against the stable arm had this pod not been.
	without wealth
}

func newPods() pods { return pods{byName: make(map[string]*pod)} }

func (p *pods) step(counts map[string]release.Count, c, s release.Count, r0, phi float64) {
	for name, count := range counts {
		count = sane(count)
		one := p.byName[name]
		if one == nil {
			if count.Total == 0 || len(p.byName) >= maxPods {
				continue
			}
			one = &pod{without: newWealth(len(podSteps), firstShareHarm)}
			p.byName[name] = one
		}
		one.count = one.count.Add(count)
		if s.Total == 0 {
			one.alone = one.alone.Add(count)
		}
	}
	if s.Total == 0 || c.Bad+s.Bad == 0 || len(p.byName) < 3 {
		return
	}
	for name, one := range p.byName {
		one.exclude(c, s, sane(counts[name]), r0, phi)
	}
}

// exclude plays a tick of the release less this pod.
func (o *pod) exclude(c, s, own release.Count, r0, phi float64) {
	n, f := float64(c.Total-own.Total), float64(c.Bad-own.Bad)
	ns, fs := float64(s.Total), float64(s.Bad)
	if n <= 0 || f < 0 || f+fs == 0 {
		return
	}
	rho := n / (n + ns)
	var inc [maxExperts]float64
	for j, step := range podSteps {
		inc[j] = LogConditional(f, fs, rho, r0*step, r0) / phi
	}
	o.without.step(&inc)
}

// suspicion is what the pods say of an excess.
type suspicion struct {
	alone bool // the excess is one pod's; the rest does not show it
	pod   string
	logE  float64 // evidence without that pod
	text  string
}

// suspect looks for a single pod behind the excess over the tolerated
// proportion. level is the evidence (nats) which the other pods must show to
// be guilty too when the excess is not seen in two of them or half of them.
func (p *pods) suspect(all release.Count, tolerated, level float64, d dispersion, b *baseline, alone release.Count) suspicion {
	var mean float64
	for _, o := range p.byName {
		mean += float64(o.count.Total) / float64(len(p.byName))
	}
	serving, excessive := 0, 0
	var worst *pod
	var name string
	for n, o := range p.byName {
		if o.count.Total == 0 || float64(o.count.Total) < podTraffic*mean {
			continue
		}
		serving++
		if o.exceeds(tolerated, all.Ratio(), d.upper()) {
			excessive++
		}
		if worst == nil || o.surplus(tolerated) > worst.surplus(tolerated) ||
			o.surplus(tolerated) == worst.surplus(tolerated) && n < name {
			worst, name = o, n
		}
	}
	if serving < 3 || excessive >= 2 || 2*excessive >= serving {
		return suspicion{}
	}
	rest := release.Count{Total: all.Total - worst.count.Total, Bad: all.Bad - worst.count.Bad}
	if rest.Ratio()-tolerated >= podExcess*(all.Ratio()-tolerated) {
		return suspicion{}
	}
	logE := worst.without.logE()
	if b.known {
		x, n := float64(alone.Bad-worst.alone.Bad), float64(alone.Total-worst.alone.Total)
		logE = logAdd(logE, b.logAtOnce(math.Max(0, x), math.Max(0, n), d.upper())) - math.Ln2
	}
	return suspicion{
		alone: logE < level, pod: name, logE: logE,
		text: fmt.Sprintf("%d of %d requests of pod %s are bad, %d of %d of the other %d release pods",
			worst.count.Bad, worst.count.Total, name, rest.Bad, rest.Total, serving-1),
	}
}

// exceeds reports whether this pod alone is plainly over the tolerated
// proportion; arm is that of all pods.
func (o *pod) exceeds(tolerated, arm, phi float64) bool {
	n, x := float64(o.count.Total), float64(o.count.Bad)
	if x < 2 || x/n < podFraction*arm || x/n <= tolerated {
		return false
	}
	return mathext.RegIncBeta(x/phi, (n-x)/phi+1, tolerated) < podTail
}

// surplus is how many bad requests the pod has beyond the tolerated.
func (o *pod) surplus(tolerated float64) float64 {
	return float64(o.count.Bad) - tolerated*float64(o.count.Total)
}
