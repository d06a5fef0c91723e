package tests

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/fault"
	"github.com/watchtower-verify/watchtower/lab/service"
)

// measured deploys a workload and waits until Prometheus knows its pods, what
// they take, and their states: a lab without pods measures nothing.
func measured(t *testing.T) {
	t.Helper()
	s := newScene(t, func(c *service.Config) { c.Policy = alerting })
	s.deploy(good, func(d *deployment.Spec) { d.Replicas = ptr(int32(1)) })
	s.rolled()
	for _, expr := range []string{`count(up{pod!=""})`, "count(kube_pod_container_status_restarts_total)", "count(container_cpu_usage_seconds_total)"} {
		for end := time.Now().Add(time.Minute); !known(t, expr); time.Sleep(250 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("Prometheus does not answer %s", expr)
			}
		}
	}
}

func known(t *testing.T, expr string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, theLab.Info().PrometheusURL+"/api/v1/query?"+url.Values{
		"query": {expr}, "time": {strconv.FormatFloat(float64(time.Now().Add(-2*time.Second).UnixMilli())/1000, 'f', 3, 64)}, // the doctor looks a little back
	}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Data struct{ Result []any } }
	return json.NewDecoder(resp.Body).Decode(&answer) == nil && len(answer.Data.Result) > 0
}

// nowhere is an address that nobody listens at.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTheDoctor(t *testing.T) {
	t.Parallel()
	measured(t)
	t.Run("finds nothing where everything works, and names every part", func(t *testing.T) {
		p := newPatient(t)
		found, status := p.examine()
		var got []string
		for _, f := range found {
			if f.Status != "ok" {
				t.Errorf("%+v", f)
			}
			if !slices.Contains(got, f.Check) {
				got = append(got, f.Check)
			}
		}
		want := []string{
			"configuration", "kubernetes", "permissions", "prometheus", "measurements", "alertmanager " + p.alertmanager.URL, "alertmanager " + p.secondAlertmanager.URL,
			"forge", "store", "receiver pager", "receiver deploys", "receiver boards", "receiver hook", "receiver list",
		}
		if status != 0 || !slices.Equal(got, want) {
			t.Errorf("exit status %d; looked at\n%q, want\n%q", status, got, want)
		}
	})
	t.Run("names the part that is broken, and no other", func(t *testing.T) {
		for _, c := range brokenParts {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := newPatient(t)
				c.breaks(p)
				found, status := p.examine()
				if status != 1 {
					t.Errorf("exit status %d, want 1", status)
				}
				check := strings.NewReplacer("ALERTMANAGER", p.alertmanager.URL).Replace(c.check)
				named := false
				for _, f := range found {
					wrong := f.Status == "failed" || f.Status == "warning"
					if wrong && f.Check != check {
						t.Errorf("another part is named: %+v", f)
					}
					named = named || wrong && strings.Contains(f.Message, c.says) && strings.Contains(f.Message+" "+f.Mend, c.setting) && strings.Contains(f.Mend, c.mend)
				}
				if !named {
					t.Errorf("not named with %q, %q and %q in\n%+v", c.says, c.setting, c.mend, found)
				}
			})
		}
	})
	t.Run("refuses a configuration whose template cannot be filled in, and names it", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t)
		p.template("deploys", "{{ .Headlin }}")
		if _, errs, status := p.doctor(); status != 2 || !strings.Contains(errs, "receivers[1].template.title") || !strings.Contains(errs, "mend the template") {
			t.Errorf("exit status %d: %s", status, errs)
		}
	})
}

