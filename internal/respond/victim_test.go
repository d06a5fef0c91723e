//go:build unix

package respond

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// order is what a process that is to be killed is started with, in victimEnv.
type order struct {
	Target string // of the store
	Socket string // where the world is
	Storm  bool   // under the limits that are the default, with nobody there to approve
}

// victim is a Watchtower that judges what it is told to judge, acts, and dies
// where the world wants it to. It never returns.
func victim(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	ctx, world, quiet := context.Background(), reachOver(o.Socket), slog.New(slog.DiscardHandler)
	onPoint = func(p point) {
		if die, err := call[bool](ctx, world, "point", p); err == nil && die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	st := openWhenFree(ctx, o.Target, quiet)
	limits := unlimited()
	if o.Storm {
		limits = DefaultLimits()
	}
	r, err := New(st, Deps{
		Name: "lab", Limits: limits, Cluster: world, Alerter: world, Forge: world, Notifiers: map[string]Notifier{"chat": world},
	}, quiet, nil)
	if err != nil {
		panic(err)
	}
	r.pace = pace{gather: 20 * time.Millisecond, firesAtLeast: 50 * time.Millisecond, alertPause: 10 * time.Millisecond, restorePoll: 20 * time.Millisecond, issueLooksIn: 20 * time.Millisecond}
	if o.Storm {
		r.pace.gather = normalPace.gather
	}
	if _, err := st.Hold(ctx, 0); err != nil {
		panic(err)
	}
	go func() {
		for {
			if err := judgeAll(ctx, r, st, world, !o.Storm); err != nil {
				panic(err)
			}
			time.Sleep(10 * time.Millisecond) // between two looks of the loop
		}
	}()
	panic(r.Run(ctx))
}

// openWhenFree waits for the file that another process may have open.
func openWhenFree(ctx context.Context, target string, log *slog.Logger) *store.Store {
	for {
		st, err := store.Open(ctx, target, log, store.ForCluster("lab"))
		if err == nil {
			return st
		}
		if !strings.Contains(err.Error(), "another Watchtower") {
			panic(err)
		}
		time.Sleep(20 * time.Millisecond) // another process is waited for
	}
}

// judgeAll decides what is not decided yet, clicks where a person is waited for,
// and tells how much has come to its end.
func judgeAll(ctx context.Context, r *Responder, st *store.Store, world reach, approves bool) error {
	cases, err := call[[]judged](ctx, world, "cases", nothing{})
	if err != nil {
		return err
	}
	ended := 0
	for _, c := range cases {
		rec, err := st.Release(ctx, c.Release.ID)
		if err != nil && release.ErrorCode(err) != release.CodeNotFound {
			return err
		}
		if rec.Verdict.Kind != c.Verdict.Kind || !rec.Verdict.Final {
			if err := r.Decide(ctx, c.Release, c.Verdict, policy(c.Autonomy)); err != nil {
				return err
			}
			continue
		}
		over, err := caseEnded(ctx, r, st, c, approves)
		if err != nil {
			return err
		}
		if over {
			ended++
		}
	}
	_, err = call[nothing](ctx, world, "settled", ended)
	return err
}

func caseEnded(ctx context.Context, r *Responder, st *store.Store, c judged, approves bool) (bool, error) {
	if c.Verdict.Kind != release.Regressed {
		return true, nil
	}
	actions, err := st.Actions(ctx, c.Release.ID)
	if err != nil {
		return false, err
	}
	if pending(actions) {
		return false, nil
	}
	for _, a := range actions {
		switch {
		case a.State == release.ActionWaiting && !approves:
			return true, nil
		case a.State == release.ActionWaiting:
			err := r.Approve(ctx, c.Release.ID, release.By{Actor: "ann", Reason: "it is bad"})
			return false, err
		}
	}
	after, err := st.Aftermath(ctx, c.Release.ID)
	if err != nil || after.Restored == "" {
		return false, err
	}
	firing, err := st.FiringAlerts(ctx)
	if err != nil {
		return false, err
	}
	for _, a := range firing {
		if a.Release == c.Release.ID {
			return false, nil
		}
	}
	return true, nil
}

func pending(actions []release.Action) bool {
	return slices.ContainsFunc(actions, func(a release.Action) bool { return a.State == release.ActionPending })
}
