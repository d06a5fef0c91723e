package stack

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
)

func testServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// jobs decodes a rendered Prometheus configuration: job name to its targets.
func jobs(t *testing.T, content string) map[string]struct {
	HonorLabels bool
	Targets     []string
} {
	t.Helper()
	var doc struct {
		ScrapeConfigs []struct {
			JobName       string `json:"job_name"`
			HonorLabels   bool   `json:"honor_labels"`
			StaticConfigs []struct {
				Targets []string `json:"targets"`
			} `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.NewYAMLOrJSONDecoder(strings.NewReader(content), 4096).Decode(&doc); err != nil {
		t.Fatalf("%v in:\n%s", err, content)
	}
	out := map[string]struct {
		HonorLabels bool
		Targets     []string
	}{}
	for _, c := range doc.ScrapeConfigs {
		entry := out[c.JobName]
		entry.HonorLabels = c.HonorLabels
		for _, s := range c.StaticConfigs {
			entry.Targets = append(entry.Targets, s.Targets...)
		}
		out[c.JobName] = entry
	}
	return out
}

func TestPrometheusScrapesWhatThereIs(t *testing.T) {
	content, err := prometheusValues{
		Kubeconfig: `/state with "quotes"/kubeconfig`, KubeStateMetrics: "127.0.0.1:1", Alertmanager: "127.0.0.1:2",
		Scrape: []scrapeTarget{{"watchtower", "127.0.0.1:3"}},
	}.render()
	if err != nil {
		t.Fatal(err)
	}
	got := jobs(t, content)
	if len(got) != 4 || !got["kubelet"].HonorLabels || !got["kube-state-metrics"].HonorLabels || got["kube-state-metrics"].Targets[0] != "127.0.0.1:1" || got["watchtower"].Targets[0] != "127.0.0.1:3" {
		t.Errorf("jobs are %+v", got)
	}
	if got["pods"].HonorLabels {
		t.Error("pods may choose their own namespace and pod labels")
	}

	content, err = prometheusValues{Kubeconfig: "/k"}.render()
	if err != nil {
		t.Fatal(err)
	}
	if got := jobs(t, content); len(got) != 2 || strings.Contains(content, "alertmanagers") {
		t.Errorf("without kube-state-metrics and Alertmanager it is:\n%s", content)
	}
}

func TestGiteaIsToldOnlyWhenItRunsAsRoot(t *testing.T) {
	for root, want := range map[bool]bool{true: true, false: false} {
		content, err := giteaValues{Root: root, Dir: "/d", Static: "/s", Port: "3000", URL: "http://127.0.0.1:3000/"}.render()
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(content, "[server]")
		if strings.Contains(head, "I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true") != want {
			t.Errorf("root %v: the top of app.ini is\n%s", root, head)
		}
	}
}

func TestKubeconfigsReachTheServerAsTheirUser(t *testing.T) {
	dir := t.TempDir()
	certs, err := newCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	u := user{name: "watchtower", group: "watchtower", token: randomToken()}
	file := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(file, "https://127.0.0.1:6443", certs.caPEM, u); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || config.BearerToken != u.token || !bytes.Equal(config.CAData, certs.caPEM) {
		t.Errorf("kubeconfig says %s as %q", config.Host, config.BearerToken)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file with a token has mode %v (%v)", info.Mode(), err)
	}
	tokens := filepath.Join(dir, "tokens.csv")
	if err := writeTokens(tokens, u); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(tokens)
	if want := u.token + ",watchtower,watchtower,\"watchtower\"\n"; err != nil || string(content) != want {
		t.Errorf("tokens are %q (%v), want %q", content, err, want)
	}
}

func TestTheServiceMayNotReadSecretsOrTouchPods(t *testing.T) {
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(rbacManifest), 4096)
	var role rbacv1.ClusterRole
	if err := docs.Decode(&role); err != nil {
		t.Fatal(err)
	}
	writes := map[string]bool{}
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			if resource == "secrets" || resource == "*" {
				t.Errorf("it may use %s", resource)
			}
			for _, verb := range rule.Verbs {
				if verb != "get" && verb != "list" && verb != "watch" {
					writes[resource+" "+verb] = true
				}
			}
		}
	}
	for _, want := range []string{"deployments patch", "events create", "events patch"} {
		if !writes[want] {
			t.Errorf("it may not %s", want)
		}
		delete(writes, want)
	}
	if len(writes) > 0 {
		t.Errorf("it may also %v", writes)
	}
}

func TestOptionsRefuseWhatTheLabCannotDo(t *testing.T) {
	for name, c := range map[string]struct {
		opt  Options
		want string
	}{
		"no state folder":           {Options{}, "no state folder"},
		"leaving out the API":       {Options{StateDir: "x", Without: []string{APIServer}}, "it can do without kube-controller-manager"},
		"leaving out what is not":   {Options{StateDir: "x", Without: []string{"promethius"}}, "prometheus"},
		"a port for no part":        {Options{StateDir: "x", Ports: map[string]int{"grafana": 1}}, "parts with a port"},
		"a job of the node's":       {Options{StateDir: "x", Scrape: map[string]string{"kubelet": "a:1"}}, "has one of that name"},
		"a scrape job of the lab's": {Options{StateDir: "x", Scrape: map[string]string{"pods": "a:1"}}, "has one of that name"},
	} {
		if err := c.opt.complete(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want %q", name, err, c.want)
		}
	}
}

func TestHistoryIsTheSameInEveryLabAndCoversEveryImage(t *testing.T) {
	shas := func() map[string]string {
		dir := filepath.Join(t.TempDir(), "r.git")
		for _, args := range [][]string{{"init", "-q", "--bare", dir}, {"-C", dir, "fast-import", "--quiet"}} {
			cmd := exec.Command("git", args...)
			cmd.Stdin = bytes.NewReader(fastImport(history()))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v: %s", args, err, out)
			}
		}
		out, err := exec.Command("git", "-C", dir, "for-each-ref", "--format=%(refname:short) %(objectname)").Output()
		if err != nil {
			t.Fatal(err)
		}
		refs := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name, sha, _ := strings.Cut(strings.TrimSpace(line), " ")
			refs[name] = sha
		}
		log, err := exec.Command("git", "-C", dir, "log", "--format=%s", "main~4..main~1").Output()
		if err != nil || !strings.Contains(string(log), "payment gateway's connection") {
			t.Errorf("between v2 and v3 are %q (%v), want the commit that breaks the checkout", log, err)
		}
		return refs
	}
	first, second := shas(), shas()
	if len(first) < 10 || first["main"] == "" {
		t.Fatalf("branches are %v", first)
	}
	for name, sha := range first {
		if second[name] != sha {
			t.Errorf("%s is %s in one lab and %s in another", name, sha, second[name])
		}
	}
}
