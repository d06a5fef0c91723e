// Package config reads the one YAML file that Watchtower is configured by. It
// is strict: what it cannot read it refuses, all faults of the file together,
// each with line, column and the way out.
package config

import (
	"net"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Config is the whole configuration, defaults filled in and file paths made
// relative to the working directory.
type Config struct {
	// Name of the cluster that is watched. It is part of every release's ID.
	Cluster string `yaml:"cluster"`
	// Address the API and the pages listen on, host:port.
	Listen string `yaml:"listen"`
	// Where people reach Watchtower: the base of the links in alerts and issues. Default: http:// and the listen address.
	ExternalURL string `yaml:"external_url"`
	// How often the judge looks.
	Tick time.Duration `yaml:"tick"`
	// Where releases, verdicts and actions are kept.
	Store Store `yaml:"store"`
	// Which of several replicas watches and judges. Only with PostgreSQL.
	Replicas *Replicas `yaml:"replicas"`
	// The cluster that is watched.
	Kubernetes Kubernetes `yaml:"kubernetes"`
	// Where the measurements come from.
	Prometheus Prometheus `yaml:"prometheus" jsonschema:"required"`
	// Directory of one's own signal catalogue: *.yaml files written as those in rules/signals.
	Catalogue string `yaml:"catalogue"`
	// Where alerts go. Without it none are sent.
	Alertmanager *Alertmanager `yaml:"alertmanager"`
	// Where hotfix issues are opened. Without it none are.
	Forge *Forge `yaml:"forge"`
	// Who is told of releases. Without one nobody is, but by alertmanager.
	Receivers []Receiver `yaml:"receivers"`
	// Which receivers are told of what. Default: all of them, of what somebody should know of.
	Route *Routing `yaml:"route"`
	// Times that routes name.
	TimeIntervals []TimeInterval `yaml:"time_intervals"`
	// Files of template definitions that the receivers' templates may use, as globs.
	Templates []string `yaml:"templates"`
	// Where messages lead to.
	Links Links `yaml:"links"`
	// Labels of Deployments, or annotations where there is no such label, that become labels of their messages. Characters other than letters, digits and _ become _.
	WorkloadLabels []string `yaml:"workload_labels"`
	// How commit and source repository of an image are found.
	Registry Registry `yaml:"registry"`
	// What is done without a person, and when no more is.
	Actions Actions `yaml:"actions"`
	// Who may do something through the API.
	API API `yaml:"api"`
	// The policy of every workload, as far as it differs from the built-in one.
	Policy Patch `yaml:"policy"`
	// What differs for some workloads. All that match count, later ones over earlier ones.
	Overrides []Override `yaml:"overrides"`
}

// Kubernetes says which cluster is watched.
type Kubernetes struct {
	// Kubeconfig file. Empty: the service account when running in a cluster, else the default loading rules of kubectl.
	Kubeconfig string `yaml:"kubeconfig"`
	// Namespaces to watch, by exact name. Empty: all.
	Namespaces []string `yaml:"namespaces"`
}

// Basic is HTTP basic authentication.
type Basic struct {
	// User name.
	User string `yaml:"user" jsonschema:"required"`
	// File that holds the password.
	PasswordFile string `yaml:"password_file" jsonschema:"required"`
}

// Alertmanager says where alerts go.
type Alertmanager struct {
	// Base URL of every instance of the Alertmanager cluster, without /api/v2. Each gets every alert. With dns+ before it a URL stands for each address of its host, with dnssrv+ for each SRV record, with kubernetes+ for each ready endpoint of a Service: kubernetes+http://alertmanager.monitoring:web.
	URLs []string `yaml:"urls" jsonschema:"required,minItems=1"`
	// File that holds a bearer token.
	BearerTokenFile string `yaml:"bearer_token_file"`
	// File with the certificates, in PEM, that the instances' must come from. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// Proxy to go through: http, https or socks5. Empty: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
	ProxyURL string `yaml:"proxy_url"`
	// Tell receivers nothing, at first, of a release whose labels a silence there matches.
	Silences bool `yaml:"silences"`
	// Alerts that a rollout is expected to raise: they are silenced in its namespace while it is verified. Without it nothing is.
	Expected *Expected `yaml:"expected"`
	// How long one instance may take to accept an alert.
	Timeout time.Duration `yaml:"timeout"`
}

// Expected says which alerts a rollout is expected to raise.
type Expected struct {
	// Matchers of the alerts, all of which must match, as in alertname=~"KubePod.*". {workload} in one is the workload's name. That of the namespace is added.
	Matchers []string `yaml:"matchers" jsonschema:"required,minItems=1"`
	// How long a silence lasts that is not renewed, such as after a crash. Default: 5m.
	For time.Duration `yaml:"for"`
}

// ForgeGitea is the kind of a Gitea or Forgejo server.
const ForgeGitea = "gitea"

// Forge says where hotfix issues are opened and commits are read.
type Forge struct {
	// Kind of forge: gitea.
	Kind string `yaml:"kind" jsonschema:"required,enum=gitea"`
	// Base URL of the forge, without /api/v1.
	URL string `yaml:"url" jsonschema:"required"`
	// File that holds an access token with the scopes write:issue and read:repository.
	TokenFile string `yaml:"token_file" jsonschema:"required"`
	// Repository (owner/name) for releases whose images do not name one on this forge.
	Repository string `yaml:"repository"`
	// How long one request may take.
	Timeout time.Duration `yaml:"timeout"`
}

// Registry says how images are looked up.
type Registry struct {
	// Hosts of source repositories that are believed when an image's labels name them.
	Hosts []string `yaml:"hosts"`
	// Registries, host or host:port, that are spoken to without TLS.
	PlainHTTP []string `yaml:"plain_http"`
	// Registry to ask instead of another one: its host to the mirror's host.
	Mirrors map[string]string `yaml:"mirrors"`
	// How long one look-up may take.
	Timeout time.Duration `yaml:"timeout"`
}

// Override changes the policy of the workloads it matches.
type Override struct {
	// Namespaces it is for, as globs. Empty: all.
	Namespaces []string `yaml:"namespaces"`
	// Names of the workloads it is for, as globs. Empty: all.
	Workloads []string `yaml:"workloads"`
	// What differs for them.
	Policy Patch `yaml:"policy" jsonschema:"required"`
}

// Patch is the part of a policy that is given; what is nil stays as it was.
type Patch struct {
	// What Watchtower may do alone: observe, alert, approve (roll back once a person approved), auto (roll back).
	Autonomy *release.Autonomy `yaml:"autonomy"`
	// Leave the workload alone: no release of it is judged.
	Ignore *bool `yaml:"ignore"`
	// How long a release is watched after its start.
	Observe *time.Duration `yaml:"observe"`
	// A pod's first moments, which do not count for latency.
	Warmup *time.Duration `yaml:"warmup"`
	// How far before the rollout the comparison with the past reaches.
	History *time.Duration `yaml:"history"`
	// How long the metric store may fail before the verdict is source_broken.
	SourceGrace *time.Duration `yaml:"source_grace"`
	// How long the release's pods may take until the first one is ready.
	ReadyWithin *time.Duration `yaml:"ready_within"`
	// Largest probability that a release that is no worse is called regressed.
	Alpha *float64 `yaml:"alpha"`
	// Largest probability that a release worse than tolerated is called healthy.
	Beta *float64 `yaml:"beta"`
	// Relative harm that is tolerated: 0.1 allows a tenth more.
	MinEffect *float64 `yaml:"min_effect"`
	// A release is healthy once shown to be below the larger of this multiple of the baseline and the baseline plus healthy_increase.
	HealthyRatio *float64 `yaml:"healthy_ratio"`
	// See healthy_ratio.
	HealthyIncrease *float64 `yaml:"healthy_increase"`
	// Share of requests that must not fail, as 99.9%. A release that spends the error budget, which is the rest, faster than burn_rate times evenly is regressed whatever it is compared with. 0: none.
	SLO *float64 `yaml:"slo"`
	// See slo.
	BurnRate *float64 `yaml:"burn_rate"`
	// Weights of the kinds of signal: errors, callers, latency, throughput, resources, custom, slo. Those not named keep theirs; 0 leaves a kind out of the combined evidence.
	Weights map[string]float64 `yaml:"weights"`
	// Open a hotfix issue for a regressed release.
	Issue *bool `yaml:"issue"`
	// Severity of the messages about a regressed release: critical, error, warning, info.
	Severity *release.Severity `yaml:"severity"`
	// Signals of one's own. The list replaces an earlier one as a whole.
	Signals []Signal `yaml:"signals"`
}

// Signal is a signal of one's own: a ratio of two counters (bad and total), one
// counter, or a gauge.
type Signal struct {
	// Name of the signal: lower-case letters, digits and _.
	Name string `yaml:"name" jsonschema:"required"`
	// PromQL selector of a counter of what went wrong; total belongs to it.
	Bad string `yaml:"bad"`
	// PromQL selector of a counter of everything.
	Total string `yaml:"total"`
	// PromQL selector of a counter, whose increase per second and pod is the signal.
	Counter string `yaml:"counter"`
	// PromQL that answers with one value for each pod.
	Gauge string `yaml:"gauge"`
	// Which way a counter or a gauge gets worse: up or down. Default: up.
	Worse release.Direction `yaml:"worse" jsonschema:"enum=up,enum=down"`
	// Relative change of a counter or a gauge that is tolerated: 0.2 allows a fifth more (or less), which is the default.
	MinEffect float64 `yaml:"min_effect"`
}

// The defaults of what is not given. Those of the policy are
// release.DefaultPolicy.
func defaults() *Config {
	return &Config{
		Cluster:    "default",
		Listen:     "127.0.0.1:9477",
		Tick:       10 * time.Second,
		Store:      defaultStore(),
		Prometheus: defaultPrometheus(),
		Actions:    defaultActions(),
		Registry:   Registry{Timeout: 10 * time.Second},

		WorkloadLabels: []string{"team"},
	}
}

const (
	defaultAlertmanagerTimeout = 5 * time.Second
	defaultForgeTimeout        = 10 * time.Second
)

// fill sets the defaults that depend on what was given.
func (c *Config) fill() {
	if c.ExternalURL == "" {
		c.ExternalURL = "http://" + reachable(c.Listen)
	}
	if c.Alertmanager != nil && c.Alertmanager.Timeout == 0 {
		c.Alertmanager.Timeout = defaultAlertmanagerTimeout
	}
	if c.Forge != nil && c.Forge.Timeout == 0 {
		c.Forge.Timeout = defaultForgeTimeout
	}
	for i := range c.Receivers {
		if conn := c.Receivers[i].connection(); conn != nil && conn.Timeout == 0 {
			conn.Timeout = defaultReceiverTimeout
		}
	}
}

// reachable turns an address that is listened on into one that can be dialled
// from the same machine.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
