package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/doctor"
	"github.com/watchtower-verify/watchtower/internal/forge/gitea"
	"github.com/watchtower-verify/watchtower/internal/kube"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	promsource "github.com/watchtower-verify/watchtower/internal/source/prometheus"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Doctor tries every part the configuration names, each receiver with a message
// that is marked as a test where send says so. The error is that the
// configuration cannot be read; all else is in the report.
func Doctor(ctx context.Context, configPath, version string, send bool, log *slog.Logger) (doctor.Report, error) {
	cfg, err := config.Load(configPath)
	if err != nil {
		return doctor.Report{}, err
	}
	list := append(checks(cfg, log), doctor.Store(storeOf(cfg, log)))
	if send {
		list = append(list, receiverChecks(cfg, log)...)
	}
	return doctor.Examine(ctx, version, list), nil
}

// storeOf tries the store without having it to itself: a server may.
func storeOf(cfg *config.Config, log *slog.Logger) doctor.KeeperFunc {
	return func(ctx context.Context) error {
		target, err := cfg.Store.Target()
		if err != nil {
			return err
		}
		return store.Probe(ctx, target, log, store.PasswordFile(cfg.Store.PasswordFile))
	}
}

// checks are those that need no running server and tell nobody anything.
func checks(cfg *config.Config, log *slog.Logger) []doctor.Check {
	out := []doctor.Check{doctor.Silence(setup(cfg))}
	out = append(out, clusterChecks(cfg)...)
	out = append(out, metricChecks(cfg)...)
	out = append(out, alertChecks(cfg, log)...)
	if f := cfg.Forge; f != nil {
		forge, err := gitea.New(gitea.Config{URL: f.URL, TokenFile: f.TokenFile, Repository: f.Repository, Timeout: f.Timeout})
		out = append(out, unless("forge", err, func() doctor.Check { return doctor.Forge(forge, f.Repository) }))
	}
	return out
}

// unless is a check, or that it could not even be made.
func unless(name string, err error, check func() doctor.Check) doctor.Check {
	if err == nil {
		return check()
	}
	return doctor.Check{Name: name, Run: func(context.Context) []doctor.Finding {
		return []doctor.Finding{{Status: doctor.Failed, Message: err.Error(), Mend: "Mend what it names in the configuration."}}
	}}
}

func setup(cfg *config.Config) doctor.Setup {
	s := doctor.Setup{Alertmanager: cfg.Alertmanager != nil, Forge: cfg.Forge != nil, ExternalURL: cfg.ExternalURL, Warnings: cfg.Warnings()}
	for _, p := range cfg.Policies() {
		s.Alerts = s.Alerts || p.Autonomy.Allows(release.AutonomyAlert)
		s.Rollbacks = s.Rollbacks || p.Autonomy.Allows(release.AutonomyApprove)
		s.Issues = s.Issues || (p.Issue && p.Autonomy.Allows(release.AutonomyAlert))
	}
	for _, r := range cfg.Receivers {
		s.Receivers = append(s.Receivers, r.Name)
	}
	return s
}

func clusterChecks(cfg *config.Config) []doctor.Check {
	const mend = "See kubernetes.kubeconfig, or that a service account is mounted; the message names what was refused."
	restConfig, err := kubeRESTConfig(cfg.Kubernetes.Kubeconfig)
	if err != nil {
		return []doctor.Check{unless("kubernetes", fmt.Errorf("the cluster is not found: %w", err), nil)}
	}
	client, err := kubeClient(cfg.Kubernetes)
	permissions := unless("permissions", err, func() doctor.Check {
		return doctor.Permissions(allower{kube.NewActor(client, kube.Config{})}, cfg.Kubernetes.Namespaces,
			doctor.Needs(setup(cfg).Rollbacks, leaseNamespace(cfg)))
	})
	return []doctor.Check{doctor.After(doctor.Reach("kubernetes", aboutCluster(restConfig), mend), permissions)}
}

