package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/images"
)

// upLab starts a lab that is ended with the test.
func upLab(t *testing.T, opt Options) *Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a lab")
	}
	opt.StateDir = filepath.Join(t.TempDir(), "state")
	opt.Progress = os.Stderr // a first run compiles for a quarter of an hour
	opt.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	lab, err := Up(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Down)
	return lab
}

// query asks Prometheus for the one series of an expression.
func query(ctx context.Context, info Info, expr string) (labels map[string]string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, info.PrometheusURL+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer.Data.Result) != 1 {
		return nil, fmt.Errorf("%s has %d series", expr, len(answer.Data.Result))
	}
	return answer.Data.Result[0].Metric, nil
}

// under are the processes that descend from this one.
func under(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "pid=,ppid=,stat=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	mine := []string{itoa(os.Getpid())}
	var found []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) > 3 && slices.Contains(mine, f[1]) && !strings.HasPrefix(f[2], "Z") && f[3] != "ps" {
			mine = append(mine, f[0])
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func TestUpRunsADeploymentToReady(t *testing.T) {
	catalogue := filepath.Join(t.TempDir(), "images.json")
	cat, err := images.Open(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Add(images.Image{Reference: "mycompany/test:1", Command: []string{os.Args[0]}, Env: map[string]string{"LAB_TEST_SERVE": "1"}}); err != nil {
		t.Fatal(err)
	}
	lab := upLab(t, Options{Catalogue: catalogue, Without: []string{Gitea}})
	info, client := lab.Info(), lab.Client()
	if found, err := Find(info.StateDir); err != nil || found.PrometheusURL != info.PrometheusURL {
		t.Errorf("another process finds %+v, %v", found, err)
	}

	replicas := int32(2)
	deploy := func(ctx context.Context) (*metav1.Time, error) {
		d, _, err := deployment.Apply(ctx, client, deployment.Spec{Namespace: "shop", Name: "test", Image: "mycompany/test:1", Replicas: &replicas})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return &d.CreationTimestamp, deployment.WaitReady(ctx, client, d.Namespace, d.Name)
	}
	if _, err := deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 2 {
		t.Fatalf("%d pods, want 2 (%v)", len(pods.Items), err)
	}
	podRange, pod := netip.MustParsePrefix(info.PodRange), pods.Items[0]
	if ip, err := netip.ParseAddr(pod.Status.PodIP); err != nil || !podRange.Contains(ip) {
		t.Errorf("pod %s has address %q (%v), want one of %s", pod.Name, pod.Status.PodIP, err, podRange)
	}

	t.Run("Prometheus has the pod's metrics under its name", func(t *testing.T) {
		awaitFor(t, 30*time.Second, func() error {
			labels, err := query(t.Context(), info, `lab_test_up{pod="`+pod.Name+`"}`)
			if err != nil {
				return err
			}
			for name, want := range map[string]string{"namespace": "shop", "container": "test", "node": nodeName, "app": "test", "job": jobPods} {
				if labels[name] != want {
					return fmt.Errorf("label %s is %q, want %q", name, labels[name], want)
				}
			}
			return nil
		})
		awaitFor(t, 30*time.Second, func() error {
			labels, err := query(t.Context(), info, `kube_pod_status_ready{condition="true",pod="`+pod.Name+`"} == 1`)
			if err == nil && labels["namespace"] != "shop" {
				err = fmt.Errorf("of kube-state-metrics, namespace is %q", labels["namespace"])
			}
			return err
		})
	})

	t.Run("Watchtower's user may patch deployments and nothing more", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", info.WatchtowerKube)
		if err != nil {
			t.Fatal(err)
		}
		user, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		patch := []byte(`{"metadata":{"annotations":{"a":"b"}}}`)
		if _, err := user.AppsV1().Deployments("shop").Patch(t.Context(), "test", "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
			t.Errorf("patch of a deployment: %v", err)
		}
		if err := user.CoreV1().Pods("shop").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("delete of a pod: %v, want it forbidden", err)
		}
		if _, err := user.CoreV1().Secrets("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("list of secrets: %v, want it forbidden", err)
		}
	})

	t.Run("the API server goes away and comes back with what it had", func(t *testing.T) {
		if err := lab.Stop(APIServer); err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{}); err == nil {
			t.Fatal("it still answers")
		}
		if err := lab.Start(t.Context(), APIServer); err != nil {
			t.Fatal(err)
		}
		again, err := client.CoreV1().Pods("shop").Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil || again.UID != pod.UID || again.Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("the pod is %+v (%v), want the same, not restarted", again.Status, err)
		}
		replicas = 3
		if _, err := deploy(t.Context()); err != nil {
			t.Errorf("nothing is rolled out any more: %v", err)
		}
	})

	t.Run("Prometheus goes away and comes back with what it had", func(t *testing.T) {
		if err := lab.Stop(Prometheus); err != nil {
			t.Fatal(err)
		}
		if _, err := query(t.Context(), info, "1"); err == nil {
			t.Fatal("it still answers")
		}
		for _, p := range Check(t.Context(), info) {
			if p.Ready == (p.Name == Prometheus) {
				t.Errorf("%s is ready: %v (%s)", p.Name, p.Ready, p.Message)
			}
		}
		if err := lab.Start(t.Context(), Prometheus); err != nil {
			t.Fatal(err)
		}
		if _, err := query(t.Context(), info, `count_over_time(lab_test_up{pod="`+pod.Name+`"}[1h])`); err != nil {
			t.Error(err)
		}
	})

	if err := lab.Stop("grafana"); err == nil || !strings.Contains(err.Error(), KubeStateMetrics) {
		t.Errorf("stop of a part there is not: %v, want the parts there are", err)
	}
	if len(under(t)) < len(info.PIDs)+3 {
		t.Errorf("processes are %q, want %d parts and three pods", under(t), len(info.PIDs))
	}
	lab.Down()
	await(t, func() error {
		if left := under(t); len(left) > 0 {
			return fmt.Errorf("left running: %q", left)
		}
		return nil
	})
	if _, err := Find(info.StateDir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after Down another process finds it: %v", err)
	}
	select {
	case f := <-lab.Failed():
		t.Errorf("an orderly lab reported %v", f)
	default:
	}
}

