package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Pod states that need no statistics. A problem convicts the image when the
// release's pods have it and no stable pod does, and when it is not one sick
// pod among sound ones of the same image: at least two pods, half of those that
// exist, or all that there are.
func podState(obs release.Observation, p release.Policy, now time.Time) ([]release.Evidence, []release.Finding) {
	var evidence []release.Evidence
	var findings []release.Finding
	pods := standing(obs.Release.Pods)
	for _, kind := range []release.ProblemKind{release.ImagePull, release.ConfigError, release.OOMKilled, release.CrashLoop} {
		sick, example := having(pods, kind)
		if len(sick) == 0 {
			continue
		}
		if stable, _ := having(obs.Stable.Pods, kind); len(stable) > 0 {
			findings = append(findings, release.Finding{
				Kind:    string(kind),
				Message: fmt.Sprintf("%s in the stable pods too (%s): not held against the release", describe(kind), stable[0]),
			})
			continue
		}
		if len(sick) < 2 && 2*len(sick) < len(pods) {
			findings = append(findings, release.Finding{
				Kind: "bad_pod", Pod: sick[0],
				Message: fmt.Sprintf("%s in one pod of %d, the others are sound: %s", describe(kind), len(pods), example.Message),
			})
			continue
		}
		reason := fmt.Sprintf("%s: container %s of %s (%d of %d pods)", describe(kind), example.Container, sick[0], len(sick), len(pods))
		if example.Message != "" {
			reason += ": " + example.Message
		}
		evidence = append(evidence, stateEvidence(reason, len(sick), len(pods)))
	}
	if len(evidence) > 0 {
		return evidence, findings
	}
	if reason := notReady(obs, pods, p, now); reason != "" {
		evidence = append(evidence, stateEvidence(reason, len(pods)-readyCount(pods), len(pods)))
	}
	return evidence, findings
}

// notReady says why the release's pods count as never ready, "" if they do not.
func notReady(obs release.Observation, pods []release.Pod, p release.Policy, now time.Time) string {
	if stable := standing(obs.Stable.Pods); obs.Paused || (len(stable) > 0 && readyCount(stable) == 0) {
		return "" // nobody asked for more pods, or no pod of the workload gets ready
	}
	if obs.DeadlineExceeded && readyCount(pods) < max(1, obs.Replicas) {
		return fmt.Sprintf("the rollout's progress deadline passed with %d of %d pods of the release ready", readyCount(pods), obs.Replicas)
	}
	if len(pods) == 0 || readyCount(pods) > 0 || p.ReadyWithin <= 0 {
		return ""
	}
	for _, pod := range pods {
		if pod.ReadyAt != nil || now.Sub(pod.CreatedAt) < p.ReadyWithin {
			return ""
		}
	}
	return fmt.Sprintf("none of %d pods of the release became ready within %s", len(pods), p.ReadyWithin)
}

func stateEvidence(reason string, sick, pods int) release.Evidence {
	return release.Evidence{
		Signal: release.SignalPodState, Baseline: release.BaselineNone, Unit: release.UnitCount,
		ReleaseValue: float64(sick), Reason: reason,
		Release: release.Count{Total: int64(pods), Bad: int64(sick)},
	}
}

// standing leaves out pods that are on their way out: their end is no fault.
func standing(pods []release.Pod) []release.Pod {
	var out []release.Pod
	for _, p := range pods {
		if !p.Deleting {
			out = append(out, p)
		}
	}
	return out
}

func having(pods []release.Pod, kind release.ProblemKind) (names []string, example release.Problem) {
	for _, p := range standing(pods) {
		for _, pr := range p.Problems {
			if pr.Kind == kind {
				if len(names) == 0 {
					example = pr
				}
				names = append(names, p.Name)
				break
			}
		}
	}
	return names, example
}

func readyCount(pods []release.Pod) int {
	n := 0
	for _, p := range pods {
		if p.ReadyAt != nil {
			n++
		}
	}
	return n
}

func describe(kind release.ProblemKind) string {
	switch kind {
	case release.CrashLoop:
		return "the container crashes again and again"
	case release.ImagePull:
		return "the image cannot be pulled"
	case release.OOMKilled:
		return "the container was killed for want of memory"
	case release.ConfigError:
		return "the container cannot be made from its spec"
	default:
		return strings.ReplaceAll(string(kind), "_", " ")
	}
}
