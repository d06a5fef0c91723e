package kube

import (
	"net/http"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// However often the workload is scaled and annotated before and between the
// Actor's requests, a rollback that is asked for until it is answered puts the
// target back and keeps the last number of replicas; and when somebody deploys
// a newer version at any point, that version stays.
func TestScalingNeverVoidsARollbackAndADeployIsNeverOverwritten(t *testing.T) {
	var putBack, voided, overtaken, repeated int
	rapid.Check(t, func(rt *rapid.T) {
		api, actor, req := rolledOut(t)
		others := &neighbours{api: api, replicas: *api.deployment().Spec.Replicas}
		for range rapid.IntRange(0, 3).Draw(rt, "earlier changes") {
			others.leaveTemplate(rt)
		}
		others.plan(rt)
		api.before = func(*http.Request) { others.act(rt) }
		lost := rapid.Bool().Draw(rt, "the answer to the write is lost")
		api.after = func(*http.Request) error {
			if lost && len(api.writes) > 0 {
				lost = false
				return syscall.ECONNRESET
			}
			return nil
		}
		_, err := actor.Rollback(t.Context(), req)
		for calls := 1; release.ErrorCode(err) == release.CodeUnavailable; calls++ {
			if calls > 20 {
				rt.Fatalf("no end after %d calls: %v", calls, err)
			}
			repeated++
			_, err = actor.Rollback(t.Context(), req)
		}

		if got := *api.deployment().Spec.Replicas; got != others.replicas {
			rt.Fatalf("%d replicas, others wrote %d", got, others.replicas)
		}
		for _, w := range api.writes {
			checkWrite(rt, w, req)
		}
		code, image, writes := release.Code(""), good, 1
		switch {
		case !others.deployed:
			putBack++
		case others.writesBefore == 0:
			voided++
			code, image, writes = release.CodeVoid, next, 0
		default:
			overtaken++
			image = next
		}
		if release.ErrorCode(err) != code || api.image() != image || len(api.writes) != writes {
			rt.Fatalf("%v, image %s, %d writes; want code %q, image %s, %d writes", err, api.image(), len(api.writes), code, image, writes)
		}
	})
	t.Logf("%d put back, %d voided by a deploy, %d followed by a deploy, %d calls that had to be repeated", putBack, voided, overtaken, repeated)
	if !testing.Short() && (putBack == 0 || voided == 0 || overtaken == 0 || repeated == 0) {
		t.Error("the sequences were too tame: the property says nothing")
	}
}

// neighbours are those who work on the Deployment at the same time.
type neighbours struct {
	api      *standIn
	replicas int32 // as they wrote it last
	requests int   // of the Actor so far
	busy     int   // requests during which they scale and annotate

	deployAt     func() bool // nil: they deploy nothing
	deployed     bool
	writesBefore int // the Actor's, ahead of the deploy
}

func (n *neighbours) plan(rt *rapid.T) {
	n.busy = rapid.IntRange(0, 20).Draw(rt, "requests with changes")
	switch rapid.SampledFrom([]string{"never", "at a request", "after the write"}).Draw(rt, "deploy") {
	case "at a request":
		at := rapid.IntRange(0, 20).Draw(rt, "request of the deploy")
		n.deployAt = func() bool { return n.requests >= at }
	case "after the write":
		n.deployAt = func() bool { return len(n.api.writes) > 0 }
	}
}

// act is what they do ahead of one of the Actor's requests.
func (n *neighbours) act(rt *rapid.T) {
	if n.requests < n.busy && rapid.Bool().Draw(rt, "change") {
		n.leaveTemplate(rt)
	}
	if n.deployAt != nil && !n.deployed && n.deployAt() {
		n.api.deploy(next)
		n.deployed, n.writesBefore = true, len(n.api.writes)
	}
	n.requests++
}

// leaveTemplate changes something else than the pod template.
func (n *neighbours) leaveTemplate(rt *rapid.T) {
	switch rapid.SampledFrom([]string{"scale", "annotate", "settle"}).Draw(rt, "what") {
	case "scale":
		n.replicas = rapid.Int32Range(0, 20).Draw(rt, "replicas")
		n.api.scale(n.replicas)
	case "annotate":
		n.api.annotate("team", rapid.StringN(0, 3, -1).Draw(rt, "team"))
	case "settle":
		n.api.settle()
	}
}