func TestForgeHasTheCommitsOfTheImages(t *testing.T) {
	lab := upLab(t, Options{Webapp: os.Args[0], Without: []string{ControllerManager, Node, KubeStateMetrics, Prometheus, Alertmanager}})
	info := lab.Info()
	token, err := os.ReadFile(info.ForgeTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, into any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, info.ForgeURL+"/api/v1/repos/"+info.ForgeRepo+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "token "+strings.TrimSpace(string(token)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("get %s: %s %s (%v)", path, resp.Status, content, err)
		}
		if err := json.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	var repo struct {
		DefaultBranch string `json:"default_branch"`
		Empty         bool   `json:"empty"`
		HasIssues     bool   `json:"has_issues"`
	}
	get("", &repo)
	if repo.DefaultBranch != "main" || repo.Empty || !repo.HasIssues {
		t.Errorf("repository is %+v", repo)
	}
	var compare struct {
		Commits []struct {
			SHA    string                   `json:"sha"`
			Commit struct{ Message string } `json:"commit"`
		} `json:"commits"`
	}
	get("/compare/"+info.ForgeCommits["v2"].SHA+"..."+info.ForgeCommits["v3"].SHA, &compare)
	if len(compare.Commits) != 3 {
		t.Errorf("between v2 and v3 are %+v, want three commits", compare.Commits)
	}
	list, err := lab.Catalogue().Images()
	if err != nil || len(list) < 4 {
		t.Fatalf("catalogue has %d images (%v)", len(list), err)
	}
	for _, im := range list {
		_, tag, _ := strings.Cut(im.Reference, ":")
		if want := info.ForgeCommits[tag].SHA; want == "" || im.Labels[images.LabelRevision] != want {
			t.Errorf("%s is of commit %q, the forge has %q", im.Reference, im.Labels[images.LabelRevision], want)
		}
		if im.Labels[images.LabelSource] != info.ForgeURL+"/"+info.ForgeRepo {
			t.Errorf("%s is of %q", im.Reference, im.Labels[images.LabelSource])
		}
	}
}

func TestTwoLabsRunAtOnce(t *testing.T) {
	without := []string{ControllerManager, Node, KubeStateMetrics, Prometheus, Alertmanager, Gitea}
	catalogue := filepath.Join(t.TempDir(), "images.json")
	if _, err := images.Open(catalogue); err != nil {
		t.Fatal(err)
	}
	first := upLab(t, Options{Without: without, Catalogue: catalogue})
	second := upLab(t, Options{Without: without, Catalogue: catalogue})
	if a, b := first.Info(), second.Info(); a.PodRange == b.PodRange || a.APIServerURL == b.APIServerURL {
		t.Errorf("they share %s and %s", a.PodRange, a.APIServerURL)
	}
	if _, err := second.Client().CoreV1().Namespaces().Create(t.Context(), namespace("only-here"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Client().CoreV1().Namespaces().Get(t.Context(), "only-here", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a namespace of one lab in the other: %v, want none", err)
	}
	second.Down()
	if err := Check(t.Context(), first.Info()); !slices.ContainsFunc(err, func(p PartStatus) bool { return p.Name == APIServer && p.Ready }) {
		t.Errorf("the end of one ended the other: %+v", err)
	}
}

func TestAStartThatIsCancelledLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a lab")
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) {
		if strings.Contains(string(p), "part="+Etcd) {
			cancel() // in the middle
		}
	}), nil))
	_, err := Up(ctx, Options{StateDir: filepath.Join(t.TempDir(), "state"), Webapp: os.Args[0], Without: []string{Gitea}, Progress: os.Stderr, Log: began})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was cancelled", err)
	}
	await(t, func() error {
		if left := under(t); len(left) > 0 {
			return fmt.Errorf("left running: %q", left)
		}
		return nil
	})
}
