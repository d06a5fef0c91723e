package backtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// leastPast is how far before a rollout its Deployment is looked at, at least.
const leastPast = 10 * time.Minute

// load reads the scene of a candidate between two times.
func (k kubeState) load(ctx context.Context, c candidate, observe time.Duration, from, to time.Time) (*scene, error) {
	s := &scene{candidate: c, from: from, to: to, sets: map[string]*replicaSet{}}
	if err := k.loadSets(ctx, s); err != nil {
		return nil, err
	}
	s.rel = release.Release{
		ID:         release.NewID("", c.namespace+"/"+c.deployment, c.namespace+"/"+c.replicaSet),
		Workload:   release.Workload{Namespace: c.namespace, Name: c.deployment, UID: c.namespace + "/" + c.deployment},
		ReplicaSet: release.ReplicaSet{Name: c.replicaSet, UID: c.namespace + "/" + c.replicaSet, CreatedAt: c.created},
		StartedAt:  c.created, SeenAt: c.created, HistoryUntil: c.created,
	}
	if old := s.takenOver(observe); old != nil {
		s.rel.Previous = &release.ReplicaSet{Name: old.name, UID: c.namespace + "/" + old.name, CreatedAt: old.created}
	}
	s.back, s.backTo = s.whenBack()
	if err := k.loadPods(ctx, s); err != nil {
		return nil, err
	}
	return s, k.loadGone(ctx, s)
}

