package tests

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/service"
)

// A state of the pods convicts at once, and the workload is put back.
func TestPodStatesConvictAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tag, says string }{
		{"crash", "crash"},
		{"unpullable", "pulled"},
		{"never-ready", "became ready"},
		{"oom", "memory"},
	} {
		t.Run(c.tag, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, func(cfg *service.Config) {
				if c.tag == "never-ready" {
					cfg.Policy = strings.Replace(fastPolicy, "ready_within: 5m", "ready_within: 20s", 1)
				}
			})
			s.start()
			s.serve(0, nil)
			image := "mycompany/webapp:" + c.tag
			s.deploy(image, func(d *deployment.Spec) { d.MinReadySeconds = ptr(int32(30)) })
			if c.tag == "oom" {
				limitMemory(t, s, "64Mi")
			}
			rec := s.verdict(image, 90*time.Second, "regressed")
			if got := rec.Verdict.Reason + rec.Verdict.Evidence[0].Reason; !strings.Contains(got, c.says) {
				t.Errorf("the reason says %q, want something of %q", got, c.says)
			}
			s.settled(image, "rollback", "done", 30*time.Second)
			s.rolled()
			s.runs(good)
		})
	}
}

func limitMemory(t *testing.T, s *scene, limit string) {
	t.Helper()
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"` + workload + `","resources":{"limits":{"memory":"` + limit + `"}}}]}}}}`
	if _, err := theLab.Client().AppsV1().Deployments(s.ns).Patch(t.Context(), workload, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestShapesOfDeployments(t *testing.T) {
	t.Parallel()
	t.Run("a healthy release is found healthy and left alone", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, nil)
		s.deploy(better, nil)
		s.verdict(better, 6*time.Minute, "healthy")
		s.runs(better)
	})
	t.Run("one replica", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, func(d *deployment.Spec) { d.Replicas = ptr(int32(1)) })
		s.deploy(bad, nil)
		s.verdict(bad, 2*time.Minute, "regressed")
		s.settled(bad, "rollback", "done", 30*time.Second)
		s.runs(good)
	})
	t.Run("strategy Recreate is judged against the past", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, func(d *deployment.Spec) { d.Recreate = ptr(true) })
		s.deploy(bad, nil)
		rec := s.verdict(bad, 3*time.Minute, "regressed")
		if b := rec.Verdict.Evidence[0].Baseline; b != "history" {
			t.Errorf("the evidence is against %q, want history: the old pods were gone", b)
		}
		s.settled(bad, "rollback", "done", 30*time.Second)
		s.runs(good)
	})
	t.Run("without traffic nothing is decided and nothing done", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(0, nil)
		s.deploy(bad, nil)
		s.wait(bad, 20*time.Second, "sight", always)
		s.never(bad, 40*time.Second, "healthy", "regressed", "source_broken")
		s.runs(bad)
	})
	t.Run("a paused Deployment is no release until it goes on", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, nil)
		s.deploy(bad, func(d *deployment.Spec) { d.Paused = ptr(true) })
		time.Sleep(5 * time.Second)
		if rec, err := s.ByImage(t.Context(), s.ns, workload, bad); err != nil || rec != nil {
			t.Errorf("a release was seen of a rollout that is paused (%v)", err)
		}
		s.deploy(bad, func(d *deployment.Spec) { d.Paused = ptr(false) })
		s.verdict(bad, 2*time.Minute, "regressed")
	})
	t.Run("a rollback of a Deployment that was paused half-way is refused", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, nil)
		s.deploy(bad, nil)
		s.wait(bad, 20*time.Second, "sight", always)
		s.deploy(bad, func(d *deployment.Spec) { d.Paused = ptr(true) })
		s.verdict(bad, 2*time.Minute, "regressed")
		s.settled(bad, "rollback", "refused", 30*time.Second)
		s.runs(bad)
	})
	t.Run("two containers of which one changed", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, nil)
		addSidecar(t, s)
		s.rolled()
		time.Sleep(15 * time.Second)
		s.deploy(bad, nil)
		rec := s.verdict(bad, 2*time.Minute, "regressed")
		if n := len(rec.Release.ReplicaSet.Images); n != 2 {
			t.Errorf("the release has %d images, want both containers'", n)
		}
		s.settled(bad, "rollback", "done", 30*time.Second)
		s.rolled()
		s.runs(good)
	})
	t.Run("a scale-up, a restart and an annotation are no releases", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.start()
		s.serve(40, nil)
		s.wait(good, 20*time.Second, "sight", always)
		s.deploy("", func(d *deployment.Spec) { d.Replicas = ptr(int32(3)) })
		s.deploy("", func(d *deployment.Spec) { d.Annotations = map[string]string{"example.org/note": "x"} })
		s.deploy("", func(d *deployment.Spec) { d.Env = map[string]string{"RESTARTED": "1"} })
		s.rolled()
		time.Sleep(3 * time.Second)
		list, err := s.Releases(t.Context(), s.ns, workload)
		if err != nil {
			t.Fatal(err)
		}
		// The change of the environment came while the first deployment was still
		// being watched, so it may have taken that one's place; none may be of
		// another image.
		for _, r := range list {
			if r.Release.Previous != nil {
				t.Errorf("release %s over %s was made of no change of image", r.Release.ReplicaSet.Name, r.Release.Previous.Name)
			}
		}
	})
}

func addSidecar(t *testing.T, s *scene) {
	t.Helper()
	d := s.current()
	side := d.Spec.Template.Spec.Containers[0].DeepCopy()
	side.Name, side.ReadinessProbe, side.Ports = "sidecar", nil, nil
	side.Image = better
	side.Env = append(side.Env, corev1.EnvVar{Name: "PORT", Value: "9999"})
	d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, *side)
	if _, err := theLab.Client().AppsV1().Deployments(s.ns).Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
