package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestPodState(t *testing.T) {
	created := t0
	now := t0.Add(2 * time.Minute)
	pod := func(name string, ready bool, problems ...release.ProblemKind) release.Pod {
		p := release.Pod{Name: name, CreatedAt: created}
		if ready {
			p.ReadyAt = &created
		}
		for _, k := range problems {
			p.Problems = append(p.Problems, release.Problem{Kind: k, Container: "app", Message: "exit code 1"})
		}
		return p
	}
	leaving := pod("new-c", false, release.CrashLoop)
	leaving.Deleting = true
	cases := []struct {
		name            string
		release, stable []release.Pod
		change          func(*release.Observation)
		readyWithin     time.Duration
		want            string // part of the reason; "" for no conviction
		finding         string // kind; "" for none
	}{
		{name: "sound pods convict nobody", release: []release.Pod{pod("new-a", true)}, stable: []release.Pod{pod("old-a", true)}},
		{
			name:    "the only new pod in a crash loop convicts at once",
			release: []release.Pod{pod("new-a", false, release.CrashLoop)}, stable: []release.Pod{pod("old-a", true)},
			want: "crashes again and again",
		},
		{
			name:    "an image that cannot be pulled convicts at once",
			release: []release.Pod{pod("new-a", false, release.ImagePull)}, stable: []release.Pod{pod("old-a", true)},
			want: "image cannot be pulled",
		},
		{
			name:    "an OOM kill convicts even when the pod is up again",
			release: []release.Pod{pod("new-a", true, release.OOMKilled)}, stable: []release.Pod{pod("old-a", true)},
			want: "want of memory",
		},
		{
			name:    "a spec from which no container can be made convicts",
			release: []release.Pod{pod("new-a", false, release.ConfigError)}, stable: []release.Pod{pod("old-a", true)},
			want: "cannot be made from its spec",
		},
		{
			name:    "what the stable pods suffer too is held against nobody",
			release: []release.Pod{pod("new-a", false, release.ImagePull)}, stable: []release.Pod{pod("old-a", false, release.ImagePull)},
			finding: "image_pull",
		},
		{
			name:    "one sick pod among sound ones is a finding",
			release: []release.Pod{pod("new-a", true), pod("new-b", true), pod("new-c", false, release.CrashLoop)},
			finding: "bad_pod",
		},
		{
			name:    "two sick pods are no accident",
			release: []release.Pod{pod("a", true), pod("b", true), pod("c", true), pod("d", false, release.CrashLoop), pod("e", false, release.CrashLoop)},
			want:    "2 of 5 pods",
		},
		{name: "a pod on its way out is not looked at", release: []release.Pod{pod("new-a", true), leaving}},
		{
			name: "pods that never get ready convict when the time given is over", readyWithin: time.Minute,
			release: []release.Pod{pod("new-a", false), pod("new-b", false)}, stable: []release.Pod{pod("old-a", true)},
			want: "none of 2 pods",
		},
		{
			name: "pods that are not ready yet have time", readyWithin: 5 * time.Minute,
			release: []release.Pod{pod("new-a", false)}, stable: []release.Pod{pod("old-a", true)},
		},
		{
			name: "where no pod of the workload is ready the release is not to blame", readyWithin: time.Minute,
			release: []release.Pod{pod("new-a", false)}, stable: []release.Pod{pod("old-a", false)},
		},
		{
			name:    "the rollout's progress deadline convicts",
			release: []release.Pod{pod("new-a", false)}, stable: []release.Pod{pod("old-a", true)},
			change: func(o *release.Observation) { o.DeadlineExceeded = true }, want: "progress deadline",
		},
		{
			name: "a paused Deployment has no deadline", readyWithin: time.Minute,
			release: []release.Pod{pod("new-a", false)}, stable: []release.Pod{pod("old-a", true)},
			change: func(o *release.Observation) { o.DeadlineExceeded, o.Paused = true, true },
		},
		{name: "a workload scaled to zero convicts nobody", readyWithin: time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			obs := release.Observation{Exists: true, Replicas: 4, Release: release.ArmState{Pods: c.release}, Stable: release.ArmState{Pods: c.stable}}
			if c.change != nil {
				c.change(&obs)
			}
			evidence, findings := podState(obs, release.Policy{ReadyWithin: c.readyWithin}, now)
			switch {
			case c.want == "" && len(evidence) > 0:
				t.Errorf("convicted: %s", evidence[0].Reason)
			case c.want != "" && (len(evidence) == 0 || !strings.Contains(evidence[0].Reason, c.want)):
				t.Errorf("evidence %v, want one that says %q", evidence, c.want)
			}
			switch {
			case c.finding == "" && len(findings) > 0:
				t.Errorf("finding %v, want none", findings)
			case c.finding != "" && (len(findings) == 0 || findings[0].Kind != c.finding):
				t.Errorf("findings %v, want %s", findings, c.finding)
			}
		})
	}
}
