package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/series"
)

// settings is what the environment says. Every variable is in README.md.
type settings struct {
	addr      string // host:port to listen on
	namespace string // of the pod
	workload  string // the Deployment it is of
	version   string
	dialects  []string
	logFormat string
	seed      uint64
	seeded    bool

	baseErrorRate float64
	errorRate     float64
	errorRoute    string  // "": every route
	errorBurst    float64 // mean number of failures in a row; 0: each for itself
	dropRate      float64 // of the connections

	latency       time.Duration // median
	latencyFactor float64
	tailShare     float64 // of the requests
	tailExtra     time.Duration

	leakMBPerSecond float64
	crashes         bool
	crashAfter      time.Duration
	neverReady      bool
	startDelay      time.Duration
	logError        string
	hangs           bool
	hangAfter       time.Duration

	downstreamURL    string // "": the payments service this process runs beside itself
	downstreamOutage bool
}

var logFormats = []string{"json", "plain"}

// readSettings reads the environment; its errors name the variables.
func readSettings(env map[string]string) (settings, error) {
	r := reader{env: env}
	s := settings{
		version:         r.text("VERSION", "dev"),
		namespace:       r.text("POD_NAMESPACE", "default"),
		workload:        series.WorkloadOf(r.text("HOSTNAME", "webapp")),
		dialects:        r.someOf("METRICS_DIALECT", dialectNames()),
		logFormat:       r.oneOf("LOG_FORMAT", logFormats),
		baseErrorRate:   r.number("BASE_ERROR_RATE", 0.001, 0, 1),
		errorRate:       r.number("ERROR_RATE", 0, 0, 1),
		errorRoute:      r.oneOf("ERROR_ROUTE", append([]string{""}, routePaths()...)),
		errorBurst:      r.number("ERROR_BURST", 0, 1, 1e6),
		dropRate:        r.number("DROP_RATE", 0, 0, 1),
		latency:         time.Duration(r.number("LATENCY_MS", 20, 0, 60_000) * float64(time.Millisecond)),
		latencyFactor:   r.number("LATENCY_FACTOR", 1, 0, 1000),
		leakMBPerSecond: r.number("MEMORY_LEAK_MB_PER_S", 0, 0, 10_000),
		neverReady:      r.yes("NEVER_READY"),
		startDelay:      r.duration("START_DELAY"),
		logError:        r.text("LOG_ERROR", ""),
		downstreamURL:   r.text("DOWNSTREAM_URL", ""),
	}
	s.downstreamOutage = r.yes("DOWNSTREAM_OUTAGE")
	s.tailShare, s.tailExtra = r.tail("LATENCY_TAIL")
	if _, s.crashes = env["CRASH_AFTER"]; s.crashes {
		s.crashAfter = r.duration("CRASH_AFTER")
	}
	s.hangs, s.hangAfter = r.hang("HANG")
	s.seed, s.seeded = r.seed("SEED")
	if s.errorBurst > 0 && s.errorRate < 1 && s.errorBurst*(1-s.errorRate) < s.errorRate-1e-9 {
		r.bad("ERROR_BURST", r.text("ERROR_BURST", ""), fmt.Sprintf("at least %.3g, or ERROR_RATE=%g cannot come about", s.errorRate/(1-s.errorRate), s.errorRate))
	}
	if s.downstreamURL != "" {
		if u, err := url.Parse(s.downstreamURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			r.bad("DOWNSTREAM_URL", s.downstreamURL, "an http or https URL")
		}
	}
	host := r.text("POD_IP", "127.0.0.1")
	if net.ParseIP(host) == nil {
		r.bad("POD_IP", host, "an IP address")
	}
	s.addr = net.JoinHostPort(host, strconv.Itoa(int(r.number("PORT", 8080, 0, 65535))))
	if _, err := newMetrics(s); err != nil {
		r.errs = append(r.errs, err)
	}
	return s, errors.Join(r.errs...)
}

// reader collects what is wrong with the variables it reads.
type reader struct {
	env  map[string]string
	errs []error
}

func (r *reader) bad(name, value, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s=%q: want %s", name, value, want))
}

func (r *reader) text(name, otherwise string) string {
	if v, ok := r.env[name]; ok && v != "" {
		return v
	}
	return otherwise
}

func (r *reader) oneOf(name string, allowed []string) string {
	v := r.text(name, allowed[0])
	if !slices.Contains(allowed, v) {
		var named []string
		for _, a := range allowed {
			if a != "" {
				named = append(named, a)
			}
		}
		r.bad(name, v, "one of "+strings.Join(named, ", "))
	}
	return v
}

// someOf is a list with commas of what is allowed; the first where it is not set.
func (r *reader) someOf(name string, allowed []string) []string {
	v := r.text(name, allowed[0])
	list := strings.Split(v, ",")
	for i, one := range list {
		list[i] = strings.TrimSpace(one)
		if !slices.Contains(allowed, list[i]) {
			r.bad(name, v, "a list of "+strings.Join(allowed, ", "))
			return allowed[:1]
		}
	}
	return list
}

// number is one of [least, most], or what holds when the variable is not set.
func (r *reader) number(name string, otherwise, least, most float64) float64 {
	v := r.text(name, "")
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(n) || n < least || n > most {
		r.bad(name, v, fmt.Sprintf("a number from %g to %g", least, most))
		return otherwise
	}
	return n
}

func (r *reader) yes(name string) bool {
	v := r.text(name, "false")
	b, err := strconv.ParseBool(v)
	if err != nil {
		r.bad(name, v, "true or false")
	}
	return b
}

func (r *reader) duration(name string) time.Duration {
	v := r.text(name, "0s")
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		r.bad(name, v, "a duration such as 30s")
		return 0
	}
	return d
}

// tail reads "share:milliseconds".
func (r *reader) tail(name string) (share float64, extra time.Duration) {
	v := r.text(name, "")
	if v == "" {
		return 0, 0
	}
	left, right, ok := strings.Cut(v, ":")
	share, err := strconv.ParseFloat(left, 64)
	ms, err2 := strconv.ParseFloat(right, 64)
	if !ok || err != nil || err2 != nil || !(share >= 0 && share <= 1) || !(ms >= 0 && ms <= 60_000) {
		r.bad(name, v, "a share of the requests and milliseconds, such as 0.05:400")
		return 0, 0
	}
	return share, time.Duration(ms * float64(time.Millisecond))
}

// hang reads true, false, or after how long.
func (r *reader) hang(name string) (bool, time.Duration) {
	v := r.text(name, "false")
	if b, err := strconv.ParseBool(v); err == nil {
		return b, 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		r.bad(name, v, "true, false or a duration such as 30s")
		return false, 0
	}
	return true, d
}

func (r *reader) seed(name string) (uint64, bool) {
	v := r.text(name, "")
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		r.bad(name, v, "a whole number")
	}
	return n, true
}
