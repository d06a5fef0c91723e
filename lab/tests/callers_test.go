package tests

import (
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/service"
)

const (
	dropping   = "mycompany/webapp:dropping" // closes the connection of 20 % of all requests
	callerGood = "mycompany/caller:v1"
	callerNext = "mycompany/caller:v2"
)

// A pod cannot count the requests it drops: whoever sent them does. Where
// callers can tell the pods apart the old ones are the baseline, otherwise the
// past.
func TestFailuresThatOnlyCallersSeeConvict(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, dialect, named string
		silent               bool   // the callee exports nothing: the callers alone count
		baseline             string // "": whichever
	}{
		{name: "otel-client", dialect: "otel-client"},
		{name: "otel-client-pods", dialect: "otel-client", named: "pod"},
		{name: "http-client", dialect: "http-client"},
		{name: "spring-client", dialect: "spring-client"},
		{name: "grpc-otel-client", dialect: "grpc-otel-client"},
		{name: "otel-rpc-client", dialect: "otel-rpc-client"},
		{name: "otel-rpc-client-old", dialect: "otel-rpc-client-old", named: "short"},
		{name: "istio", dialect: "istio"},
		{name: "istio-waypoint", dialect: "istio-waypoint"},
		{name: "linkerd", dialect: "linkerd"},
		{name: "contour", dialect: "contour", silent: true, baseline: "history"},
		{name: "ingress-nginx", dialect: "ingress-nginx", silent: true, baseline: "history"},
		{name: "traefik", dialect: "traefik", silent: true, baseline: "history"},
	}
	s := newScene(t, unhurried)
	s.start()
	crowd(func() {
		for _, c := range cases {
			s.of(t, c.name).deploy(good, func(d *deployment.Spec) {
				speaks("prometheus", 2)(d)
				if c.silent {
					d.MetricsPath = ptr("")
				}
			})
		}
		for _, c := range cases {
			s.of(t, c.name).rolled()
			s.of(t, "to-"+c.name).calls(callerGood, c.name, c.dialect, c.named)
		}
		for _, c := range cases {
			s.of(t, "to-"+c.name).rolled()
		}
	})
	time.Sleep(25 * time.Second) // a past
	for _, c := range cases {
		s.of(t, c.name).deploy(dropping, nil)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := s.of(t, c.name)
			rec := s.verdict(dropping, beyondDoubt, "regressed")
			t.Logf("convicted %s after the release was seen: %s", rec.Verdict.DecidedAt.Sub(rec.Release.SeenAt), rec.Verdict.Summary)
			e := found(rec, "error_ratio", "callers")
			switch {
			case e == nil:
				t.Fatalf("no evidence of callers: %+v", rec.Verdict.Evidence)
			case e.Release.Bad == 0 || weight(e) < 20:
				t.Errorf("the callers' evidence is weak: %+v, e-value %g", *e, weight(e))
			case c.baseline != "" && e.Baseline != c.baseline:
				t.Errorf("the evidence is against %q, want %q", e.Baseline, c.baseline)
			}
			s.settled(dropping, "rollback", "done", time.Minute)
			s.rolled()
			s.runs(good)
		})
	}
}

// Who calls a service that fails is not at fault: a release of the caller just
// before its callee breaks is held to be no worse.
func TestACallerIsNotBlamedForItsCallee(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *service.Config) { c.Policy = observing })
	s.start()
	front := s.of(t, "front")
	s.deploy(good, speaks("prometheus", 2))
	s.rolled()
	front.calls(callerGood, s.name, "otel-client,linkerd", "")
	front.rolled()
	time.Sleep(25 * time.Second) // a past
	front.deploy(callerNext, nil)
	front.rolled()
	front.wait(callerNext, 20*time.Second, "sight", always)
	s.deploy(dropping, nil)
	rec := s.verdict(dropping, 3*time.Minute, "regressed")
	if e := found(rec, "error_ratio", "callers"); e == nil || e.Release.Bad == 0 {
		t.Fatalf("the callers did not see it: %+v", rec.Verdict.Evidence)
	}
	front.never(callerNext, 20*time.Second, "regressed")
}

// calls deploys a workload that calls another one of the namespace, and is all
// of its traffic.
func (s *scene) calls(image, callee, dialect, named string) {
	s.t.Helper()
	s.deploy(image, func(d *deployment.Spec) {
		d.Replicas, d.Service = ptr(int32(1)), true
		d.Env = map[string]string{
			"CALLEE": s.ns + "/" + callee, "KUBECONFIG": theLab.Info().Kubeconfig,
			"CALLER_DIALECT": dialect, "CALLEE_NAMED": named, "CALL_RATE": "25",
		}
	})
}
