package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/watchtower-verify/watchtower/internal/api"
	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/forge/gitea"
	"github.com/watchtower-verify/watchtower/internal/kube"
	"github.com/watchtower-verify/watchtower/internal/registry"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/respond"
	"github.com/watchtower-verify/watchtower/internal/route"
	"github.com/watchtower-verify/watchtower/internal/signal"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	promsource "github.com/watchtower-verify/watchtower/internal/source/prometheus"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/rules"
)

func newRegistry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "watchtower_build_info", Help: "Always 1; the labels tell the version.",
	}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	reg.MustRegister(info)
	return reg
}

// kubeClient finds the cluster: the kubeconfig that is named, else the service
// account of the pod this runs in, else kubectl's default rules.
func kubeClient(k config.Kubernetes) (kubernetes.Interface, error) {
	cfg, err := kubeRESTConfig(k.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w; set kubernetes.kubeconfig, or run in a cluster with a service account", err)
	}
	cfg.UserAgent = "watchtower"
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	cfg.QPS, cfg.Burst = 50, 100
	return kubernetes.NewForConfig(cfg)
}

func kubeRESTConfig(path string) (*rest.Config, error) {
	if path == "" {
		if cfg, err := rest.InClusterConfig(); err == nil {
			return cfg, nil
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
}

// OpenStore opens the store of a configuration.
func OpenStore(ctx context.Context, cfg *config.Config, log *slog.Logger, opts ...store.Option) (*store.Store, error) {
	target, err := cfg.Store.Target()
	if err != nil {
		return nil, err
	}
	all := []store.Option{
		store.ForCluster(cfg.Cluster), store.PasswordFile(cfg.Store.PasswordFile), store.MaxConnections(cfg.Store.MaxConnections),
	}
	if cfg.Store.Migrate == config.MigrateManual {
		all = append(all, store.Manual())
	}
	all = append(all, opts...) // what is asked for wins over what is configured
	return store.Open(ctx, target, log, all...)
}

// newLease is nil where replicas are not configured.
func newLease(client kubernetes.Interface, cfg *config.Config, log *slog.Logger) (*kube.Lease, error) {
	r := cfg.Replicas
	if r == nil {
		return nil, nil
	}
	name := r.Lease
	if name == "" {
		name = "watchtower-" + strings.ToLower(strings.ReplaceAll(cfg.Cluster, "_", "-"))
	}
	return kube.NewLease(client, r.Namespace, name, r.Identity, log)
}

// newSource is the catalogue's reader over Prometheus.
func newSource(cfg *config.Config, reg prometheus.Registerer) (*signal.Reader, error) {
	dialects, err := loadCatalogue(cfg.Catalogue)
	if err != nil {
		return nil, err
	}
	querier, err := newQuerier(cfg.Prometheus, reg)
	if err != nil {
		return nil, err
	}
	return signal.NewReader(dialects, querier, signal.Options{
		Tick: cfg.Tick, Lag: cfg.Prometheus.Lag, Late: cfg.Prometheus.Late, ScrapeLookback: time.Minute, BatchSize: 500,
		Limits: querier.Limits(),
	}), nil
}

// newQuerier is the metric store.
func newQuerier(p config.Prometheus, reg prometheus.Registerer) (*promsource.Source, error) {
	c := promsource.Config{
		URL: p.URL, Kind: p.Kind, Tenant: p.Tenant, BearerTokenFile: p.BearerTokenFile,
		Headers: p.Headers, HeaderFiles: p.HeaderFiles, Timeout: p.Timeout, Concurrency: p.Concurrency,
		Compress: p.Compress, QueriesPerSecond: p.QueriesPerSecond, MaxQueryBytes: p.MaxQueryBytes, MaxSamples: p.MaxSamples,
	}
	if p.Basic != nil {
		c.BasicUser, c.BasicPasswordFile = p.Basic.User, p.Basic.PasswordFile
	}
	if p.TLS != nil {
		c.TLS = promsource.TLS(*p.TLS)
	}
	return promsource.New(c, reg)
}

// loadCatalogue is the built-in catalogue with the user's own, if any, over it.
func loadCatalogue(dir string) (*catalogue.Catalogue, error) {
	if dir == "" {
		return catalogue.Load(rules.Signals)
	}
	c, err := catalogue.Load(rules.Signals, os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("load the catalogue in %s: %w; `watchtower config check` names each fault", dir, err)
	}
	return c, nil
}

func newImages(cfg *config.Config) (*registry.Resolver, error) {
	return registry.New(registry.Config{
		Hosts: cfg.Registry.Hosts, PlainHTTP: cfg.Registry.PlainHTTP,
		Mirrors: cfg.Registry.Mirrors, Timeout: cfg.Registry.Timeout,
	})
}

// responders are the outsides that actions reach; what is not configured is nil.
func responders(cfg *config.Config, actor *kube.Actor, st *store.Store, log *slog.Logger, reg prometheus.Registerer) (respond.Deps, *receivers, error) {
	deps := respond.Deps{Name: cfg.Cluster, Limits: limits(cfg.Actions), Cluster: actor, ExternalURL: cfg.ExternalURL, Places: cfg.Places()}
	var quiet silencer
	if cfg.Alertmanager != nil {
		sink, err := newAlertmanager(cfg.Alertmanager, cfg.Alertmanager.URLs, actor, log)
		if err != nil {
			return deps, nil, err
		}
		deps.Alerter = sink
		if cfg.Alertmanager.Silences {
			quiet = sink
		}
	}
	told, err := openReceivers(cfg, quiet, st, log, reg)
	if err != nil {
		return deps, nil, err
	}
	tree, err := cfg.Tree()
	if err != nil {
		return deps, told, err
	}
	deps.Notifiers, deps.InPlace = told.byName, told.inPlace
	deps.Route = func(m release.Message) []string { return receiversOf(tree.Decide(m, time.Now(), nobody)) }
	deps.Open = func(m release.Message, receiver string, now time.Time) time.Time {
		if d, ok := decisionOf(tree, m, receiver, now); ok {
			return d.At
		}
		return now // the routes no longer name it
	}
	deps.Group = func(m release.Message, receiver string) (respond.Grouping, bool) {
		d, _ := decisionOf(tree, m, receiver, time.Now())
		if d.Group == nil {
			return respond.Grouping{}, false
		}
		return respond.Grouping(*d.Group), true
	}
	deps.Repeat = func(m release.Message, receiver string) time.Duration {
		d, _ := decisionOf(tree, m, receiver, time.Now())
		return d.Repeat
	}
	if f := cfg.Forge; f != nil {
		forge, err := gitea.New(gitea.Config{URL: f.URL, TokenFile: f.TokenFile, Repository: f.Repository, Timeout: f.Timeout})
		if err != nil {
			return deps, told, err
		}
		deps.Forge = forge
	}
	return deps, told, nil
}

// newAlertmanager posts to the instances of some of the URLs. A nil actor finds
// none in Kubernetes.
func newAlertmanager(am *config.Alertmanager, urls []string, actor *kube.Actor, log *slog.Logger) (*alertmanager.Sink, error) {
	c := alertmanager.Config{URLs: urls, BearerTokenFile: am.BearerTokenFile, CAFile: am.CAFile, ProxyURL: am.ProxyURL, Timeout: am.Timeout, Log: log}
	if actor != nil {
		c.Lookup.Endpoints = actor.Endpoints
	}
	return alertmanager.New(c)
}

func nobody(string) bool { return false }

// receiversOf are whom decisions name.
func receiversOf(decisions []route.Decision) []string {
	var out []string
	for _, d := range decisions {
		out = append(out, d.Receiver)
	}
	return out
}

// decisionOf is what the routes say of a receiver, false where they do not name it.
func decisionOf(tree *route.Tree, m release.Message, receiver string, now time.Time) (route.Decision, bool) {
	for _, d := range tree.Decide(m, now, nobody) {
		if d.Receiver == receiver {
			return d, true
		}
	}
	return route.Decision{}, false
}

func limits(a config.Actions) respond.Limits {
	b := a.Breaker
	return respond.Limits{
		Rollbacks: b.Rollbacks, RollbacksPerNamespace: b.RollbacksPerNamespace, Window: b.Window,
		Regressions: b.Regressions, Within: b.Within, OpenFor: b.OpenFor, ApproveWithin: a.ApproveWithin,
	}
}

// tokens are who may write through the API, each read once so that one that
// cannot be is found now.
func tokens(a config.API) ([]api.Token, error) {
	var out []api.Token
	for _, t := range a.Tokens {
		out = append(out, api.Token{Name: t.Name, Role: api.Role(t.Role), File: t.TokenFile})
	}
	if err := api.CheckTokens(out); err != nil {
		return nil, release.E(release.CodeInvalid, "api.tokens", err)
	}
	return out, nil
}