// loadSets reads the Deployment's ReplicaSets.
func (k kubeState) loadSets(ctx context.Context, s *scene) error {
	c := &s.candidate
	owned, err := k.last(ctx, promql.Metric("kube_replicaset_owner",
		c.within(equals("owner_kind", "Deployment"), equals("owner_name", c.deployment))...), s.from, s.to)
	if err != nil {
		return err
	}
	names := []string{c.replicaSet}
	for i := range owned {
		if name := owned[i].Labels.Get("replicaset"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	const created, spec, ready = "kube_replicaset_created", "kube_replicaset_spec_replicas", "kube_replicaset_status_ready_replicas"
	series, err := k.raw(ctx, promql.Metrics([]string{spec, ready}, c.within(oneOf("replicaset", names))...), s.from, s.to)
	if err != nil {
		return err
	}
	told := map[[2]string][][]samples.Float{}
	born, err := k.last(ctx, promql.Metric(created, c.within(oneOf("replicaset", names))...), s.from, s.to)
	if err != nil {
		return err
	}
	for i := range born { // some stores drop the name here
		told[[2]string{born[i].Labels.Get("replicaset"), created}] = [][]samples.Float{born[i].Floats}
	}
	for i := range series {
		set := series[i].Labels
		key := [2]string{set.Get("replicaset"), set.Get(model.MetricNameLabel)}
		told[key] = append(told[key], series[i].Floats)
		s.beats = s.beats.with(series[i].Floats)
	}
	for _, name := range names {
		rs := &replicaSet{name: name, created: c.created, spec: stepsOf(told[[2]string{name, spec}]...), ready: stepsOf(told[[2]string{name, ready}]...)}
		if at := stepsOf(told[[2]string{name, created}]...); name != c.replicaSet && len(at) > 0 {
			rs.created = time.Unix(int64(at[0].v), 0).UTC()
		}
		s.sets[name] = rs
	}
	s.beats = s.beats.sorted()
	s.slack = s.beats.gap() * 9 / 10
	return nil
}

// loadPods reads the pods of both arms.
func (k kubeState) loadPods(ctx context.Context, s *scene) error {
	c := &s.candidate
	arms := map[string]release.Arm{c.replicaSet: release.ArmRelease}
	sets := []string{c.replicaSet}
	if s.rel.Previous != nil {
		arms[s.rel.Previous.Name] = release.ArmStable
		sets = append(sets, s.rel.Previous.Name)
	}
	owned, err := k.last(ctx, promql.Metric("kube_pod_owner", c.within(equals("owner_kind", "ReplicaSet"), oneOf("owner_name", sets))...), s.from, s.to)
	if err != nil || len(owned) == 0 {
		return err
	}
	pods := map[string]*pod{}
	for i := range owned {
		name, set := labelOf(owned[i].Labels, "pod"), owned[i].Labels.Get("owner_name")
		if pods[name] == nil {
			pods[name] = &pod{name: name, set: set, arm: arms[set]}
			s.pods = append(s.pods, pods[name])
		}
	}
	slices.SortFunc(s.pods, func(a, b *pod) int { return strings.Compare(a.name, b.name) })
	if err := k.loadFacts(ctx, s, pods); err != nil {
		return err
	}
	return k.loadStates(ctx, s, pods)
}

func named(pods []*pod) []string {
	out := make([]string, len(pods))
	for i, p := range pods {
		out[i] = p.name
	}
	return out
}

// loadFacts reads what does not change of a pod.
func (k kubeState) loadFacts(ctx context.Context, s *scene, pods map[string]*pod) error {
	c := &s.candidate
	series, err := k.last(ctx, promql.Metrics([]string{"kube_pod_created", "kube_pod_container_info", "kube_pod_info"},
		c.within(oneOf(c.renamed("pod"), named(s.pods)))...), s.from, s.to)
	if err != nil {
		return err
	}
	for i := range series {
		set := series[i].Labels
		p := pods[labelOf(set, "pod")]
		if p == nil {
			continue
		}
		switch { // by their labels: some stores drop the name here
		case set.Get("image") != "":
			p.addImage(release.Image{Container: labelOf(set, "container"), Reference: set.Get("image"), Digest: digestOf(set.Get("image_id"))})
		case set.Get("pod_ip") != "":
			p.ip = set.Get("pod_ip")
		default:
			if v, ok := lastValue(&series[i]); ok && v > 1 {
				p.created = time.Unix(int64(v), 0).UTC()
				p.young = p.created.After(s.from)
			}
		}
	}
	s.rel.ReplicaSet.Images = s.images(s.rel.ReplicaSet.Name)
	if s.rel.Previous != nil {
		s.rel.Previous.Images = s.images(s.rel.Previous.Name)
	}
	return nil
}

// digestOf is the digest in an image ID such as repository@sha256:…, "" for none.
func digestOf(id string) string {
	if _, digest, ok := strings.Cut(id, "@"); ok {
		return digest
	}
	if at := strings.Index(id, "sha256:"); at >= 0 {
		return id[at:]
	}
	return ""
}

// addImage keeps a container's image, and its digest once it is known.
func (p *pod) addImage(im release.Image) {
	for i := range p.images {
		if p.images[i].Container == im.Container {
			if p.images[i].Digest == "" {
				p.images[i] = im
			}
			return
		}
	}
	p.images = append(p.images, im)
	slices.SortFunc(p.images, func(a, b release.Image) int { return strings.Compare(a.Container, b.Container) })
}

// images are those of a ReplicaSet's pods.
func (s *scene) images(set string) []release.Image {
	var all pod
	for _, p := range s.pods {
		if p.set == set {
			for _, im := range p.images {
				all.addImage(im)
			}
		}
	}
	return all.images
}

const (
	podReady      = "kube_pod_status_ready"
	podWaiting    = "kube_pod_container_status_waiting_reason"
	podTerminated = "kube_pod_container_status_last_terminated_reason"
	podRestarts   = "kube_pod_container_status_restarts_total"
)

// loadStates reads what changes of a pod.
func (k kubeState) loadStates(ctx context.Context, s *scene, pods map[string]*pod) error {
	c := &s.candidate
	series, err := k.raw(ctx, promql.Metrics([]string{podReady, podWaiting, podTerminated, podRestarts},
		c.within(oneOf(c.renamed("pod"), named(s.pods)), oneOf("condition", []string{"true", ""}))...), s.from, s.to)
	if err != nil {
		return err
	}
	type key struct{ pod, metric, container, reason string }
	told := map[key][][]samples.Float{}
	for i := range series {
		set := series[i].Labels
		at := key{labelOf(set, "pod"), set.Get(model.MetricNameLabel), labelOf(set, "container"), set.Get("reason")}
		p := pods[at.pod]
		if p == nil {
			continue
		}
		told[at] = append(told[at], series[i].Floats)
		p.seen = p.seen.with(series[i].Floats)
	}
	for at, list := range told {
		p, v := pods[at.pod], stepsOf(list...)
		switch at.metric {
		case podReady:
			p.ready = v
		case podRestarts:
			if p.restarts == nil {
				p.restarts = map[string]steps{}
			}
			p.restarts[at.container] = v
		case podWaiting:
			if kind, ok := release.WaitingProblem(at.reason); ok {
				p.troubles = append(p.troubles, &trouble{kind, at.container, at.reason, s.ending(v, list), 0})
			}
		case podTerminated:
			kind, least := release.CrashLoop, 2.0
			if at.reason == "OOMKilled" {
				kind, least = release.OOMKilled, 1
			}
			if at.reason != "Completed" {
				p.troubles = append(p.troubles, &trouble{kind, at.container, at.reason, s.ending(v, list), least})
			}
		}
	}
	for _, p := range s.pods {
		p.seen = p.seen.sorted()
		slices.SortFunc(p.troubles, func(a, b *trouble) int { return strings.Compare(a.container+a.reason, b.container+b.reason) })
	}
	return nil
}

// ending adds the ends of a state that is told of only while it lasts: the first
// time that the workload was told of and the state was not.
func (s *scene) ending(v steps, list [][]samples.Float) steps {
	var seen times
	for _, l := range list {
		seen = seen.with(l)
	}
	seen = seen.sorted()
	for _, beat := range s.beats {
		if last, ok := seen.before(beat); ok && last < beat-s.slack {
			v = append(v, step{last + s.slack + 1, 0})
		}
	}
	// Where it came back, the next sample is a change again.
	for _, at := range seen {
		v = append(v, step{at, valueAt(list, at)})
	}
	slices.SortStableFunc(v, func(a, b step) int { return int(a.at - b.at) })
	return slices.CompactFunc(v, func(a, b step) bool { return a.v == b.v })
}

func valueAt(list [][]samples.Float, ms int64) float64 {
	for _, l := range list {
		for _, f := range l {
			if f.Millis == ms {
				return f.Value
			}
		}
	}
	return 0
}

// loadGone finds out whether the Deployment was deleted: nothing is told of it
// any more while other workloads are.
func (k kubeState) loadGone(ctx context.Context, s *scene) error {
	if len(s.beats) == 0 {
		return nil
	}
	last := time.UnixMilli(s.beats[len(s.beats)-1]).UTC()
	quiet := max(2*time.Minute, 4*time.Duration(s.beats.gap())*time.Millisecond)
	if s.to.Sub(last) < quiet {
		return nil
	}
	others, err := k.store.Range(ctx, fmt.Sprintf("count(last_over_time(kube_replicaset_created[%s]))", promDuration(quiet/2)),
		last.Add(quiet), s.to, time.Minute)
	if err != nil || len(others) == 0 || len(others[0].Floats) == 0 {
		return err
	}
	s.gone = time.UnixMilli(others[0].Floats[0].Millis).UTC()
	return nil
}
