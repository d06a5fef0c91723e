package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// probeSet runs the probes of one start of a container and tells the container
// what they come to.
type probeSet struct {
	c      *container
	target target
	// fail gets, once, why the container must be started anew.
	fail chan probeFailure
}

type probeFailure struct {
	what  string // "liveness", "startup"
	probe *corev1.Probe
}

// run probes until ctx, which ends with the process, is done. Readiness goes on
// while the pod terminates; liveness and startup end with stopping.
func (s *probeSet) run(ctx, stopping context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if probe := s.c.spec.StartupProbe; probe != nil {
		if !s.until(stopping, "startup", probe) {
			return
		}
	}
	s.c.setStarted()
	if probe := s.c.spec.ReadinessProbe; probe != nil {
		wg.Go(func() {
			s.watch(ctx, "readiness", probe, func(ready bool) bool { s.c.setReady(ready); return true })
		})
	} else {
		s.c.setReady(true)
	}
	if probe := s.c.spec.LivenessProbe; probe != nil {
		wg.Go(func() {
			s.watch(stopping, "liveness", probe, func(alive bool) bool {
				if !alive {
					s.failed("liveness", probe)
				}
				return alive
			})
		})
	}
}

// until waits for the startup probe to succeed; false when it failed or ctx is
// done.
func (s *probeSet) until(ctx context.Context, what string, probe *corev1.Probe) bool {
	passed := false
	s.watch(ctx, what, probe, func(ok bool) bool {
		passed = ok
		if !ok {
			s.failed(what, probe)
		}
		return false
	})
	return passed
}

func (s *probeSet) failed(what string, probe *corev1.Probe) {
	select {
	case s.fail <- probeFailure{what, probe}:
	default:
	}
}

// watch probes and reports each time the thresholds say success or failure
// anew, until report returns false or ctx is done.
func (s *probeSet) watch(ctx context.Context, what string, probe *corev1.Probe, report func(ok bool) bool) {
	timing := timingOf(probe)
	delay := time.NewTimer(timing.initialDelay)
	defer delay.Stop()
	select {
	case <-ctx.Done():
		return
	case <-delay.C:
	}
	ticker := time.NewTicker(timing.period)
	defer ticker.Stop()
	count := verdictCount{successes: timing.successes, failures: timing.failures}
	for {
		err := s.once(ctx, probe.ProbeHandler, timing.timeout)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.c.pod.event(corev1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %v", strings.ToUpper(what[:1])+what[1:], err))
		}
		if changed, ok := count.add(err == nil); changed && !report(ok) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *probeSet) once(ctx context.Context, handler corev1.ProbeHandler, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.c.pod.agent.checker.check(ctx, handler, s.target)
}

// verdictCount turns single results into verdicts: so many in a row of a kind.
type verdictCount struct {
	successes, failures int // thresholds
	run                 int
	last                bool
	verdict             *bool
}

// add takes a result and says whether the verdict is new, and what it is.
func (v *verdictCount) add(ok bool) (changed, verdict bool) {
	if v.run > 0 && v.last == ok {
		v.run++
	} else {
		v.run, v.last = 1, ok
	}
	threshold := v.failures
	if ok {
		threshold = v.successes
	}
	if v.run < threshold || v.verdict != nil && *v.verdict == ok {
		return false, ok
	}
	v.verdict = &ok
	return true, ok
}

type timing struct {
	initialDelay, period, timeout time.Duration
	successes, failures           int
}

// timingOf fills in the defaults of the Kubernetes API.
func timingOf(p *corev1.Probe) timing {
	or := func(n, otherwise int32) int32 {
		if n <= 0 {
			return otherwise
		}
		return n
	}
	return timing{
		initialDelay: time.Duration(p.InitialDelaySeconds) * time.Second,
		period:       time.Duration(or(p.PeriodSeconds, 10)) * time.Second,
		timeout:      time.Duration(or(p.TimeoutSeconds, 1)) * time.Second,
		successes:    int(or(p.SuccessThreshold, 1)),
		failures:     int(or(p.FailureThreshold, 3)),
	}
}
