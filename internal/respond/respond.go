// Package respond decides what a verdict leads to and carries it out, each
// effect once. A decision is one transaction: the verdict with its evidence,
// the actions the policy allows, the jobs that carry them out, and the audit
// rows that say why. A job may run again after a crash or a fault; every effect
// is known to the other side by a key, a fence or a marker, so that the second
// run finds what the first one did.
package respond

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// Cluster is where rollbacks happen. Errors are *release.Error: CodeVoid when
// the ground of the call fell away, CodeRefused when a rule forbids it, both
// final; anything else may be tried again.
type Cluster interface {
	// ReplicaSets lists the workload's ReplicaSets as they are now, newest first.
	ReplicaSets(ctx context.Context, w release.Workload) ([]release.RolloutReplicaSet, error)
	// Rollback patches at most once per release; a later call answers Already.
	Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error)
	// Restored reports whether every replica runs the target and is ready.
	Restored(ctx context.Context, w release.Workload, target release.ReplicaSet) (bool, error)
	// Event writes a Kubernetes Event on the workload, one per key.
	Event(ctx context.Context, w release.Workload, key, reason, message string, warning bool) error
}

// Alerter takes alerts. The same labels are the same alert, so posting one
// again is harmless. CodeInvalid is final; anything else may be tried again.
type Alerter interface {
	Post(ctx context.Context, alerts []release.Alert) error
}

// Forge holds source repositories and their issues. An empty repo means the
// configured one.
type Forge interface {
	// Repository names the repository of a source URL; false when it lies elsewhere.
	Repository(source string) (repo string, ok bool)
	// FindIssue looks for an issue whose text has the marker.
	FindIssue(ctx context.Context, repo, marker string) (url string, found bool, err error)
	// OpenIssue opens one. After an error it may be there nevertheless.
	OpenIssue(ctx context.Context, repo string, issue release.Issue) (url string, err error)
	// Commits lists what is in to and not in from.
	Commits(ctx context.Context, repo, from, to string) ([]release.Commit, error)
}

// Deps is what a Responder acts on.
type Deps struct {
	Name    string // of the cluster, as releases carry it
	Cluster Cluster
	Alerter Alerter // nil: none is configured
	Forge   Forge   // nil: none is configured
	// Notifiers tell people, by the names of their receivers.
	Notifiers map[string]Notifier
	// Route names the receivers a message is for; nil: all there are.
	Route func(release.Message) []string
	// Open is from when on a receiver may be told for the first time, where there
	// are quiet hours; nil: at any time.
	Open func(m release.Message, receiver string, now time.Time) time.Time
	// Repeat is after how long a receiver is told again of what is open still, 0 for
	// never; nil: never.
	Repeat func(m release.Message, receiver string) time.Duration
	// InPlace are the receivers whose message is changed in place without anybody
	// being woken: they are told who sees to an incident as soon as that is known.
	InPlace map[string]bool
	// Group is what a receiver is told of together with a message, false where it is
	// told of it by itself; nil: always.
	Group func(m release.Message, receiver string) (Grouping, bool)
	// ExternalURL is where people reach Watchtower's pages; "" when unknown.
	ExternalURL string
	// Places are what messages link to.
	Places message.Places
	// Limits of what is done without a person; DefaultLimits where they are zero.
	Limits Limits
}

// Responder records verdicts and carries out what follows from them.
type Responder struct {
	store   *store.Store
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	pace    pace
	outlets *outlets
	first   *first
	seats   seats
	client  *river.Client[*sql.Tx]
	bell    bell

	posting chan struct{} // held to post, so that an alert's end is never overtaken by its beginning
	wake    chan struct{} // an alert changed

	mu       sync.Mutex
	underWay map[string]bool // keys of the actions being carried out
}

// pace is how long things wait that need not.
type pace struct {
	// gather is how long the first message of a regression waits for others, so
	// that many at once are told as one.
	gather time.Duration
	// A rollback may be over before Alertmanager, which gathers a group for 30 s
	// by default, has told anybody. So an alert fires at least this long.
	firesAtLeast time.Duration
	alertPause   time.Duration // between two posts of all alerts
	restorePoll  time.Duration // at first
	issueLooksIn time.Duration // for what came of the rollback
}