// actorOf acts in the cluster, nil where there is none.
func actorOf(cfg *config.Config) *kube.Actor {
	client, err := kubeClient(cfg.Kubernetes)
	if err != nil {
		return nil
	}
	return kube.NewActor(client, kube.Config{Cluster: cfg.Cluster})
}

// leaseNamespace is where replicas choose a leader, "" where there is no choice to
// be made or it is not known.
func leaseNamespace(cfg *config.Config) string {
	if cfg.Replicas == nil {
		return "" // one process
	}
	if cfg.Replicas.Namespace != "" {
		return cfg.Replicas.Namespace
	}
	own, _ := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	return strings.TrimSpace(string(own))
}

type allower struct{ actor *kube.Actor }

// Allowed implements doctor.Allower.
func (a allower) Allowed(ctx context.Context, x doctor.Access) (bool, string, error) {
	return a.actor.Allowed(ctx, x.Verb, x.Group, x.Resource, x.Namespace)
}

// aboutCluster asks the API server for its version, with the own credentials.
func aboutCluster(cfg *rest.Config) doctor.ServerFunc {
	return func(ctx context.Context) (doctor.About, error) {
		client, err := rest.HTTPClientFor(cfg)
		if err != nil {
			return doctor.About{}, err
		}
		base, _, err := rest.DefaultServerUrlFor(cfg)
		if err != nil {
			return doctor.About{}, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
		if err != nil {
			return doctor.About{}, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return doctor.About{}, fmt.Errorf("the API server does not answer: %w", err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return doctor.About{}, fmt.Errorf("the API server answers %s", resp.Status)
		}
		var version struct {
			GitVersion string `json:"gitVersion"`
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&version); err != nil {
			return doctor.About{}, fmt.Errorf("what answers is no API server: %w", err)
		}
		a := doctor.About{Version: version.GitVersion}
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			a.Clock = at
		}
		return a, nil
	}
}

func metricChecks(cfg *config.Config) []doctor.Check {
	const mend = "See prometheus.url, its credentials, tls, and what the network lets out."
	source, err := newQuerier(cfg.Prometheus, nil)
	if err != nil {
		return []doctor.Check{unless("prometheus", err, nil)}
	}
	about := doctor.ServerFunc(func(ctx context.Context) (doctor.About, error) {
		a, err := source.About(ctx)
		return doctor.About{Version: a.Version, Clock: a.Clock}, err
	})
	return []doctor.Check{doctor.After(
		doctor.Reach("prometheus", about, mend),
		doctor.Measurements("measurements", numbers{source}, cfg.Prometheus.Lag),
	)}
}

type numbers struct{ source *promsource.Source }

// Number implements doctor.Measurer.
func (n numbers) Number(ctx context.Context, expr string, at time.Time) (float64, bool, error) {
	series, err := n.source.Range(ctx, expr, at.Add(-time.Second), at, time.Second)
	if err != nil || len(series) != 1 || len(series[0].Floats) == 0 {
		return 0, false, err
	}
	return series[0].Floats[len(series[0].Floats)-1].Value, true, nil
}

// alertChecks try each instance by itself: one of them that is silent is no fault
// to those that post.
func alertChecks(cfg *config.Config, log *slog.Logger) []doctor.Check {
	am := cfg.Alertmanager
	if am == nil {
		return nil
	}
	actor := actorOf(cfg)
	var out []doctor.Check
	for _, url := range am.URLs {
		name := "alertmanager " + url
		sink, err := newAlertmanager(am, []string{url}, actor, log)
		out = append(out, unless(name, err, func() doctor.Check { return doctor.Alerts(name, sink, cfg.Cluster) }))
	}
	return out
}

// receiverChecks send each receiver a message that is marked as a test, in the
// words of its own templates.
func receiverChecks(cfg *config.Config, log *slog.Logger) []doctor.Check {
	told, err := openReceivers(cfg, nil, nil, log, nil)
	if err != nil {
		return []doctor.Check{unless("receivers", err, nil)}
	}
	var out []doctor.Check
	for i := range cfg.Receivers {
		r := &cfg.Receivers[i]
		test := func() release.Message { return message.Test(cfg.Cluster, r.Name, time.Now(), cfg.Places()) }
		out = append(out, doctor.Receiver(r.Name, r.Kind(), told.byName[r.Name], test, told.wording(r.Name)))
	}
	return out
}

const (
	examineFirst = 15 * time.Second // once the caches are filled
	// surveyed is how many workloads are looked at, those released last.
	surveyed = 5
)

// examiner looks at every part now and then, and keeps what it found.
type examiner struct {
	version string
	checks  []doctor.Check
	last    atomic.Pointer[doctor.Report]
	status  *prometheus.GaugeVec
	at      prometheus.Gauge
}

func newExaminer(version string, checks []doctor.Check, reg prometheus.Registerer) *examiner {
	e := &examiner{
		version: version, checks: checks,
		status: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "watchtower_doctor_status", Help: "What the last look at a part found: 0 it works, 1 it was not tried, 2 it works in part, 3 it does not work.",
		}, []string{"check"}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchtower_doctor_last_run_timestamp_seconds", Help: "When the parts were last looked at."}),
	}
	reg.MustRegister(e.status, e.at)
	return e
}

