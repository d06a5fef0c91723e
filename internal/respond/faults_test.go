//go:build unix

package respond

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/smalldisk"
)

// trial is a responder in real time that leads as a server does: again and again.
type trial struct {
	t       *testing.T
	cluster *strictCluster
	alerts  *strictAlertmanager
	forge   *strictForge
	store   *store.Store
	r       *Responder
	all     []release.Release
}

func newTrial(t *testing.T, target string) *trial {
	t.Helper()
	tr := &trial{t: t, cluster: newCluster(), alerts: newAlertmanager(), forge: &strictForge{}}
	tr.cluster.comesBack = 20 * time.Millisecond
	quiet := slog.New(slog.DiscardHandler)
	var err error
	if tr.store, err = store.Open(t.Context(), target, quiet, store.ForCluster("lab")); err != nil {
		t.Fatal(err)
	}
	if tr.r, err = New(tr.store, Deps{Name: "lab", Limits: unlimited(), Cluster: tr.cluster, Alerter: tr.alerts, Forge: tr.forge}, quiet, nil); err != nil {
		t.Fatal(err)
	}
	tr.r.pace = pace{gather: 20 * time.Millisecond, firesAtLeast: 50 * time.Millisecond, alertPause: 10 * time.Millisecond, restorePoll: 20 * time.Millisecond, issueLooksIn: 20 * time.Millisecond}
	return tr
}

// lead acts until the test ends, anew whenever the right to was lost.
func (tr *trial) lead() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(tr.t.Context()))
	var leading sync.WaitGroup
	leading.Go(func() {
		for ctx.Err() == nil {
			if err := tr.term(ctx); err != nil && release.ErrorCode(err) != release.CodeUnavailable {
				tr.t.Errorf("it cannot lead: %v", err)
			}
		}
	})
	tr.t.Cleanup(func() {
		cancel()
		leading.Wait()
		if err := tr.store.Close(); err != nil {
			tr.t.Error(err)
		}
	})
}

func (tr *trial) term(ctx context.Context) error {
	hold, err := tr.store.Hold(ctx, 0)
	if err != nil {
		return unlessOver(ctx, err)
	}
	defer hold.Release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-hold.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	return tr.r.Run(ctx)
}

// regress rolls another workload out to a version that regressed.
func (tr *trial) regress() release.Release {
	name := fmt.Sprintf("app%d", len(tr.all))
	tr.cluster.deploy(name, 1)
	rel := tr.cluster.deploy(name, 2)
	tr.all = append(tr.all, rel)
	return rel
}

func (tr *trial) decide(rel release.Release) error {
	return tr.r.Decide(context.Background(), rel, verdict(rel, release.Regressed, true), policy(release.AutonomyAuto))
}

// decideOnceItCan asks as the loop does, which looks at each tick.
func (tr *trial) decideOnceItCan(rel release.Release) {
	tr.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // another process is away
		err := tr.decide(rel)
		if err == nil {
			return
		}
		if release.ErrorCode(err) != release.CodeUnavailable || time.Now().After(end) {
			tr.t.Fatal(err)
		}
	}
}

// settled reports whether nothing is left to be done for a release.
func (tr *trial) settled(id release.ID) bool {
	actions, err := tr.store.Actions(context.Background(), id)
	if err != nil || len(actions) == 0 || pending(actions) {
		return false
	}
	rows, err := tr.store.Audit(context.Background(), id, 0)
	for _, row := range rows {
		if err == nil && row.What == "restored" {
			return true
		}
	}
	return false
}

