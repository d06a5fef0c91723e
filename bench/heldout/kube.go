package heldout

// kubeSet are a ReplicaSet's series of kube-state-metrics.
type kubeSet struct{ owner, created, spec, status, ready *series }

// kubePod are a pod's.
type kubePod struct {
	owner, created, info, restarts *series
	ready                          [3]*series // true, false, unknown
	waiting, terminated            map[string]*series
}

// kubeLabels stand on all of them.
func kubeLabels(more ...string) []string {
	return append(more, "instance", kubeInstance, "job", "kube-state-metrics")
}

// kubeState scrapes what kube-state-metrics tells of the scene.
func (s *scene) kubeState() func(*target, float64) {
	sets, pods := map[string]*kubeSet{}, map[*pod]*kubePod{}
	return func(t *target, at float64) {
		missed := s.opt.kubeMissed(t.round)
		silent := false
		for _, w := range s.workloads {
			if w.silent.holds(at) {
				silent = true
				continue
			}
			if missed {
				continue
			}
			for version, set := range w.sets {
				if at >= w.created[version]+1 {
					if sets[set] == nil {
						sets[set] = newKubeSet(t, w, version)
					}
					sets[set].put(t, w, version, at)
				}
			}
			for _, p := range w.pods {
				if at >= p.born+0.5 && at < p.gone {
					if pods[p] == nil {
						pods[p] = newKubePod(t, p)
					}
					pods[p].put(t, p, at)
				}
			}
		}
		if !silent {
			t.settle()
		}
	}
}

func newKubeSet(t *target, w *workload, version int) *kubeSet {
	pairs := kubeLabels("namespace", w.namespace, "replicaset", w.sets[version])
	return &kubeSet{
		owner:   t.add("kube_replicaset_owner", append([]string{"owner_kind", "Deployment", "owner_name", w.name}, pairs...)...),
		created: t.add("kube_replicaset_created", pairs...),
		spec:    t.add("kube_replicaset_spec_replicas", pairs...),
		status:  t.add("kube_replicaset_status_replicas", pairs...),
		ready:   t.add("kube_replicaset_status_ready_replicas", pairs...),
	}
}

func (k *kubeSet) put(t *target, w *workload, version int, at float64) {
	living := w.living(version, at)
	ready := 0.0
	for _, p := range living {
		if at >= p.ready && p.sound(at) {
			ready++
		}
	}
	t.put(k.owner, 1)
	t.put(k.created, float64(w.scene.time(w.created[version]).Unix()))
	t.put(k.spec, float64(len(living)))
	t.put(k.status, float64(len(living)))
	t.put(k.ready, ready)
}

func (p *pod) kubePairs(more ...string) []string {
	return kubeLabels(append(more, "namespace", p.of.namespace, "pod", p.name, "uid", p.uid)...)
}

func newKubePod(t *target, p *pod) *kubePod {
	w := p.of
	k := &kubePod{
		owner:    t.add("kube_pod_owner", p.kubePairs("owner_kind", "ReplicaSet", "owner_name", w.sets[p.version])...),
		created:  t.add("kube_pod_created", p.kubePairs()...),
		info:     t.add("kube_pod_container_info", p.kubePairs("container", "app", "image", w.images[p.version], "image_id", w.digests[p.version])...),
		restarts: t.add("kube_pod_container_status_restarts_total", p.kubePairs("container", "app")...),
		waiting:  map[string]*series{}, terminated: map[string]*series{},
	}
	for i, condition := range []string{"true", "false", "unknown"} {
		k.ready[i] = t.add("kube_pod_status_ready", p.kubePairs("condition", condition)...)
	}
	return k
}

func (k *kubePod) put(t *target, p *pod, at float64) {
	t.put(k.owner, 1)
	t.put(k.created, float64(p.of.scene.time(p.born).Unix()))
	t.put(k.info, 1)
	ready := 1 // the index of false
	if at >= p.ready && at < p.stop && p.sound(at) {
		ready = 0
	}
	for i, s := range k.ready {
		v := 0.0
		if i == ready {
			v = 1
		}
		t.put(s, v)
	}
	n, reason := p.restarts(at)
	t.put(k.restarts, float64(n))
	if reason != "" {
		t.put(k.reason(t, p, k.terminated, "kube_pod_container_status_last_terminated_reason", reason), 1)
	}
	waits := ""
	if d := p.down(at); d != nil && d.backoff {
		waits = "CrashLoopBackOff"
	} else if at < p.born+2 {
		waits = "ContainerCreating"
	}
	if waits != "" {
		t.put(k.reason(t, p, k.waiting, "kube_pod_container_status_waiting_reason", waits), 1)
	}
}

// reason is the series of a reason, which exists while it holds.
func (k *kubePod) reason(t *target, p *pod, of map[string]*series, metric, reason string) *series {
	if of[reason] == nil {
		of[reason] = t.add(metric, p.kubePairs("container", "app", "reason", reason)...)
	}
	return of[reason]
}
