package respond

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// strictCluster is a cluster in memory that keeps the real one's fences and
// writes down every patch it takes.
type strictCluster struct {
	mu        sync.Mutex
	down      bool
	err       error // what Rollback answers instead, once
	deploys   map[string]*deployment
	patches   []release.RollbackRequest
	events    map[string]string // key → reason: message
	comesBack time.Duration     // from a patch until every replica is ready
}

type deployment struct {
	workload   release.Workload
	generation int64
	revision   int64
	current    string // UID of a ReplicaSet
	sets       []release.ReplicaSet
	rolledBack release.ID
	patchedAt  time.Time
}

func newCluster() *strictCluster {
	return &strictCluster{deploys: make(map[string]*deployment), events: make(map[string]string), comesBack: 14 * time.Second}
}

var errAway = release.E(release.CodeUnavailable, "the API server does not answer", errors.New("connection refused"))

func (c *strictCluster) reach(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.down {
		return errAway
	}
	return nil
}

// deploy rolls a workload out to its n-th version, as a release whose
// generation is the Deployment's.
func (c *strictCluster) deploy(name string, n int) release.Release {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.deploys[name]
	if d == nil {
		d = &deployment{workload: release.Workload{Cluster: "lab", Namespace: "shop", Name: name, UID: "uid-" + name}}
		c.deploys[name] = d
	}
	var before *release.ReplicaSet
	for _, rs := range d.sets {
		if rs.UID == d.current {
			before = &rs
		}
	}
	d.generation++
	d.revision++
	now := time.Now().UTC().Truncate(time.Millisecond)
	rs := release.ReplicaSet{
		CreatedAt: now, Name: fmt.Sprintf("%s-%d", name, n), UID: fmt.Sprintf("rs-%s-%d", name, n), Hash: fmt.Sprintf("%s%d", name, n), Revision: d.revision,
		Images: []release.Image{{
			Container: "app", Reference: fmt.Sprintf("registry.example/shop/%s:v%d", name, n), Digest: fmt.Sprintf("sha256:%d", n),
			Revision: fmt.Sprintf("c0ffee%d", n), Source: "https://git.example/shop/" + name,
		}},
	}
	d.sets = append([]release.ReplicaSet{rs}, slices.DeleteFunc(d.sets, func(o release.ReplicaSet) bool { return o.UID == rs.UID })...)
	d.current = rs.UID
	return release.Release{
		ID: release.NewID("lab", d.workload.UID, rs.UID), Workload: d.workload, ReplicaSet: rs, Previous: before,
		Generation: d.generation, StartedAt: now, SeenAt: now,
	}
}

func (c *strictCluster) forget(name string, keep func(release.ReplicaSet) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.deploys[name]
	d.sets = slices.DeleteFunc(d.sets, func(rs release.ReplicaSet) bool { return !keep(rs) })
}

func (c *strictCluster) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *strictCluster) taken() []release.RollbackRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.patches)
}

func (c *strictCluster) eventTexts() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.events)
}

func (c *strictCluster) ReplicaSets(ctx context.Context, w release.Workload) ([]release.RolloutReplicaSet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reach(ctx); err != nil {
		return nil, err
	}
	var out []release.RolloutReplicaSet
	for _, rs := range c.deploys[w.Name].sets {
		out = append(out, release.RolloutReplicaSet{ReplicaSet: rs})
	}
	return out, nil
}