// once waits until all has been done, and fails unless each thing was, once.
func (tr *trial) once() {
	t := tr.t
	t.Helper()
	for _, rel := range tr.all {
		for end := time.Now().Add(90 * time.Second); !tr.settled(rel.ID); time.Sleep(10 * time.Millisecond) { // in real time
			if time.Now().After(end) {
				actions, err := tr.store.Actions(context.Background(), rel.ID)
				t.Fatalf("release %s is not settled: %+v, %v", rel.ID, actions, err)
			}
		}
	}
	patches, issues := map[release.ID]int{}, strings.Builder{}
	for _, req := range tr.cluster.taken() {
		patches[req.Release]++
	}
	for _, is := range tr.forge.opened() {
		issues.WriteString(is.Body)
	}
	for _, rel := range tr.all {
		events := 0
		for key := range tr.cluster.eventTexts() {
			if strings.HasPrefix(key, string(rel.ID)+"/") {
				events++
			}
		}
		alert, _ := tr.alerts.of(rel.ID)
		if n := strings.Count(issues.String(), release.Marker(rel.ID)); patches[rel.ID] != 1 || n != 1 || events != 2 || len(alert.Labels) == 0 {
			t.Errorf("release %s: %d rollbacks, %d issues, %d events, the alert %v", rel.ID, patches[rel.ID], n, events, alert.Labels)
		}
		rows, err := tr.store.Audit(context.Background(), rel.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"verdict regressed", "decision ", "rollback done", "issue done", "alert done", "restored done"} {
			n := 0
			for _, row := range rows {
				if strings.HasPrefix(row.What+" "+row.Outcome, want) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("release %s: %d audit rows %q", rel.ID, n, want)
			}
		}
	}
	if h, err := tr.store.Check(context.Background()); err != nil || !h.Sound() || h.Rows["releases"] != len(tr.all) {
		t.Errorf("%+v, %v; want %d releases", h, err, len(tr.all))
	}
}

// fullAfter fills the disk in the moment a rollback was accepted, and before that
// is recorded.
type fullAfter struct {
	*strictCluster
	fill func()
	only sync.Once
}

func (c *fullAfter) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	res, err := c.strictCluster.Rollback(ctx, req)
	if err == nil {
		c.only.Do(c.fill)
	}
	return res, err
}

func TestAFullDiskBetweenAnEffectAndItsRecordLosesAndDoublesNothing(t *testing.T) {
	smalldisk.On(t, "6m", func(t *testing.T, dir string) {
		tr := newTrial(t, filepath.Join(dir, "w.db"))
		var free func()
		var refusal error
		begun, full := make(chan struct{}), make(chan struct{})
		tr.r.deps.Cluster = &fullAfter{strictCluster: tr.cluster, fill: func() {
			defer close(full)
			<-begun
			free = smalldisk.Fill(t, dir)
			for n := 0; refusal == nil && n < 500; n++ { // the log beside the file has some room left
				refusal = tr.decide(tr.regress())
			}
		}}
		tr.lead()
		for range 3 {
			if err := tr.decide(tr.regress()); err != nil {
				t.Fatal(err)
			}
		}
		close(begun)
		select {
		case <-full:
		case <-time.After(time.Minute):
			t.Fatal("nothing was rolled back")
		}
		last := tr.all[len(tr.all)-1]
		if release.ErrorCode(refusal) != release.CodeUnavailable || !strings.Contains(refusal.Error(), "the disk is full; make room on it, and what waits is done") {
			t.Fatalf("%v (%s)", refusal, release.ErrorCode(refusal))
		}
		_, err := tr.store.Release(t.Context(), last.ID)
		actions, err2 := tr.store.Actions(t.Context(), last.ID)
		rows, err3 := tr.store.Audit(t.Context(), last.ID, 0)
		if release.ErrorCode(err) != release.CodeNotFound || len(actions)+len(rows) > 0 || errors.Join(err2, err3) != nil {
			t.Errorf("of what was refused there is %v, %v, %v", err, actions, rows)
		}
		for end := time.Now().Add(10 * time.Second); tr.store.WritesFailed() < 3; time.Sleep(10 * time.Millisecond) { // it goes on trying
			if time.Now().After(end) {
				t.Fatalf("%d writes failed", tr.store.WritesFailed())
			}
		}
		free()
		tr.decideOnceItCan(last)
		tr.once()
		t.Logf("%d releases, %d writes failed", len(tr.all), tr.store.WritesFailed())
	})
}

func TestJobsGoOnAtTheNewPrimaryAfterAFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts two servers of PostgreSQL")
	}
	primary, err := postgres.Start(t.Context())
	if err != nil {
		postgres.Missing(t, err)
	}
	t.Cleanup(func() { _ = primary.Stop() }) // it was killed
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	tr := newTrial(t, postgres.Either("postgres", primary, standby))
	tr.lead()
	const releases = 40
	failed := make(chan error, 1)
	for n := range releases {
		if n == releases/2 { // while jobs run and verdicts come
			go func() {
				err := primary.Kill()
				time.Sleep(500 * time.Millisecond) // whoever decides on the failover takes his time
				failed <- errors.Join(err, standby.Promote(context.WithoutCancel(t.Context())))
			}()
		}
		tr.decideOnceItCan(tr.regress())
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tr.once()
	t.Logf("all of %d releases settled %s after the standby was promoted", releases, time.Since(began).Round(10*time.Millisecond))
}
