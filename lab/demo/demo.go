// Package demo plays the whole story on a real cluster and tells it: a healthy
// release, then a bad one that is seen, found out, alerted, rolled back and
// reported. Every step is checked against the cluster, Alertmanager and the
// forge themselves.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/service"
	"github.com/watchtower-verify/watchtower/lab/stack"
	"github.com/watchtower-verify/watchtower/lab/traffic"
)

const (
	namespace = "shop"
	workload  = "webapp"
	imageV1   = "mycompany/webapp:v1"
	imageV2   = "mycompany/webapp:v2"
	imageV3   = "mycompany/webapp:v3" // fails 5 % of /api/checkout
	replicas  = 4
	// checkoutRate requests a second go to the route that will fail, otherRate
	// to the others.
	checkoutRate, otherRate = 20.0, 5.0
	// warmup is how long the first version serves before it is a baseline.
	warmup = 40 * time.Second
)

const policy = `autonomy: auto
observe: 10m
warmup: 5s
history: 10m`

// Options of the demo.
type Options struct {
	Stack      stack.Options
	Watchtower string // the executable
	// Standins is the executable of the stand-ins of receivers; empty: nobody but
	// Alertmanager is told.
	Standins string
	Out      io.Writer
	// Exit ends after the story; otherwise the demo stays up until ctx ends.
	Exit bool
}

// Run plays the story. It returns an error if a step did not happen.
func Run(ctx context.Context, opt Options) error {
	d := &demo{say: newTeller(opt.Out), opt: opt}
	err := d.run(ctx)
	if d.service != nil {
		err = errors.Join(err, d.service.Stop())
	}
	if d.stopTraffic != nil {
		d.stopTraffic()
	}
	if d.receivers != nil {
		d.receivers.stop()
	}
	if d.lab != nil {
		d.lab.Down()
	}
	return err
}

type demo struct {
	opt         Options
	say         *teller
	lab         *stack.Lab
	service     *service.Service
	timeline    *timeline
	receivers   *receivers
	stopTraffic func()
	figures     figures
}

func (d *demo) run(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	d.say.begin()
	story := time.Now()
	for _, step := range []func(context.Context) error{d.firstVersion, d.healthyRelease, d.badRelease} {
		if err := step(ctx); err != nil {
			return d.unhappy(err)
		}
	}
	d.figures.story = time.Since(story)
	if err := d.doctor(ctx); err != nil {
		return d.unhappy(err)
	}
	if err := d.finishFigures(); err != nil {
		return err
	}
	d.say.figures(d.figures)
	d.say.addresses(d.lab.Info(), d.service, d.opt.Watchtower)
	if d.opt.Exit {
		return nil
	}
	d.say.line("Everything stays up until you press Ctrl-C.")
	<-ctx.Done()
	return nil
}

// unhappy adds what helps to understand why a step did not happen.
func (d *demo) unhappy(err error) error {
	return fmt.Errorf("the story broke: %w\nWatchtower's log (%s) ends:\n%s", err, d.service.LogFile(), d.service.LogTail(25))
}

func (d *demo) start(ctx context.Context) error {
	d.say.title("Starting a Kubernetes control plane, Prometheus, Alertmanager and Gitea")
	lab, err := stack.Up(ctx, d.opt.Stack)
	if err != nil {
		return err
	}
	d.lab = lab
	info := lab.Info()
	d.say.line("up in %.1f s; kubeconfig %s", info.StartedSeconds, info.Kubeconfig)
	more := ""
	if d.opt.Standins != "" {
		if d.receivers, more, err = startReceivers(ctx, d.opt.Standins, filepath.Join(info.StateDir, "receivers")); err != nil {
			return err
		}
	}
	d.service, err = service.New(info, service.Config{
		Binary: d.opt.Watchtower, Dir: filepath.Join(info.StateDir, "watchtower"), Policy: policy, More: more,
	})
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := d.service.Start(ctx); err != nil {
		return err
	}
	d.say.line("Watchtower is ready after %s, autonomy auto: %s", time.Since(begin).Round(10*time.Millisecond), d.service.URL)
	d.timeline = watch(ctx, lab.Client(), namespace)
	return nil
}

