package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// About is what a server tells of itself.
type About struct {
	Version string    // "" where it does not tell
	Clock   time.Time // zero where it does not tell
}

// Server is one that tells what it is. It is asked with the credentials of what
// it is used for. The errors name it, and hold no secret.
type Server interface {
	About(ctx context.Context) (About, error)
}

// ServerFunc is a Server of a function.
type ServerFunc func(ctx context.Context) (About, error)

// About implements Server.
func (f ServerFunc) About(ctx context.Context) (About, error) { return f(ctx) }

// Clocks that differ by more than skewTold are told of; where they differ by more
// than skewMost signatures and tokens are refused, and verdicts are late or early.
const (
	skewTold = 5 * time.Second
	skewMost = time.Minute
)

// Reach looks whether a server answers, of which version it is, and whether its
// clock is right.
func Reach(name string, s Server, mend string) Check {
	return Check{name, func(ctx context.Context) []Finding {
		before := time.Now()
		a, err := s.About(ctx)
		if err != nil {
			return []Finding{failed(err, mend)}
		}
		version := "it does not tell its version"
		if a.Version != "" {
			version = "version " + release.OneLine(a.Version, 60)
		}
		out := []Finding{ok("it answers, %s, in %s", version, release.Seconds(time.Since(before).Seconds()))}
		if !a.Clock.IsZero() {
			if f, off := skew(a.Clock, before, time.Now()); off {
				out = append(out, f)
			}
		}
		return out
	}}
}

// skew compares a clock that tells seconds with the own one, which was between
// before and after when it was read.
func skew(clock, before, after time.Time) (Finding, bool) {
	var off time.Duration
	switch {
	case clock.Before(before.Truncate(time.Second)):
		off = clock.Sub(before.Truncate(time.Second))
	case clock.After(after):
		off = clock.Sub(after)
	}
	words := "ahead of"
	if off < 0 {
		off, words = -off, "behind"
	}
	f := Finding{
		Message: fmt.Sprintf("its clock is %s %s Watchtower's", release.Seconds(off.Seconds()), words),
		Mend:    "Have both machines keep time by NTP (chrony, systemd-timesyncd).",
	}
	switch {
	case off <= skewTold:
		return Finding{}, false
	case off <= skewMost:
		f.Status = Warning
	default:
		f.Status = Failed
	}
	return f, true
}

// Measurer answers a PromQL expression that is one number, at a time. known is
// false where it is none. The errors are *release.Error and hold no secret.
type Measurer interface {
	Number(ctx context.Context, expr string, at time.Time) (value float64, known bool, err error)
}

// stale is from when on the newest sample is too old to be judged by.
const stale = 5 * time.Minute

// Measurements looks whether there is something to judge by: targets that are
// scraped, samples of now, and a label that names the pod.
func Measurements(name string, m Measurer, lag time.Duration) Check {
	return Check{name, func(ctx context.Context) []Finding {
		now := time.Now()
		at := now.Add(-lag)
		targets, known, err := m.Number(ctx, "count(up)", at)
		switch {
		case err != nil:
			return []Finding{failed(err, "See prometheus.url and its credentials; the message names what was refused.")}
		case !known || targets == 0:
			return []Finding{{Status: Failed, Message: "it has no sample of any target now", Mend: "See whether it scrapes anything (/targets), and whether prometheus.url is the store that holds it."}}
		}
		out := []Finding{ok("it has samples of %s", release.Plural(int(targets), "target"))}
		if newest, known, err := m.Number(ctx, "max(timestamp(up))", at); err == nil && known {
			if age := now.Sub(time.UnixMilli(int64(newest * 1000))); age > stale {
				out = append(out, Finding{Status: Failed, Message: "its newest sample is " + release.Seconds(age.Seconds()) + " old", Mend: "See whether it still scrapes, and what prometheus.lag should be for a store that others write to."})
			}
		}
		pods, _, err := m.Number(ctx, `count(up{pod!=""})`, at)
		switch {
		case err != nil:
			out = append(out, failed(err, "See prometheus.url and its credentials."))
		case pods == 0:
			out = append(out, warning("no target has a label pod, so that most signals cannot be told apart by pod",
				"Have the scrape keep __meta_kubernetes_pod_name as the label pod; docs/signals.md shows how, and `watchtower signals NAMESPACE/NAME` what is missing of a workload."))
		default:
			out = append(out, ok("%s of them name their pod", release.Integer(int64(pods))))
		}
		return append(out, exported(ctx, m, at)...)
	}}
}

// exporters are what other signals than those of requests are read from, and
// what is not counted without them.
var exporters = []struct{ name, series, without string }{
	{"kube-state-metrics", "kube_pod_container_status_restarts_total", "restarts and memory kills are not counted, and `watchtower backtest` finds no rollouts"},
	{"cAdvisor", "container_cpu_usage_seconds_total", "processor time and memory are not counted"},
}

// exported looks whether there are series of each exporter.
func exported(ctx context.Context, m Measurer, at time.Time) []Finding {
	var out []Finding
	for _, e := range exporters {
		n, _, err := m.Number(ctx, "count("+e.series+")", at)
		switch {
		case err != nil:
			out = append(out, failed(err, "See prometheus.url and its credentials."))
		case n == 0:
			out = append(out, warning(fmt.Sprintf("there is no series %s of %s: %s", e.series, e.name, e.without),
				"Have the store behind prometheus.url scrape "+e.name+"; docs/signals.md names what is read of it."))
		default:
			out = append(out, ok("%s is scraped", e.name))
		}
	}
	return out
}

// Workload is what is measured of one workload.
type Workload interface {
	Signals(ctx context.Context, namespace, workload string) (release.SignalReport, error)
}

// Workloads looks whether the requests of workloads are counted, which no release
// is found healthy without.
func Workloads(name string, w Workload, which func(ctx context.Context) ([]release.Workload, error)) Check {
	return Check{name, func(ctx context.Context) []Finding {
		list, err := which(ctx)
		if err != nil {
			return []Finding{failed(err, "See the log of the store.")}
		}
		if len(list) == 0 {
			return []Finding{{Status: Skipped, Message: "no release was seen yet", Mend: "`watchtower signals NAMESPACE/NAME` tells what would be measured of a workload."}}
		}
		var out []Finding
		for _, one := range list {
			r, err := w.Signals(ctx, one.Namespace, one.Name)
			switch {
			case release.ErrorCode(err) == release.CodeNotFound: // it was deleted since
			case err != nil:
				out = append(out, warning(one.String()+": "+err.Error(), "See what else is told of the metric store."))
			default:
				out = append(out, measured(one, r))
			}
		}
		return out
	}}
}

func measured(w release.Workload, r release.SignalReport) Finding {
	n := 0
	for _, s := range r.Signals {
		if !s.Measured {
			continue
		}
		n++
		if s.Signal == release.SignalErrorRatio {
			return ok("%s: its requests are counted", w)
		}
	}
	mend := fmt.Sprintf("`watchtower signals %s` says why, and what to change.", w)
	if n == 0 {
		return warning(w.String()+": nothing is measured but the states of its pods", mend)
	}
	return warning(w.String()+": its requests are not counted, so that no release of it is found healthy", mend)
}
