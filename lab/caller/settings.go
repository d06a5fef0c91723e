package caller

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/watchtower-verify/watchtower/lab/series"
)

// settings is what the environment says. Every variable is in the README of
// lab/webapp.
type settings struct {
	namespace, callee string // of the Deployment that is called
	port              int    // of its pods
	kubeconfig        string
	rate              float64 // requests per second
	dialects          []string
	names             string // how the callee is named where there is a choice
	addr              string // host:port of the metrics
	self, selfPod     string // this workload and pod
	selfNamespace     string
}

// How a caller may name its callee.
const (
	nameFull  = "full"  // the Service in full: shop.mall.svc.cluster.local
	nameShort = "short" // the Service by its name alone
	namePod   = "pod"   // the address of the pod
)

// ErrSettings is Run's error for variables that have no meaning.
var ErrSettings = errors.New("settings")

func readSettings(env map[string]string) (settings, error) {
	var errs []error
	text := func(name, otherwise string) string {
		if v := env[name]; v != "" {
			return v
		}
		return otherwise
	}
	bad := func(name, want string) { errs = append(errs, fmt.Errorf("%s=%q: want %s", name, env[name], want)) }
	number := func(name string, otherwise, least, most float64) float64 {
		n, err := strconv.ParseFloat(text(name, strconv.FormatFloat(otherwise, 'g', -1, 64)), 64)
		if err != nil || !(n >= least && n <= most) {
			bad(name, fmt.Sprintf("a number from %g to %g", least, most))
		}
		return n
	}
	s := settings{
		kubeconfig:    text("KUBECONFIG", ""),
		rate:          number("CALL_RATE", 20, 0.01, 1000),
		port:          int(number("CALLEE_PORT", 8080, 1, 65535)),
		names:         text("CALLEE_NAMED", nameFull),
		self:          series.WorkloadOf(text("HOSTNAME", "caller")),
		selfPod:       text("HOSTNAME", "caller"),
		selfNamespace: text("POD_NAMESPACE", "default"),
	}
	var ok bool
	if s.namespace, s.callee, ok = strings.Cut(env["CALLEE"], "/"); !ok || s.namespace == "" || s.callee == "" {
		bad("CALLEE", "a Deployment as namespace/name")
	}
	if s.kubeconfig == "" {
		bad("KUBECONFIG", "the file that reaches the API server")
	}
	if !slices.Contains([]string{nameFull, nameShort, namePod}, s.names) {
		bad("CALLEE_NAMED", "full, short or pod")
	}
	for _, name := range strings.Split(text("CALLER_DIALECT", dialects[0].name), ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(dialectNames(), name) {
			bad("CALLER_DIALECT", "a list of "+strings.Join(dialectNames(), ", "))
		}
		s.dialects = append(s.dialects, name)
	}
	host := text("POD_IP", "127.0.0.1")
	if net.ParseIP(host) == nil {
		bad("POD_IP", "an IP address")
	}
	s.addr = net.JoinHostPort(host, strconv.Itoa(int(number("PORT", 8080, 0, 65535))))
	if len(errs) > 0 {
		return s, fmt.Errorf("%w: %w", ErrSettings, errors.Join(errs...))
	}
	return s, nil
}