var normalPace = pace{gather: time.Second, firesAtLeast: time.Minute, alertPause: 250 * time.Millisecond, restorePoll: time.Second, issueLooksIn: time.Second}

const (
	jobTimeout   = time.Minute
	rescueAfter  = 3 * time.Minute
	stopPatience = 5 * time.Second
	fetchEvery   = time.Second // without a ring of the bell
	fetchPause   = 20 * time.Millisecond
	workers      = 8 // beside those that outlets may hold up
)

// New makes a Responder. It does nothing outside the database before Run.
func New(st *store.Store, deps Deps, log *slog.Logger, reg prometheus.Registerer) (*Responder, error) {
	return newResponder(st, deps, log, reg, func(*river.Config) {})
}

func newResponder(st *store.Store, deps Deps, log *slog.Logger, reg prometheus.Registerer, tune func(*river.Config)) (*Responder, error) {
	deps.ExternalURL = strings.TrimRight(deps.ExternalURL, "/")
	deps.Places.ExternalURL = deps.ExternalURL
	if deps.Limits == (Limits{}) {
		deps.Limits = DefaultLimits()
	}
	r := &Responder{
		store: st, deps: deps, log: log, pace: normalPace, outlets: newOutlets(), first: newFirst(allSlots(len(deps.Notifiers))), seats: newSeats(allSlots(len(deps.Notifiers)) / 2), bell: newBell(), posting: make(chan struct{}, 1), wake: make(chan struct{}, 1), underWay: make(map[string]bool),
	}
	r.metrics = newMetrics(reg, r.firing)
	if reg != nil {
		reg.MustRegister(newStanding(r))
	}
	jobs := river.NewWorkers()
	river.AddWorker(jobs, &actionWorker{responder: r})
	river.AddWorker(jobs, &restoreWorker{responder: r})
	river.AddWorker(jobs, &repeatWorker{responder: r})
	river.AddWorker(jobs, &wakeWorker{responder: r})
	cfg := &river.Config{
		ID:                          st.ClientID(),
		Workers:                     jobs,
		Queues:                      map[string]river.QueueConfig{st.Queue(): {MaxWorkers: min(workers+allSlots(len(deps.Notifiers)), river.QueueNumWorkersMax)}},
		FetchCooldown:               fetchPause,
		FetchPollInterval:           fetchEvery,
		JobTimeout:                  jobTimeout,
		RescueStuckJobsAfter:        rescueAfter,
		SoftStopTimeout:             stopPatience,
		MaxAttempts:                 maxJobAttempts,
		RetryPolicy:                 retryPolicy{},
		CompletedJobRetentionPeriod: time.Hour,
		ReindexerIndexNames:         []string{}, // none grows enough to need it
		Logger:                      slog.New(warnings{log.Handler()}),
	}
	tune(cfg)
	client, err := river.NewClient(driver{st.RiverDriver(), r.bell, st.Queue()}, cfg)
	if err != nil {
		return nil, fmt.Errorf("make the job queue: %w", err)
	}
	r.client = client
	return r, nil
}

// Run carries out actions and keeps alerts alive until ctx ends; then it lets
// what is under way finish for a few seconds. What an earlier process left
// unfinished goes on at once.
func (r *Responder) Run(ctx context.Context) error {
	n, err := r.store.ReclaimJobs(ctx)
	if err != nil {
		return unlessOver(ctx, err)
	}
	if n > 0 {
		r.log.Info("actions of an earlier process go on", "jobs", n)
	}
	if err := r.client.Start(ctx); err != nil {
		return unlessOver(ctx, fmt.Errorf("start the job queue: %w", r.store.InWords(err)))
	}
	var tending sync.WaitGroup
	tending.Go(func() { r.tend(ctx) })
	r.keepAlertsAlive(ctx)
	tending.Wait()
	<-r.client.Stopped()
	return nil
}

// unlessOver is err, unless ctx has ended, which is why there was an error.
func unlessOver(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// warnings passes on what is worth a person's attention of River's log.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
