// Package node is the lab's node agent: it registers a Node with a Kubernetes
// API server, takes the pods that wait for one, runs each container as a
// process of this machine and reports what really happened to it.
package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/watchtower-verify/watchtower/lab/images"
)

// Config says which node to be. RESTConfig (or Client), NodeName, Images,
// StateDir and PodRange are required.
type Config struct {
	// RESTConfig reaches the API server, as an administrator.
	RESTConfig *rest.Config
	// Client is used instead of one made from RESTConfig when it is set.
	Client   kubernetes.Interface
	NodeName string
	// Images says which executable an image reference stands for.
	Images *images.Catalogue
	// StateDir holds logs, the containers' working directories and what is
	// needed to clean up after a killed agent. One agent at a time may use it.
	StateDir string
	// PodRange is where pods get their addresses: a part of 127.0.0.0/8 that
	// nothing else uses, /29 or larger.
	PodRange netip.Prefix
	// MaxPods is how many pods the node takes (default 250).
	MaxPods int
	// BackoffBase and BackoffMax bound the wait before a container that ended is
	// started again, and before a failed pull is tried again: base, twice that,
	// and so on (default 10 s and 5 min, as the kubelet has it).
	BackoffBase, BackoffMax time.Duration
	// StopGrace is how long processes may take to end when the agent stops
	// (default 2 s).
	StopGrace time.Duration
	// Log gets the agent's own messages (default: none).
	Log *slog.Logger
}

func (c *Config) complete() error {
	if c.Client == nil {
		if c.RESTConfig == nil {
			return errors.New("node: no RESTConfig")
		}
		config := rest.CopyConfig(c.RESTConfig)
		config.QPS, config.Burst = 200, 400 // a hundred pods may change at the same moment
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("node: client: %w", err)
		}
		c.Client = client
	}
	if c.NodeName == "" {
		return errors.New("node: no NodeName")
	}
	if c.Images == nil {
		return errors.New("node: no Images")
	}
	if c.StateDir == "" {
		return errors.New("node: no StateDir")
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return fmt.Errorf("node: StateDir: %w", err)
	}
	c.StateDir = dir
	if !c.PodRange.IsValid() || !c.PodRange.Addr().Is4() || !c.PodRange.Addr().IsLoopback() || c.PodRange.Bits() < 8 || c.PodRange.Bits() > 29 {
		return fmt.Errorf("node: PodRange %s is no part of 127.0.0.0/8 with at least 8 addresses", c.PodRange)
	}
	if c.MaxPods == 0 {
		c.MaxPods = 250
	}
	if c.BackoffBase == 0 {
		c.BackoffBase = 10 * time.Second
	}
	if c.BackoffMax == 0 {
		c.BackoffMax = 5 * time.Minute
	}
	if c.StopGrace == 0 {
		c.StopGrace = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