func (c *strictCluster) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reach(ctx); err != nil {
		return release.RollbackResult{}, err
	}
	if err := c.err; err != nil {
		c.err = nil
		return release.RollbackResult{}, err
	}
	d := c.deploys[req.Workload.Name]
	marked, current := d.rolledBack == req.Release, d.current == req.From.UID
	switch {
	case marked && !current:
		return release.RollbackResult{Target: req.Target, Already: true, Generation: d.generation}, nil
	case marked:
		return release.RollbackResult{}, release.E(release.CodeRefused, "rolled back before", nil)
	case !current:
		return release.RollbackResult{}, release.E(release.CodeVoid, "the deployment no longer has the pod template of "+req.From.Name, nil)
	case !slices.ContainsFunc(d.sets, func(rs release.ReplicaSet) bool { return rs.UID == req.Target.UID }):
		return release.RollbackResult{}, release.E(release.CodeRefused, "the target is gone", nil)
	}
	d.generation++
	d.current, d.rolledBack, d.patchedAt = req.Target.UID, req.Release, time.Now()
	c.patches = append(c.patches, req)
	return release.RollbackResult{Target: req.Target, Generation: d.generation}, nil
}

func (c *strictCluster) Restored(ctx context.Context, w release.Workload, target release.ReplicaSet) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reach(ctx); err != nil {
		return false, err
	}
	d := c.deploys[w.Name]
	if d.current != target.UID {
		return false, release.E(release.CodeVoid, "another template is current", nil)
	}
	return time.Since(d.patchedAt) >= c.comesBack, nil
}

func (c *strictCluster) Event(ctx context.Context, _ release.Workload, key, reason, message string, _ bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reach(ctx); err != nil {
		return err
	}
	c.events[key] = reason + ": " + message
	return nil
}

// strictAlertmanager keeps alerts by their labels, as Alertmanager does.
type strictAlertmanager struct {
	mu     sync.Mutex
	err    error
	alerts map[string]release.Alert
	posts  []release.Alert // in the order they came
	at     []time.Time
}

func newAlertmanager() *strictAlertmanager {
	return &strictAlertmanager{alerts: make(map[string]release.Alert)}
}

func (m *strictAlertmanager) Post(ctx context.Context, alerts []release.Alert) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.err != nil {
		return m.err
	}
	for _, a := range alerts {
		a.Labels, a.Annotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
		m.alerts[identity(a)] = a
		m.posts, m.at = append(m.posts, a), append(m.at, time.Now())
	}
	return nil
}

func identity(a release.Alert) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		parts = append(parts, k+"="+a.Labels[k])
	}
	return strings.Join(parts, ",")
}

func (m *strictAlertmanager) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// of is the alert of a release, and whether it fires now.
func (m *strictAlertmanager) of(id release.ID) (a release.Alert, firing bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.alerts {
		if a.Labels["release"] == string(id) {
			return a, a.EndsAt.After(time.Now())
		}
	}
	return release.Alert{}, false
}

func (m *strictAlertmanager) count() (alerts, posts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.alerts), len(m.posts)
}

// strictForge keeps issues, as a forge that takes every issue it is given.
type strictForge struct {
	mu      sync.Mutex
	err     error
	issues  []release.Issue
	repos   []string
	commits []release.Commit
	asked   []string // repo from..to
}

func (f *strictForge) Repository(source string) (string, bool) {
	return strings.CutPrefix(source, "https://git.example/")
}

func (f *strictForge) FindIssue(ctx context.Context, repo, marker string) (string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.err); err != nil {
		return "", false, err
	}
	for i, is := range f.issues {
		if f.repos[i] == repo && strings.Contains(is.Body, marker) {
			return f.url(i), true, nil
		}
	}
	return "", false, nil
}

func (f *strictForge) url(i int) string {
	return fmt.Sprintf("https://git.example/%s/issues/%d", f.repos[i], i+1)
}

func (f *strictForge) OpenIssue(ctx context.Context, repo string, is release.Issue) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.err); err != nil {
		return "", err
	}
	f.issues, f.repos = append(f.issues, is), append(f.repos, repo)
	return f.url(len(f.issues) - 1), nil
}

func (f *strictForge) Commits(_ context.Context, repo, from, to string) ([]release.Commit, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, repo+" "+from+".."+to)
	return f.commits, nil
}

func (f *strictForge) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *strictForge) opened() []release.Issue {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.issues)
}
