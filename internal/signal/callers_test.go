package signal

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

func callerTotals(res Result) (rel, stable Arm) {
	rel, stable = newArm(), newArm()
	for _, rd := range res.Readings {
		if rd.Callers != nil {
			rel, stable = rel.join(rd.Callers.Release), stable.join(rd.Callers.Stable)
		}
	}
	return rel, stable
}

// calls puts a counter of requests that a caller's pod sent, growing from epoch on.
func (s *store) calls(step float64, pairs ...string) {
	s.scrapes("caller-5c7bffbd-x2x4z", step, append(pairs, "pod=caller-5c7bffbd-x2x4z", "namespace=front")...)
}

func TestWhatCallersCountIsTheCallees(t *testing.T) {
	outbound := []string{"__name__=istio_requests_total", "reporter=source", "destination_workload=web", "destination_workload_namespace=shop"}
	s := newStore()
	s.calls(4, append(outbound, "response_code=200")...)
	s.calls(1, append(outbound, "response_code=503")...)
	s.calls(9, "__name__=istio_requests_total", "reporter=source", "destination_workload=other", "destination_workload_namespace=shop", "response_code=503")
	s.calls(9, "__name__=istio_requests_total", "reporter=source", "destination_workload=web", "destination_workload_namespace=elsewhere", "response_code=503")
	res := readAll(t, s, worldSubject())
	rel, stable := callerTotals(res)
	// Nothing tells which pod answered: all is held against the time before.
	if rel.Count != (release.Count{Total: 24 * 5, Bad: 24}) || stable.Count != (release.Count{}) || len(rel.Pods) > 0 {
		t.Errorf("counted %+v and %+v", rel, stable)
	}
	if diff := cmp.Diff([]string{"front/caller-5c7bffbd"}, res.CalledBy); diff != "" {
		t.Errorf("who calls: %s", diff)
	}
	if res.Callers != "istio-callers" || res.Dialect != "" {
		t.Errorf("dialects %q, %q", res.Dialect, res.Callers)
	}
	if res.Readings[3].Errors != nil {
		t.Error("the pods are said to count requests")
	}
	history := newTestReader(t, s).History(t.Context(), []Subject{atEnd(worldSubject())}, testTick*4)["r1"]
	if rel, stable := callerTotals(history); stable.Total != 12*5 || rel.Total != 0 {
		t.Errorf("history holds %+v and %+v", stable, rel)
	}
}

// atEnd has a subject begin where the samples of tests end, so that they are its
// history.
func atEnd(s Subject) Subject {
	s.StartedAt = epoch.Add(8 * testTick).Add(1)
	return s
}

func TestCallersThatNameThePodTellTheArmsApart(t *testing.T) {
	s := newStore()
	client := []string{"__name__=http_client_request_duration_seconds_count"}
	s.calls(4, append(client, "http_response_status_code=200", "server_address=10.0.0.1")...)
	s.calls(3, append(client, "http_response_status_code=200", "server_address=10.0.0.2")...)
	s.calls(1, append(client, "error_type=connection_refused", "server_address=10.0.0.2")...)
	s.calls(7, append(client, "http_response_status_code=500", "server_address=10.9.9.9")...)
	sub := worldSubject()
	sub.Pods = []Pod{{Name: oldPod, IP: "10.0.0.1", Arm: release.ArmStable}, {Name: newPod, IP: "10.0.0.2", Arm: release.ArmRelease}}
	rel, stable := callerTotals(readAll(t, s, sub))
	want := Arm{Count: release.Count{Total: 24 * 4, Bad: 24}, Pods: map[string]release.Count{newPod: {Total: 24 * 4, Bad: 24}}}
	if diff := cmp.Diff(want, rel); diff != "" {
		t.Errorf("release: %s", diff)
	}
	if stable.Count != (release.Count{Total: 24 * 4}) {
		t.Errorf("stable %+v", stable)
	}
}

func TestAPodThatIsGoneIsStillKnownByItsAddressWhereThePastIsCounted(t *testing.T) {
	s := newStore()
	s.calls(4, "__name__=http_client_request_duration_seconds_count", "http_response_status_code=200", "server_address=10.0.0.1")
	sub := atEnd(worldSubject())
	sub.Pods = []Pod{{Name: oldPod, IP: "10.0.0.1", Arm: release.ArmStable, GoneAt: epoch.Add(8*testTick + time.Second)}}
	r := newTestReader(t, s)
	history := r.History(t.Context(), []Subject{sub}, testTick*4)["r1"]
	if _, stable := callerTotals(history); stable.Total != 12*4 {
		t.Errorf("the past holds %+v", stable)
	}
	sub.StartedAt = epoch.Add(time.Second)
	sub.Pods[0].GoneAt = epoch.Add(-5 * time.Minute)
	rel, stable := callerTotals(newTestReader(t, s).Read(t.Context(), epoch.Add(8*testTick), []Subject{sub})["r1"])
	if rel.Total+stable.Total != 0 {
		t.Errorf("long after it was gone its address counts %+v and %+v", rel, stable)
	}
}