// brokenParts are what may be broken. check is the part that is to be named, with
// what is wrong, the setting it hangs on and the next step.
var brokenParts = []struct {
	name                       string
	breaks                     func(p *patient)
	check, says, setting, mend string
}{
	{
		"the token of the cluster is wrong", func(p *patient) { p.account(p.wrongToken()) },
		"kubernetes", "401", "kubernetes.kubeconfig", "service account",
	},
	{
		"the API server is away", func(p *patient) { p.kubernetesBehind().Down() },
		"kubernetes", "does not answer", "kubernetes.kubeconfig", "",
	},
	{
		"the clock of the API server is wrong by six minutes", func(p *patient) {
			p.kubernetesBehind().Set(fault.Clock(-6*time.Minute - 30*time.Second))
		},
		"kubernetes", "6 min ", "clock", "NTP",
	},
	{
		"the service account may not watch pods", func(p *patient) { p.account(p.serviceAccount("watch pods")) },
		"permissions", "pods: watch", "resources: [pods]", "verbs: [get, list, watch]",
	},
	{
		"the service account may not roll back", func(p *patient) { p.account(p.serviceAccount("patch deployments")) },
		"permissions", "deployments.apps: patch", "resources: [deployments]", "verbs: [patch]",
	},
	{
		"the service account may not see services, which all else works without", func(p *patient) { p.account(p.serviceAccount("list services")) },
		"permissions", "services: list", "resources: [services]", "deploy/rbac.yaml",
	},
	{
		"Prometheus is down", func(p *patient) { p.prometheus.Down() },
		"prometheus", "", "prometheus.url", "what the network lets out",
	},
	{
		"Prometheus refuses the token", func(p *patient) { p.prometheus.Set(fault.Status(http.StatusUnauthorized, nil)) },
		"prometheus", "credentials", "prometheus.url", "credentials",
	},
	{
		"the URL of Prometheus is that of another service", func(p *patient) { p.set(p.prometheus.URL, theLab.Info().AlertmanagerURL) },
		"measurements", "no Prometheus API", "prometheus.url", "",
	},
	{
		"Prometheus has no samples", func(p *patient) { p.prometheus.On(fault.Match{Path: "/api/v1/query.*"}, fault.Empty()) },
		"measurements", "no sample of any target", "prometheus.url", "/targets",
	},
	{
		"kube-state-metrics is not scraped", func(p *patient) { p.forget("kube_") },
		"measurements", "kube-state-metrics", "prometheus.url", "scrape kube-state-metrics",
	},
	{
		"cAdvisor is not scraped", func(p *patient) { p.forget("container_cpu") },
		"measurements", "cAdvisor", "prometheus.url", "scrape cAdvisor",
	},
	{
		"no series names its pod", func(p *patient) { p.forget(`pod!=""`) },
		"measurements", "no target has a label pod", "label pod", "__meta_kubernetes_pod_name",
	},
	{
		"the clock of Prometheus is wrong by six minutes", func(p *patient) { p.prometheus.Set(fault.Clock(6*time.Minute + 30*time.Second)) },
		"prometheus", "6 min ", "clock", "NTP",
	},
	{
		"the only Alertmanager is down", func(p *patient) {
			p.set(`, "`+p.secondAlertmanager.URL+`"`, "")
			p.alertmanager.Down()
		},
		"alertmanager ALERTMANAGER", "", "alertmanager.urls", "must be reached",
	},
	{
		"one Alertmanager of two is down", func(p *patient) { p.alertmanager.Down() },
		"alertmanager ALERTMANAGER", "", "alertmanager.urls", "each instance must be reached",
	},
	{
		"the token of the forge was revoked", func(p *patient) { p.write("forge-token", "0123456789abcdef0123456789abcdef01234567") },
		"forge", "401", "forge.url", "token",
	},
	{
		"the repository of the forge is not there", func(p *patient) { p.set(theLab.Info().ForgeRepo, "mycompany/nosuch") },
		"forge", "404", "forge.repository", "",
	},
	{
		"the key of PagerDuty is wrong", func(p *patient) { p.breakReceiver("pagerduty/key") },
		"receiver pager", "routing key", "routing_key_file", "Events API v2",
	},
	{
		"the token of Slack was revoked", func(p *patient) { p.breakReceiver("slack/token") },
		"receiver deploys", "token_revoked", "token_file", "make new ones",
	},
	{
		"the channel of Slack is not there", func(p *patient) { p.set("C024BE91L", "C0NOSUCH1") },
		"receiver deploys", "channel_not_found", "channel", "invited",
	},
	{
		"the channel of Slack was archived", func(p *patient) { p.breakReceiver("slack/archive") },
		"receiver deploys", "is_archived", "channel", "not archived",
	},
	{
		"the app was not invited to the channel of Slack", func(p *patient) { p.breakReceiver("slack/uninvite") },
		"receiver deploys", "not_in_channel", "channel", "/invite",
	},
	{
		"the app of Slack lacks a scope", func(p *patient) { p.breakReceiver("slack/scope") },
		"receiver deploys", "chat:write", "token_file", "scope",
	},
	{
		"the token of Grafana was revoked", func(p *patient) { p.breakReceiver("grafana/token") },
		"receiver boards", "401", "token_file", "make new ones",
	},
	{
		"the token of Grafana may only read", func(p *patient) { p.breakReceiver("grafana/read-only") },
		"receiver boards", "403", "token_file", "Editor",
	},
	{
		"the dashboard of Grafana is not there", func(p *patient) { p.set(`/grafana", `, `/grafana", places: [{dashboard: nosuch}], `) },
		"receiver boards", "Dashboard not found", "places", "after /d/",
	},
	{
		"the webhook refuses the signature", func(p *patient) { p.breakReceiver("webhook/secret") },
		"receiver hook", "401", "secret_file", "same secret",
	},
	{
		"nobody listens at the webhook", func(p *patient) { p.set(p.receivers+"/webhook", "http://"+nowhere(p.t)+"/webhook") },
		"receiver hook", "refused", "url", "not reached",
	},
	{
		"the certificate of the webhook is not trusted", func(p *patient) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			p.t.Cleanup(s.Close)
			p.set(p.receivers+"/webhook", s.URL)
		},
		"receiver hook", "certificate", "connection.ca_file", "authority",
	},
	{
		"the mail server is down", func(p *patient) { p.setMailServer(nowhere(p.t)) },
		"receiver list", "refused", "server", "not reached",
	},
	{
		"the mail server refuses the login", func(p *patient) { p.breakReceiver("email/password") },
		"receiver list", "user and password", "password_file", "make new ones",
	},
	{
		"the file of a secret is not mounted", func(p *patient) { p.set("slack-token", "slack-token-of-nobody") },
		"receiver deploys", "no such file", "token_file", "is the file mounted",
	},
	{
		"a template of a receiver fails", func(p *patient) {
			p.template("deploys", `{{ if eq .CommonLabels.kind "test" }}{{ (index .HowBad 9).Name }}{{ end }}{{ .Headline }}`)
		},
		"receiver deploys", "template fails", "template", "config check --render",
	},
	{
		"the store cannot be written", func(p *patient) { p.set("path: watchtower.db", "path: /sys/watchtower.db") },
		"store", "cannot be written", "store.path", "owner",
	},
	{
		"external_url is missing", func(p *patient) { p.set("external_url: https://watchtower.example.com\n", "") },
		"configuration", "only this machine reaches", "external_url", "Set external_url",
	},
}

// setMailServer has mail go elsewhere.
func (p *patient) setMailServer(at string) {
	p.t.Helper()
	_, rest, found := strings.Cut(p.config, `email: {server: "`)
	if !found {
		p.t.Fatal("the configuration has no mail server")
	}
	old, _, _ := strings.Cut(rest, `"`)
	p.set(old, at)
}

// template gives a receiver a title of its own.
func (p *patient) template(receiver, title string) {
	p.t.Helper()
	p.set("  - name: "+receiver+"\n", "  - name: "+receiver+"\n    template: {title: '"+title+"'}\n")
}
