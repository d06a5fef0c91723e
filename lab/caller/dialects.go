package caller

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/series"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

// dialects are the callers whose metrics there can be.
var dialects = []struct {
	name string
	open func(*series.Page, settings) func(traffic.Answer)
}{
	{"otel-client", otelClient},
	{"http-client", httpClient},
	{"grpc-client", grpcClient},
	{"grpc-otel-client", grpcOTelClient},
	{"otel-rpc-client", otelRPCClient},
	{"otel-rpc-client-old", otelRPCClientOld},
	{"spring-client", springClient},
	{"istio", istio},
	{"istio-waypoint", istioWaypoint},
	{"linkerd", linkerd},
	{"contour", contour},
	{"ingress-nginx", ingressNginx},
	{"traefik", traefik},
}

func dialectNames() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// openDialects makes the series of the settings' dialects and returns what
// counts an answer in all of them.
func openDialects(page *series.Page, set settings) (func(traffic.Answer), error) {
	var all []func(traffic.Answer)
	for _, name := range set.dialects {
		for _, d := range dialects {
			if d.name == name {
				all = append(all, d.open(page, set))
			}
		}
	}
	if err := page.Err(); err != nil {
		return nil, fmt.Errorf("CALLER_DIALECT=%q: they have a metric in common: %w", strings.Join(set.dialects, ","), err)
	}
	return func(a traffic.Answer) {
		for _, observe := range all {
			observe(a)
		}
	}, nil
}

// host is how the callee is named to a client.
func (s settings) host(a traffic.Answer) string {
	switch s.names {
	case nameShort:
		return s.callee
	case namePod:
		return a.Pod.Address
	}
	return s.callee + "." + s.namespace + ".svc.cluster.local"
}

// proxied is the status that a proxy answers its client with: its own where
// nobody answered it.
func proxied(a traffic.Answer, unanswered int) int {
	if a.Err != nil {
		return unanswered
	}
	return a.Code
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// outcome is Micrometer's word for a status.
func outcome(a traffic.Answer) string {
	switch {
	case a.Err != nil:
		return "UNKNOWN"
	case a.Code >= http.StatusInternalServerError:
		return "SERVER_ERROR"
	case a.Code >= http.StatusBadRequest:
		return "CLIENT_ERROR"
	}
	return "SUCCESS"
}
