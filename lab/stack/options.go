package stack

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/lab/parts"
)

// Names of the parts of a lab, as options, Stop and Start take them.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Registry          = "registry"
	Node              = "node"
	KubeStateMetrics  = "kube-state-metrics"
	Prometheus        = "prometheus"
	Alertmanager      = "alertmanager"
	Gitea             = "gitea"
)

// Names returns the parts of a lab in the order in which they are listed.
func Names() []string {
	return []string{Etcd, APIServer, ControllerManager, Registry, Node, KubeStateMetrics, Prometheus, Alertmanager, Gitea}
}

// Optional returns the parts that Options.Without may name.
func Optional() []string {
	return []string{ControllerManager, Node, KubeStateMetrics, Prometheus, Alertmanager, Gitea}
}

// Options says what lab to start. Only StateDir is required.
type Options struct {
	// StateDir holds everything of one lab: logs, data, credentials. What an
	// earlier lab left there is removed, except its image catalogue. A folder
	// that is neither empty nor a lab's is refused.
	StateDir string
	// Cache is where parts are built to; empty: parts.DefaultCache.
	Cache string
	// Catalogue is the image catalogue file; empty: images.json in StateDir. A
	// file that does not exist is made, with the images of the sample service.
	Catalogue string
	// Webapp is the executable behind the images of the sample service; empty:
	// it is built from the lab's module, or taken from beside this executable.
	Webapp string
	// Without names parts to leave out: those of Optional.
	Without []string
	// Ports gives parts of Names ports of their own; the others get free ones.
	Ports map[string]int
	// Scrape has Prometheus scrape these too: job name to host:port.
	Scrape map[string]string
	// Log gets what happens to the parts; nil: nothing.
	Log *slog.Logger
	// Progress gets the lines of a build of missing parts; nil: nothing.
	Progress io.Writer
}

// Commit is one commit of the forge's repository that an image was built from.
type Commit struct {
	SHA   string `json:"sha"`
	Title string `json:"title"`
}

// Info says where a running lab is.
type Info struct {
	StateDir            string            `json:"state_dir"`
	PID                 int               `json:"pid"`
	Parts               []string          `json:"parts"`
	PIDs                map[string]int    `json:"pids"` // of the parts that are processes
	Kubeconfig          string            `json:"kubeconfig"`
	WatchtowerKube      string            `json:"watchtower_kubeconfig"` // a user who may only do what Watchtower needs
	APIServerURL        string            `json:"api_server_url"`
	PrometheusURL       string            `json:"prometheus_url,omitempty"`
	AlertmanagerURL     string            `json:"alertmanager_url,omitempty"`
	KubeStateMetricsURL string            `json:"kube_state_metrics_url,omitempty"`
	ForgeURL            string            `json:"forge_url,omitempty"`
	ForgeUser           string            `json:"forge_user,omitempty"`
	ForgePasswordFile   string            `json:"forge_password_file,omitempty"`
	ForgeTokenFile      string            `json:"forge_token_file,omitempty"`
	ForgeRepo           string            `json:"forge_repo,omitempty"`    // owner/name
	ForgeCommits        map[string]Commit `json:"forge_commits,omitempty"` // by image tag
	RegistryAddr        string            `json:"registry_addr"`           // host:port, plain HTTP
	Catalogue           string            `json:"catalogue"`
	PodRange            string            `json:"pod_range"`
	LogDir              string            `json:"log_dir"`
	StartedSeconds      float64           `json:"started_seconds"` // from the start to ready, builds left out
}

func (o *Options) complete() error {
	if o.StateDir == "" {
		return fmt.Errorf("start the lab: no state folder given")
	}
	var err error
	if o.StateDir, err = filepath.Abs(o.StateDir); err != nil {
		return fmt.Errorf("start the lab: %w", err)
	}
	if o.Catalogue != "" {
		if o.Catalogue, err = filepath.Abs(o.Catalogue); err != nil {
			return fmt.Errorf("start the lab: %w", err)
		}
	}
	if o.Cache == "" {
		if o.Cache, err = parts.DefaultCache(); err != nil {
			return err
		}
	}
	for _, name := range o.Without {
		if !slices.Contains(Optional(), name) {
			return fmt.Errorf("start the lab without %q: it can do without %s", name, strings.Join(Optional(), ", "))
		}
	}
	for name := range o.Ports {
		if !slices.Contains(Names(), name) || name == Node {
			return fmt.Errorf("port for %q: parts with a port are %s", name, strings.Join(slices.DeleteFunc(Names(), func(n string) bool { return n == Node }), ", "))
		}
	}
	for job := range o.Scrape {
		if slices.Contains([]string{jobPods, jobKubelet, KubeStateMetrics}, job) {
			return fmt.Errorf("scrape job %q: the lab has one of that name", job)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return nil
}

func (o *Options) has(name string) bool { return !slices.Contains(o.Without, name) }

// buildNames are the parts that have to be compiled for this lab.
func (o *Options) buildNames() []string {
	var names []string
	for _, name := range Names() {
		if o.has(name) && slices.Contains(parts.Names(), name) {
			names = append(names, name)
		}
	}
	return names
}
