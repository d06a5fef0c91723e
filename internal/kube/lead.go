package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// A leader that dies is followed by the next one after leaseDuration and at
// most two pauses between tries; one that cannot renew its Lease stops
// leading well before another may begin.
const (
	leaseDuration = 10 * time.Second
	renewWithin   = 7 * time.Second
	leaseRetry    = 2 * time.Second
)

// Lease is by which replicas agree on who watches and judges.
type Lease struct {
	client          kubernetes.Interface
	namespace, name string
	identity        string
	log             *slog.Logger
	leader          atomic.Pointer[string]
}

// NewLease names the Lease; nothing is asked of the cluster before Lead. An
// empty namespace is that of the pod this runs in; an empty identity is the
// host's name. What the identity is made of is followed by a few letters of
// its own, so that no two processes ever are the same.
func NewLease(client kubernetes.Interface, namespace, name, identity string, log *slog.Logger) (*Lease, error) {
	if namespace == "" {
		body, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		if err != nil {
			return nil, errors.New("the namespace of the Lease is not known outside a pod: set replicas.namespace")
		}
		namespace = strings.TrimSpace(string(body))
	}
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("name this replica: %w; set replicas.identity", err)
		}
		identity = host
	}
	return &Lease{client: client, namespace: namespace, name: name, identity: identity + "_" + rand.String(6), log: log}, nil
}

// Leader is the identity of the replica that leads as far as this one knows,
// "" when it does not know.
func (l *Lease) Leader() string {
	if p := l.leader.Load(); p != nil {
		return *p
	}
	return ""
}

// Lead waits until this replica leads and calls f, whose context ends when ctx
// does or when it may lead no longer. The Lease is given back only after f has
// returned. Lead answers with f's error, nil when ctx ended before it led.
func (l *Lease) Lead(ctx context.Context, f func(ctx context.Context) error) error {
	started := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.namespace, Name: l.name},
			Client:     l.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewWithin, RetryPeriod: leaseRetry,
		ReleaseOnCancel: true, Name: l.name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { started <- ctx },
			OnStoppedLeading: func() {},
			OnNewLeader:      l.noteLeader,
		},
	})
	if err != nil {
		return fmt.Errorf("prepare the Lease %s/%s: %w", l.namespace, l.name, err)
	}
	// The election outlives ctx until f has returned: whoever is next must not
	// begin before.
	election, stop := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.FromSlogHandler(l.log.Handler()).V(debugVerbosity)))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(election)
	}()
	defer func() {
		stop()
		<-ended
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return nil
	case leading := <-started:
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(leading, cancel)()
		l.log.Info("this replica leads", "lease", l.namespace+"/"+l.name, "identity", l.identity)
		err := f(ctx)
		l.log.Info("this replica leads no longer", "lease", l.namespace+"/"+l.name, "identity", l.identity)
		return err
	}
}

func (l *Lease) noteLeader(identity string) {
	l.leader.Store(&identity)
	if identity != l.identity {
		l.log.Info("another replica leads", "lease", l.namespace+"/"+l.name, "leader", identity)
	}
}