func TestCallsAreNeverHeldAgainstTheCallersOwnRelease(t *testing.T) {
	s := newStore()
	for _, pod := range []string{oldPod, newPod} {
		s.scrapes(pod, 5, "__name__=http_requests_total", "code=200", "pod="+pod, "namespace=shop")
		s.scrapes(pod, 5, "__name__=istio_requests_total", "reporter=source", "destination_workload=payments", "destination_workload_namespace=shop", "response_code=503", "pod="+pod, "namespace=shop")
		s.scrapes(pod, 5, "__name__=http_client_request_duration_seconds_count", "http_response_status_code=503", "server_address=payments", "pod="+pod, "namespace=shop")
	}
	res := readAll(t, s, worldSubject())
	rel, stable := totals(res)
	calls, _ := callerTotals(res)
	if rel.Bad+stable.Bad != 0 || rel.Total != 105 || calls.Total != 0 || res.Callers != "" {
		t.Errorf("counted %+v, %+v and %+v of callers", rel, stable, calls)
	}
}

func TestAServiceIsKnownByItsNames(t *testing.T) {
	for _, c := range []struct {
		address, from string
		want          int64
	}{
		{"web-front.shop", "front", 24},
		{"web-front.shop.svc.cluster.local", "front", 24},
		{"web-front", "shop", 24},
		{"web-front", "front", 0}, // that is a Service of the caller's own namespace
		{"web", "shop", 0},
		{"web-front.other", "front", 0},
		{"xweb-front", "shop", 0},
	} {
		t.Run(c.address+" from "+c.from, func(t *testing.T) {
			s := newStore()
			s.scrapes("caller-5c7bffbd-x2x4z", 1, "__name__=http_client_request_duration_seconds_count", "http_response_status_code=200", "server_address="+c.address,
				"pod=caller-5c7bffbd-x2x4z", "namespace="+c.from)
			sub := worldSubject()
			sub.Services = []string{"web-front"}
			if rel, _ := callerTotals(readAll(t, s, sub)); rel.Total != c.want {
				t.Errorf("counted %+v, want %d", rel, c.want)
			}
		})
	}
}

// Scraped from other places, callers may be seen while the pods are not, and the
// other way round: a gap of one is no birth of the other.
func TestCallersThatAreScrapedBeforeThePodsMakeNoBirths(t *testing.T) {
	s := newStore()
	s.calls(1, "__name__=istio_requests_total", "reporter=source", "destination_workload=web", "destination_workload_namespace=shop", "response_code=200")
	s.scrapes(oldPod, 1, "__name__=http_requests_total", "code=200", "pod="+oldPod, "namespace=shop")
	for _, ser := range s.series {
		if ser.Labels.Get("pod") == oldPod { // its scrapes begin late, at a counter of a thousand
			kept := []samples.Float(nil)
			for _, f := range ser.Floats {
				if f.Millis > epoch.Add(80_000_000_000).UnixMilli() {
					kept = append(kept, f)
				}
			}
			ser.Floats = kept
		}
	}
	_, stable := totals(readAll(t, s, worldSubject()))
	if stable.Total > 10 {
		t.Errorf("counted %+v of a pod that is not new", stable)
	}
}

// Two conventions may use one metric and name the workload by different labels.
func TestCallersOfTwoReleasesMaySpeakDifferentDialectsOfOneMetric(t *testing.T) {
	s := newStore()
	service := "shop-web-80@kubernetes"
	s.calls(3, "__name__=traefik_service_requests_total", "code=200", "service="+service)
	s.calls(5, "__name__=traefik_service_requests_total", "code=500", "service=traefik", "exported_service=shop-api-80@kubernetes")
	web, api := worldSubject(), worldSubject()
	api.ID, api.Workload, api.Release, api.Stable = "r2", "api", "api-new", "api-stable"
	res := newTestReader(t, s).Read(t.Context(), epoch.Add(8*testTick), []Subject{web, api})
	if rel, _ := callerTotals(res["r1"]); rel.Count != (release.Count{Total: 72}) {
		t.Errorf("of web %+v", rel)
	}
	if rel, _ := callerTotals(res["r2"]); rel.Count != (release.Count{Total: 120, Bad: 120}) {
		t.Errorf("of api %+v", rel)
	}
}

// Nobody may ever tell what is looked for: the looks become rare, and what begins
// late is found all the same.
func TestWhatIsNotToldIsLookedForLessAndLess(t *testing.T) {
	s := newStore()
	const ticks, late = 40, 20
	for _, pod := range []string{oldPod, newPod} {
		for i := -20; i < 3*ticks; i++ {
			s.put(epoch.Add(time.Duration(i)*testTick/2), float64(100+i), "__name__=http_requests_total", "code=200", "pod="+pod, "namespace=shop")
		}
	}
	r := newTestReader(t, s)
	var looks []int
	var of Result
	for i := 1; i <= ticks; i++ {
		if i == late {
			for j := 2 * i; j < 3*ticks; j++ {
				s.put(epoch.Add(time.Duration(j)*testTick/2), float64(j), "__name__=http_client_request_duration_seconds_count", "http_response_status_code=200", "server_address=web.shop")
			}
		}
		before := s.lists
		of = r.Read(t.Context(), epoch.Add(time.Duration(i)*testTick), []Subject{worldSubject()})["r1"]
		if of.Err != nil {
			t.Fatal(of.Err)
		}
		if s.lists > before {
			looks = append(looks, i)
		}
	}
	if want := []int{1, 2, 4, 8, 16, 32}; !slices.Equal(looks, want) {
		t.Errorf("looked in the ticks %v, want %v", looks, want)
	}
	if of.Callers == "" {
		t.Error("callers that began late were not found")
	}
}