// Report is the last report, false before there was one.
func (e *examiner) Report() (doctor.Report, bool) {
	r := e.last.Load()
	if r == nil {
		return doctor.Report{}, false
	}
	return *r, true
}

func (e *examiner) run(ctx context.Context) error {
	return rounds(ctx, examineFirst, doctor.Every, e.examine)
}

func (e *examiner) examine(ctx context.Context) {
	r := doctor.Examine(ctx, e.version, e.checks)
	if ctx.Err() != nil {
		return // what was cut off says nothing
	}
	e.last.Store(&r)
	e.status.Reset()
	for check, rank := range doctor.Ranks(r) {
		e.status.WithLabelValues(check).Set(float64(rank))
	}
	e.at.Set(float64(r.At.Unix()))
}

// serverChecks are those of a running server: all but what tells people
// something, and what only it can look at.
func (a *app) serverChecks() []doctor.Check {
	out := append(checks(a.cfg, a.log), doctor.Store(a.store))
	for i := range a.cfg.Receivers {
		r := &a.cfg.Receivers[i]
		out = append(out, doctor.ReceiverSoFar(r.Name, r.Kind(), actionsSoFar{a.store}))
	}
	out = append(out, doctor.GivenUp(actionsSoFar{a.store}))
	return append(out, doctor.Workloads("workloads", newSignals(a.cfg.Cluster, inForce{a}, a.store, a.policies, inForce{a}), a.released))
}

// actionsSoFar knows what became of actions.
type actionsSoFar struct{ store *store.Store }

// DeadLetters implements doctor.DeadLetters.
func (d actionsSoFar) DeadLetters(ctx context.Context) ([]release.Action, error) {
	return d.store.ListActions(ctx, store.ActionFilter{State: release.ActionFailed, Limit: 100})
}

// LastTold implements doctor.Told.
func (d actionsSoFar) LastTold(ctx context.Context, receiver string) (release.Action, bool, error) {
	list, err := d.store.ListActions(ctx, store.ActionFilter{Kind: release.ActionMessage, Sink: receiver, Limit: 1})
	if err != nil || len(list) == 0 {
		return release.Action{}, false, err
	}
	return list[0], true, nil
}

// released are the workloads that were released last.
func (a *app) released(ctx context.Context) ([]release.Workload, error) {
	list, err := a.store.Releases(ctx, store.Filter{Limit: 10 * surveyed})
	if err != nil {
		return nil, err
	}
	var out []release.Workload
	seen := map[string]bool{}
	for _, rec := range list {
		w := rec.Release.Workload
		if w.Cluster != a.cfg.Cluster || seen[w.String()] || len(out) == surveyed {
			continue
		}
		seen[w.String()] = true
		out = append(out, w)
	}
	return out, nil
}