func (d *demo) firstVersion(ctx context.Context) error {
	d.say.title("A first version")
	if err := d.deploy(ctx, imageV1); err != nil {
		return err
	}
	if err := d.within(ctx, time.Minute, func(ctx context.Context) error {
		return deployment.WaitReady(ctx, d.lab.Client(), namespace, workload)
	}); err != nil {
		return err
	}
	d.say.step("%d pods of %s are ready", replicas, imageV1)
	tctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := traffic.Run(tctx, traffic.Config{
			Client: d.lab.Client(), Namespace: namespace, Selector: "app=" + workload,
			Rate: checkoutRate + otherRate,
			Routes: []traffic.Route{
				{Path: "/", Weight: otherRate / 2},
				{Path: "/api/products", Weight: otherRate / 2},
				{Method: "POST", Path: "/api/checkout", Weight: checkoutRate},
			},
		})
		if err != nil {
			d.say.step("traffic ended: %v", err)
		}
	}()
	d.stopTraffic = func() { stop(); <-done }
	d.say.step("people come: %.0f requests/s, %.0f of them to /api/checkout; 0.1 %% fail, as everywhere", checkoutRate+otherRate, checkoutRate)
	d.say.step("it serves for %s, to have a past", warmup)
	return pause(ctx, warmup)
}

func (d *demo) healthyRelease(ctx context.Context) error {
	d.say.title("A second version, no worse than the first")
	if err := d.rollOut(ctx, imageV2); err != nil {
		return err
	}
	rec, err := d.await(ctx, imageV2, 4*time.Minute, "a healthy verdict", func(r *service.Record) bool { return r.Verdict.Kind != "pending" })
	if err != nil {
		return err
	}
	if rec.Verdict.Kind != "healthy" {
		return fmt.Errorf("%s was found %s, not healthy: %s %s", imageV2, rec.Verdict.Kind, rec.Verdict.Summary, rec.Verdict.Reason)
	}
	d.say.step("HEALTHY after %s: %s", since(d.timeline.when(podReady(imageV2))), rec.Verdict.Summary)
	d.say.evidence(rec.Verdict.Evidence)
	d.say.step("the observation goes on, in case it gets worse later")
	return nil
}

func (d *demo) badRelease(ctx context.Context) error {
	d.say.title("A third version: 5 % of the requests of /api/checkout fail")
	if err := d.rollOut(ctx, imageV3); err != nil {
		return err
	}
	rec, err := d.await(ctx, imageV3, 2*time.Minute, "a verdict", func(r *service.Record) bool { return r.Verdict.Final })
	if err != nil {
		return err
	}
	if rec.Verdict.Kind != "regressed" {
		return fmt.Errorf("%s was found %s, not regressed: %s %s", imageV3, rec.Verdict.Kind, rec.Verdict.Summary, rec.Verdict.Reason)
	}
	decided := auditTime(rec, "verdict", "regressed")
	d.figures.detection = decided.Sub(d.timeline.when(podReady(imageV3)))
	d.say.step("REGRESSED %s after the first bad pod was ready: %s", d.figures.detection.Round(100*time.Millisecond), rec.Verdict.Summary)
	d.say.evidence(rec.Verdict.Evidence)
	return d.consequences(ctx, rec, decided)
}

