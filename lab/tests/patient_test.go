package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/watchtower-verify/watchtower/lab/fault"
)

// patient is what Watchtower depends on, for one look of the doctor: the lab's
// own parts, receivers of its own, and a configuration that names them. What is
// broken of it is broken for nobody else.
type patient struct {
	t         *testing.T
	dir       string
	receivers string // where the stand-ins are
	config    string
	// The ways to the lab's parts, each of which can be blocked.
	prometheus, alertmanager, secondAlertmanager *fault.Proxy
	kubeconfig                                   string
}

const healthyConfig = `cluster: lab
external_url: https://watchtower.example.com
store: {path: watchtower.db}
kubernetes: {kubeconfig: "KUBECONFIG"}
prometheus: {url: "PROMETHEUS", timeout: 5s, lag: 500ms}
alertmanager: {urls: ["ALERTMANAGER", "SECOND"]}
forge: {kind: gitea, url: "FORGE", token_file: forge-token, repository: REPOSITORY}
policy: {autonomy: auto}
`

func newPatient(t *testing.T) *patient {
	t.Helper()
	info := theLab.Info()
	p := &patient{t: t, dir: t.TempDir(), kubeconfig: info.WatchtowerKube}
	p.prometheus, p.alertmanager, p.secondAlertmanager = way(t, info.PrometheusURL), way(t, info.AlertmanagerURL), way(t, info.AlertmanagerURL)
	token, err := os.ReadFile(info.ForgeTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	p.write("forge-token", string(token))
	receivers := p.startReceivers()
	p.config = strings.NewReplacer(
		"KUBECONFIG", info.WatchtowerKube, "PROMETHEUS", p.prometheus.URL, "ALERTMANAGER", p.alertmanager.URL, "SECOND", p.secondAlertmanager.URL,
		"FORGE", info.ForgeURL, "REPOSITORY", info.ForgeRepo,
	).Replace(healthyConfig) + receivers
	return p
}

// way is a proxy before one of the lab's parts.
func way(t *testing.T, target string) *fault.Proxy {
	t.Helper()
	proxy, err := fault.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// startReceivers starts stand-ins of the services that tell people, and answers
// the configuration that names them.
func (p *patient) startReceivers() string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), standins, "-listen", "127.0.0.1:0", "-mail", "127.0.0.1:0", "-dir", p.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has ended by then
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(p.dir, "watchtower-receivers.yaml"))
		if err != nil {
			continue
		}
		at, err := os.ReadFile(filepath.Join(p.dir, "url"))
		if err != nil {
			p.t.Fatal(err)
		}
		p.receivers = string(at)
		return string(text)
	}
	p.t.Fatalf("the stand-ins of receivers do not start: %s", errs.String())
	return ""
}

// breakReceiver breaks one of them there, as "slack/token".
func (p *patient) breakReceiver(what string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.receivers+"/break?what="+what, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("break %s: %s", what, resp.Status)
	}
}

func (p *patient) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// set changes the configuration, which must have what is replaced.
func (p *patient) set(before, after string) {
	p.t.Helper()
	if !strings.Contains(p.config, before) {
		p.t.Fatalf("the configuration has no %q", before)
	}
	p.config = strings.ReplaceAll(p.config, before, after)
}

// account has Watchtower be another account, of a kubeconfig in the patient's
// folder.
func (p *patient) account(kubeconfig string) {
	p.t.Helper()
	p.set(p.kubeconfig, kubeconfig)
}

// wrongToken writes a kubeconfig with a token that the API server does not know.
func (p *patient) wrongToken() string { return p.kubeconfigWith("not-a-token-of-this-cluster") }

func (p *patient) kubeconfigWith(token string) string {
	p.t.Helper()
	config, err := clientcmd.LoadFromFile(theLab.Info().WatchtowerKube)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Token = token
	}
	file := filepath.Join(p.dir, "another-kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// serviceAccount makes a real service account that may do what Watchtower needs
// but for one thing, such as "watch pods", and answers its kubeconfig.
func (p *patient) serviceAccount(without string) string {
	p.t.Helper()
	ctx, client := p.t.Context(), theLab.Client()
	fatal := func(err error) {
		if err != nil {
			p.t.Helper()
			p.t.Fatal(err)
		}
	}
	role, err := client.RbacV1().ClusterRoles().Get(ctx, "watchtower", metav1.GetOptions{})
	fatal(err)
	name := fmt.Sprintf("watchtower-without-%s", strings.ReplaceAll(without, " ", "-"))
	verb, resource, _ := strings.Cut(without, " ")
	var rules []rbacv1.PolicyRule
	for _, r := range role.Rules {
		for _, one := range r.Resources {
			rule := rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: []string{one}}
			for _, v := range r.Verbs {
				if one != resource || v != verb {
					rule.Verbs = append(rule.Verbs, v)
				}
			}
			rules = append(rules, rule)
		}
	}
	_, err = client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	fatal(err)
	_, err = client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
	fatal(err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "default"}},
	}, metav1.CreateOptions{})
	fatal(err)
	p.t.Cleanup(func() {
		ctx, gone := context.Background(), metav1.DeleteOptions{}
		_ = client.RbacV1().ClusterRoleBindings().Delete(ctx, name, gone)
		_ = client.RbacV1().ClusterRoles().Delete(ctx, name, gone)
		_ = client.CoreV1().ServiceAccounts("default").Delete(ctx, name, gone)
	})
	token, err := client.CoreV1().ServiceAccounts("default").CreateToken(ctx, name, &authv1.TokenRequest{}, metav1.CreateOptions{})
	fatal(err)
	return p.kubeconfigWith(token.Status.Token)
}

// forget has Prometheus answer queries that contain some words as if it had no
// such series; all else it answers itself.
func (p *patient) forget(words string) {
	p.t.Helper()
	target, err := url.Parse(theLab.Info().PrometheusURL)
	if err != nil {
		p.t.Fatal(err)
	}
	real := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		form, _ := url.ParseQuery(string(body)) // what is no form is passed on as it is
		if strings.Contains(form.Get("query")+r.URL.Query().Get("query"), words) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		real.ServeHTTP(w, r)
	}))
	p.t.Cleanup(s.Close)
	p.set(p.prometheus.URL, s.URL)
}

// finding is one of the doctor's.
type finding struct{ Check, Status, Message, Mend string }

// examine runs `watchtower doctor`, in which warnings count too, and answers what
// it found and its exit status.
func (p *patient) examine() (found []finding, status int) {
	p.t.Helper()
	text, errs, status := p.doctor("-o", "json")
	var report struct{ Findings []finding }
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		p.t.Fatalf("%v in %q; %s", err, text, errs)
	}
	return report.Findings, status
}

func (p *patient) doctor(args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	p.write("watchtower.yaml", p.config)
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(p.t.Context(), binary, append([]string{"doctor", "--strict", "--config", "watchtower.yaml"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// kubernetesBehind has the cluster reached through a proxy that can fail.
func (p *patient) kubernetesBehind() *fault.Proxy {
	p.t.Helper()
	file := filepath.Join(p.dir, "kubeconfig-of-the-proxy")
	proxy, err := fault.NewKubernetes(p.kubeconfig, file)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(proxy.Close)
	p.account(file)
	return proxy
}