// consequences follows what the verdict led to, each where it happens.
func (d *demo) consequences(ctx context.Context, rec *service.Record, decided time.Time) error {
	id := rec.Release.ID
	if err := d.within(ctx, 20*time.Second, func(ctx context.Context) error {
		return poll(ctx, "the rollback patch on the Deployment", func() bool { return !d.timeline.when(rolledBack(id)).IsZero() })
	}); err != nil {
		return err
	}
	d.figures.patch = d.timeline.when(rolledBack(id)).Sub(decided)
	d.say.step("ROLLED BACK: the patch was accepted %s after the verdict", d.figures.patch.Round(time.Millisecond))

	var alert alertmanagerAlert
	if err := d.within(ctx, 20*time.Second, func(ctx context.Context) (err error) {
		alert, err = findAlert(ctx, d.lab.Info().AlertmanagerURL, id)
		return err
	}); err != nil {
		return err
	}
	d.say.step("ALERT in Alertmanager: %s %s", alert.Labels["alertname"], alert.Annotations["summary"])

	if err := d.within(ctx, time.Minute, func(ctx context.Context) error {
		return restored(ctx, d.lab.Client(), imageV2)
	}); err != nil {
		return err
	}
	d.say.step("RESTORED: all %d pods run %s again, %s after the verdict", replicas, imageV2, since(decided))

	rec, err := d.await(ctx, imageV3, time.Minute, "the hotfix issue", func(r *service.Record) bool {
		a, ok := r.Action("issue")
		return ok && a.State == "done"
	})
	if err != nil {
		return err
	}
	action, _ := rec.Action("issue")
	issue, err := readIssue(ctx, d.lab.Info(), action.URL)
	if err != nil {
		return err
	}
	d.say.step("ISSUE opened: %s", action.URL)
	d.say.issue(issue)
	return d.messages(ctx, id)
}

// rollOut deploys an image and waits until Watchtower has seen it and the
// first pod is ready.
func (d *demo) rollOut(ctx context.Context, image string) error {
	if err := d.deploy(ctx, image); err != nil {
		return err
	}
	d.say.step("kubectl set image deployment/%s %s=%s", workload, workload, image)
	rec, err := d.await(ctx, image, 20*time.Second, "sight of the release", func(*service.Record) bool { return true })
	if err != nil {
		return err
	}
	if err := d.within(ctx, 10*time.Second, func(ctx context.Context) error {
		return poll(ctx, "the new ReplicaSet", func() bool { return !d.timeline.when(replicaSetSeen(image)).IsZero() })
	}); err != nil {
		return err
	}
	seen := rec.Release.SeenAt.Sub(d.timeline.when(replicaSetSeen(image)))
	d.figures.seen = max(d.figures.seen, seen)
	d.say.step("SEEN %s after the API event: release %s", max(0, seen.Round(time.Millisecond)), rec.Release.ID)
	err = d.within(ctx, time.Minute, func(ctx context.Context) error {
		return poll(ctx, "the first ready pod of "+image, func() bool { return !d.timeline.when(podReady(image)).IsZero() })
	})
	if err == nil {
		d.say.step("the first pod of %s is ready", image)
	}
	return err
}

func (d *demo) deploy(ctx context.Context, image string) error {
	count, minReady := int32(replicas), int32(5)
	_, _, err := deployment.Apply(ctx, d.lab.Client(), deployment.Spec{
		Namespace: namespace, Name: workload, Image: image, Replicas: &count, MinReadySeconds: &minReady,
	})
	return err
}

func (d *demo) await(ctx context.Context, image string, limit time.Duration, what string, done func(*service.Record) bool) (rec *service.Record, err error) {
	err = d.within(ctx, limit, func(ctx context.Context) error {
		rec, err = d.service.Wait(ctx, namespace, workload, image, done)
		if err != nil && rec != nil {
			err = fmt.Errorf("%w; it is %s: %s %s", err, rec.Verdict.Kind, rec.Verdict.Summary, rec.Verdict.Reason)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("no %s: %w", what, err)
	}
	return rec, err
}

func (d *demo) within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

func auditTime(rec *service.Record, what, outcome string) time.Time {
	for _, row := range rec.Audit {
		if row.What == what && strings.HasPrefix(row.Outcome, outcome) {
			return row.At
		}
	}
	return time.Time{}
}

func poll(ctx context.Context, what string, done func() bool) error {
	for !done() {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
