package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const least = "prometheus: {url: http://127.0.0.1:9090}\n"

func ptr[T any](v T) *T { return &v }

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/watchtower/watchtower.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// faultsOf parses a text and returns its problems as "line:column: message".
func faultsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("w.yaml", []byte(text))
	if err == nil {
		return nil
	}
	if code := release.ErrorCode(err); code != release.CodeInvalid {
		t.Errorf("code %q, want invalid", code)
	}
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("no problems in %v", err)
	}
	out := make([]string, len(ps))
	for i, p := range ps {
		if p.File != "w.yaml" {
			t.Errorf("file %q", p.File)
		}
		out[i] = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
	}
	return out
}

func TestTheLeastFileGetsTheDefaults(t *testing.T) {
	want := &Config{
		Cluster:     "default",
		Listen:      "127.0.0.1:9477",
		ExternalURL: "http://127.0.0.1:9477",
		Tick:        10 * time.Second,
		Store:       storeAt("/etc/watchtower/watchtower.db"),
		Prometheus: Prometheus{
			Kind: "prometheus", URL: "http://127.0.0.1:9090", Timeout: 10 * time.Second, Concurrency: 4, Lag: time.Second,
			MaxQueryBytes: 65536, MaxSamples: 10_000_000,
		},
		WorkloadLabels: []string{"team"},
		Registry:       Registry{Timeout: 10 * time.Second},
		Actions:        defaultActions(),
	}
	if diff := cmp.Diff(want, mustParse(t, least)); diff != "" {
		t.Error(diff)
	}
}

func TestAWholeFileIsRead(t *testing.T) {
	got := mustParse(t, `
cluster: lab-1
listen: ":8080"
external_url: https://watchtower.example.com/w
tick: 5s
store: {path: /var/lib/watchtower/w.db}
kubernetes:
  kubeconfig: kube.conf
  namespaces: [shop, pay]
prometheus:
  url: https://prometheus.example.com/prom
  basic: {user: me, password_file: secrets/pw}
  headers: {X-Scope-OrgID: tenant-1}
  timeout: 3s
  concurrency: 8
  lag: 500ms
alertmanager:
  urls: [http://a:9093, http://b:9093]
  bearer_token_file: secrets/am
forge: {kind: gitea, url: http://git:3000, token_file: /run/token, repository: shop/webapp}
registry:
  hosts: [git:3000]
  plain_http: [127.0.0.1:5000]
  mirrors: {docker.io: 127.0.0.1:5000}
policy:
  observe: 1d12h
  alpha: 0.1 %
  healthy_increase: 2%
  weights: {errors: 1, custom: 0}
  signals:
    - {name: jobs, bad: 'jobs_total{state="failed"}', total: jobs_total}
overrides:
  - namespaces: [shop]
    workloads: ["web*"]
    policy: {autonomy: auto, observe: 10m, issue: false}
`)
	want := &Config{
		Cluster: "lab-1", Listen: ":8080", ExternalURL: "https://watchtower.example.com/w", Tick: 5 * time.Second,
		Store:      storeAt("/var/lib/watchtower/w.db"),
		Kubernetes: Kubernetes{Kubeconfig: "/etc/watchtower/kube.conf", Namespaces: []string{"shop", "pay"}},
		Prometheus: Prometheus{
			Kind: "prometheus", URL: "https://prometheus.example.com/prom", Basic: &Basic{"me", "/etc/watchtower/secrets/pw"},
			Headers: map[string]string{"X-Scope-OrgID": "tenant-1"}, Compress: true, Timeout: 3 * time.Second, Concurrency: 8, Lag: 500 * time.Millisecond,
			MaxQueryBytes: 65536, MaxSamples: 10_000_000,
		},
		Alertmanager: &Alertmanager{URLs: []string{"http://a:9093", "http://b:9093"}, BearerTokenFile: "/etc/watchtower/secrets/am", Timeout: 5 * time.Second},
		Forge:        &Forge{Kind: "gitea", URL: "http://git:3000", TokenFile: "/run/token", Repository: "shop/webapp", Timeout: 10 * time.Second},
		Actions:      defaultActions(),
		Registry: Registry{
			Hosts: []string{"git:3000"}, PlainHTTP: []string{"127.0.0.1:5000"},
			Mirrors: map[string]string{"docker.io": "127.0.0.1:5000"}, Timeout: 10 * time.Second,
		},
		WorkloadLabels: []string{"team"},
		Policy: Patch{
			Observe: ptr(36 * time.Hour), Alpha: ptr(0.001), HealthyIncrease: ptr(0.02),
			Weights: map[string]float64{"errors": 1, "custom": 0},
			Signals: []Signal{{Name: "jobs", Bad: `jobs_total{state="failed"}`, Total: "jobs_total"}},
		},
		Overrides: []Override{{
			Namespaces: []string{"shop"}, Workloads: []string{"web*"},
			Policy: Patch{Autonomy: ptr(release.AutonomyAuto), Observe: ptr(10 * time.Minute), Issue: ptr(false)},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExternalURLComesFromTheListenAddress(t *testing.T) {
	for listen, want := range map[string]string{
		":9477": "http://localhost:9477", "0.0.0.0:80": "http://localhost:80",
		"[::]:9477": "http://localhost:9477", "10.1.2.3:9477": "http://10.1.2.3:9477", "[::1]:9477": "http://[::1]:9477",
	} {
		if got := mustParse(t, least+"listen: '"+listen+"'\n").ExternalURL; got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}

func TestFaultsAreToldWithPlaceAndWayOut(t *testing.T) {
	for title, c := range map[string]struct {
		text string
		want []string // beginnings
	}{
		"an empty file lacks what is required": {"", []string{"1:1: prometheus.url: the URL of Prometheus is missing: add prometheus: {url:"}},
		"so does one of comments":              {"# nothing\n\n# at all\n", []string{"1:1: prometheus.url: the URL of Prometheus is missing"}},
		"so does a section without the key":    {"tick: 5s\nprometheus:\n  timeout: 5s\n", []string{"2:1: prometheus.url: the URL of Prometheus is missing"}},
		"an unknown key with a near one":       {least + "clustr: x\n", []string{"2:1: clustr is no known key: did you mean cluster?"}},
		"an unknown key with - for _":          {least + "external-url: http://x\n", []string{"2:1: external-url is no known key: did you mean external_url?"}},
		"an unknown key near none":             {least + "store: {dsn: x}\n", []string{"2:9: store.dsn is no known key: known are "}},
		"a key of another place":               {least + "observe: 5m\n", []string{"2:1: observe is no known key: known are cluster, listen"}},
		"a key given twice":                    {least + "tick: 5s\ntick: 6s\n", []string{"3:1: tick is given twice, first in line 2: keep one"}},
		"a section given twice":                {least + least, []string{"2:1: prometheus is given twice, first in line 1"}},
		"a duration without a unit":            {least + "tick: 10\n", []string{`2:7: tick: "10" is a duration without a unit: write 10s, 10m or 10h`}},
		"a duration in words":                  {least + "tick: ten seconds\n", []string{`2:7: tick: "ten seconds" is no duration: write it like 30s`}},
		"a negative duration":                  {least + "tick: -5s\n", []string{`2:7: tick: "-5s" is negative`}},
		"a duration out of range":              {least + "tick: 1ms\n", []string{"2:7: tick: 1ms is out of range: use 1s to 5m"}},
		"a list for a duration":                {least + "tick: [5s]\n", []string{"2:7: tick must be a duration such as 90s or 1h30m, not a list"}},
		"text for a section":                   {least + "store: here\n", []string{"2:8: store must be a mapping of keys to values, not text"}},
		"text for a list":                      {least + "overrides: shop\n", []string{"2:12: overrides must be a list, not text: write [a, b]"}},
		"a key without a value":                {least + "tick:\n", []string{"2:1: tick has no value: give it one or remove the key"}},
		"the file as a list":                   {"- a\n", []string{"1:1: the file must be a mapping of keys to values, not a list"}},
		"two documents":                        {least + "---\n" + least, []string{"2:1: a second document begins here"}},
		"an open bracket":                      {"prometheus: {url: x\n", []string{"1:13: the file is no YAML: "}},
		"a tab":                                {"prometheus:\n\turl: x\n", []string{"2:1: the file is no YAML: "}},
		"a text without end":                   {"cluster: \"lab\nlisten: x\n", []string{"1:10: the file is no YAML: "}},
		"bytes that are no text":               {least + "cluster: \xff\n", []string{"2:10: the file is not plain text in UTF-8"}},
		"a control character":                  {least + "cluster: a\x00b\n", []string{"2:11: the file is not plain text"}},
		"anchors":                              {"prometheus: &p {url: http://h}\nstore: *p\n", []string{"1:13: prometheus: anchors and aliases are not read", "2:8: store: anchors and aliases are not read"}},
		"merge keys":                           {"prometheus:\n  <<: {url: http://h}\n  timeout: 5s\n", []string{"1:1: prometheus.url: the URL", "2:3: prometheus: merge keys (<<) are not read"}},
		"tags":                                 {least + "cluster: !!str lab\n", []string{"2:10: cluster: tags are not read: remove !!str"}},
		"a bad cluster name":                   {least + "cluster: my lab\n", []string{`2:10: cluster: "my lab" is no cluster name`}},
		"a listen address without a port":      {least + "listen: localhost\n", []string{`2:9: listen: "localhost" is no address: write host:port`}},
		"a port that is none":                  {least + "listen: :99999\n", []string{`2:9: listen: ":99999" is no address`}},
		"a URL without scheme":                 {"prometheus: {url: prometheus:9090}\n", []string{`1:19: prometheus.url: "prometheus:9090" is no http or https URL`}},
		"a URL without host":                   {"prometheus: {url: 'http://'}\n", []string{`1:19: prometheus.url: "http://" names no host`}},
		"a URL of another scheme":              {"prometheus: {url: 'ftp://h'}\n", []string{`1:19: prometheus.url: "ftp://h" is no http or https URL`}},
		"a URL with a query":                   {"prometheus: {url: 'http://h?a=b'}\n", []string{"1:19: prometheus.url: the URL has a query or fragment"}},
		"a URL with a bad port":                {"prometheus: {url: 'http://h:0'}\n", []string{`1:19: prometheus.url: "0" is no port`}},
		"an empty URL":                         {least + "external_url: ''\n", []string{"2:15: external_url: the URL is empty"}},
		"two ways to log in":                   {"prometheus: {url: http://h, bearer_token_file: t, basic: {user: u, password_file: p}}\n", []string{"1:51: prometheus.basic: bearer_token_file is given too"}},
		"half a log-in":                        {"prometheus: {url: http://h, basic: {}}\n", []string{"1:29: prometheus.basic.user: the user is missing", "1:29: prometheus.basic.password_file: the file"}},
		"a header with a secret":               {"prometheus: {url: http://h, headers: {Authorization: Bearer abc}}\n", []string{"1:39: prometheus.headers.Authorization: a header that holds a secret does not belong"}},
		"a header that is none":                {"prometheus: {url: http://h, headers: {'a b': c}}\n", []string{"1:39: prometheus.headers.a b: this is no name"}},
		"too many queries at once":             {"prometheus: {url: http://h, concurrency: 0}\n", []string{"1:42: prometheus.concurrency: 0 is out of range: use 1 to 100"}},
		"a fraction of a query":                {"prometheus: {url: http://h, concurrency: 1.5}\n", []string{`1:42: prometheus.concurrency: "1.5" is no whole number`}},
		"a namespace pattern":                  {least + "kubernetes: {namespaces: [shop-*]}\n", []string{`2:27: kubernetes.namespaces[0]: "shop-*" is no name of a namespace`}},
		"no Alertmanager":                      {least + "alertmanager: {}\n", []string{"2:1: alertmanager.urls: no instance is named"}},
		"an Alertmanager twice":                {least + "alertmanager: {urls: [http://a, http://a]}\n", []string{"2:33: alertmanager.urls[1]: http://a is named twice"}},
		"a time-out of nothing":                {least + "alertmanager: {urls: [http://a], timeout: 0s}\n", []string{"2:43: alertmanager.timeout: 0s is out of range: use 100ms to 1m"}},
		"another forge":                        {least + "forge: {kind: github, url: http://g, token_file: t}\n", []string{`2:15: forge.kind: "github" is no known kind of forge: use gitea`}},
		"half a forge":                         {least + "forge: {repository: webapp}\n", []string{"2:1: forge.kind: the kind of forge is missing", "2:1: forge.url: the URL of the forge is missing", "2:1: forge.token_file: the file", `2:21: forge.repository: "webapp" is no repository: write owner/name`}},
		"a registry as URL":                    {least + "registry: {plain_http: ['http://r:5000']}\n", []string{`2:25: registry.plain_http[0]: "http://r:5000" is no host: write host or host:port, without http://`}},
		"a mirror that is none":                {least + "registry: {mirrors: {docker.io: 'r:x'}}\n", []string{`2:22: registry.mirrors.docker.io: "r:x" is no host`}},
		"an unknown autonomy":                  {least + "policy: {autonomy: automatic}\n", []string{`2:20: policy.autonomy: autonomy "automatic" is unknown: use observe, alert, approve or auto`}},
		"an alpha of a half":                   {least + "policy: {alpha: 50%}\n", []string{"2:17: policy.alpha: 0.5 is out of range: use more than 0 and less than 0.5"}},
		"an alpha of nothing":                  {least + "policy: {alpha: 0}\n", []string{"2:17: policy.alpha: 0 is out of range"}},
		"a beta that is no number":             {least + "policy: {beta: .nan}\n", []string{`2:16: policy.beta: ".nan" is no number`}},
		"an infinite effect":                   {least + "policy: {min_effect: .inf}\n", []string{`2:22: policy.min_effect: ".inf" is no number`}},
		"a negative effect":                    {least + "policy: {min_effect: -0.1}\n", []string{"2:22: policy.min_effect: -0.1 is out of range: use 0 to 10"}},
		"a ratio that tolerates nothing":       {least + "policy: {healthy_ratio: 1}\n", []string{"2:25: policy.healthy_ratio: 1 is out of range: use more than 1"}},
		"an increase of everything":            {least + "policy: {healthy_increase: 100%}\n", []string{"2:28: policy.healthy_increase: 1 is out of range"}},
		"text for true":                        {least + "policy: {issue: yes}\n", []string{`2:17: policy.issue: "yes" is neither true nor false`}},
		"an unknown weight":                    {least + "policy: {weights: {error: 1}}\n", []string{"2:20: policy.weights.error: no kind of signal has this name: did you mean errors?"}},
		"a negative weight":                    {least + "policy: {weights: {errors: -1}}\n", []string{"2:20: policy.weights.errors: -1 is out of range"}},
		"no weight at all":                     {least + "policy: {weights: {errors: 0, callers: 0, latency: 0, throughput: 0, resources: 0, custom: 0}}\n", []string{"2:1: policy: all weights are 0"}},
		"a warm-up longer than everything":     {least + "policy: {observe: 1m, warmup: 2m}\n", []string{"2:1: policy: warmup 2m is not shorter than observe 1m"}},
		"a signal without anything":            {least + "policy: {signals: [{}]}\n", []string{"2:20: policy.signals[0].name: the signal has no name", "2:20: policy.signals[0].bad: the PromQL selector", "2:20: policy.signals[0].total: the PromQL selector"}},
		"a signal with a built-in name":        {least + "policy: {signals: [{name: error_ratio, bad: a, total: b}]}\n", []string{"2:27: policy.signals[0].name: error_ratio is a built-in signal"}},
		"a signal of two forms":                {least + "policy: {signals: [{name: a, counter: a, gauge: b}]}\n", []string{"2:20: policy.signals[0]: a signal is a ratio (bad and total), a counter or a gauge: keep one"}},
		"half a ratio beside a gauge":          {least + "policy: {signals: [{name: a, bad: a, gauge: b}]}\n", []string{"2:20: policy.signals[0]: a signal is a ratio"}},
		"half a ratio":                         {least + "policy: {signals: [{name: a, bad: a}]}\n", []string{"2:20: policy.signals[0].total: the PromQL selector"}},
		"a ratio with a direction":             {least + "policy: {signals: [{name: a, bad: a, total: b, worse: down}]}\n", []string{"2:20: policy.signals[0]: worse and min_effect are for a counter or a gauge"}},
		"an unknown direction":                 {least + "policy: {signals: [{name: a, counter: a, worse: sideways}]}\n", []string{`2:49: policy.signals[0].worse: "sideways" is no direction: use up or down`}},
		"an impossible tolerance":              {least + "policy: {signals: [{name: a, counter: a, min_effect: -1}]}\n", []string{"2:54: policy.signals[0].min_effect: -1 is out of range"}},
		"a counter that is a rate":             {least + "policy: {signals: [{name: a, counter: 'rate(a[5m])'}]}\n", []string{"2:40: policy.signals[0].counter: a plain selector is wanted"}},
		"a gauge that is a number":             {least + "policy: {signals: [{name: a, gauge: '1 + 1'}]}\n", []string{"2:38: policy.signals[0].gauge: "}},
		"a gauge that is a range":              {least + "policy: {signals: [{name: a, gauge: 'queue[5m]'}]}\n", []string{"2:38: policy.signals[0].gauge: "}},
		"a gauge of every series of a pod":     {least + "policy: {signals: [{name: a, gauge: 'sum by (pod, namespace) ({job=\"x\"})'}]}\n", []string{"2:63: policy.signals[0].gauge: the selector names no metric"}},
		"a gauge that does not parse":          {least + "policy: {signals: [{name: a, gauge: 'sum('}]}\n", []string{"2:42: policy.signals[0].gauge: this is no PromQL"}},
		"a signal twice":                       {least + "policy: {signals: [{name: a, bad: a, total: b}, {name: a, bad: a, total: b}]}\n", []string{"2:56: policy.signals[1].name: a is the name of an earlier signal too"}},
		"a signal with a bad name":             {least + "policy: {signals: [{name: 'A b', bad: a, total: b}]}\n", []string{`2:27: policy.signals[0].name: "A b" is no name of a signal`}},
		"an override for nobody":               {least + "overrides: [{policy: {issue: false}}]\n", []string{"2:13: overrides[0]: it names neither namespaces nor workloads"}},
		"an override of nothing":               {least + "overrides: [{namespaces: [a]}]\n", []string{"2:13: overrides[0].policy: it changes nothing"}},
		"a pattern that does not end":          {least + "overrides: [{workloads: ['a[b'], policy: {issue: false}}]\n", []string{`2:26: overrides[0].workloads[0]: "a[b" is no pattern`}},
		"a pattern that matches nothing":       {least + "overrides: [{workloads: [Web*], policy: {issue: false}}]\n", []string{`2:26: overrides[0].workloads[0]: "Web*" matches no name in Kubernetes`}},
		"an override that does not fit":        {least + "policy: {observe: 10m}\noverrides:\n- namespaces: [a]\n  policy: {warmup: 10m}\n", []string{"5:3: overrides[0].policy: warmup 10m is not shorter than observe 10m"}},
		"all faults together in order": {"tick: x\nstore: {pth: a}\npolicy: {alpha: 7, bta: 1}\n", []string{
			"1:1: prometheus.url: the URL", "1:7: tick:", "2:9: store.pth is no known key: did you mean path?", "3:17: policy.alpha: 7", "3:20: policy.bta is no known key: did you mean beta?",
		}},
	} {
		t.Run(title, func(t *testing.T) {
			got := faultsOf(t, c.text)
			if len(got) != len(c.want) {
				t.Fatalf("got %d faults:\n%s", len(got), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("got  %s\nwant %s…", got[i], c.want[i])
				}
			}
		})
	}
}

func TestAnErrorPointsAtTheLine(t *testing.T) {
	_, err := Parse("conf/w.yaml", []byte(least+"policy:\n  alpha: 0.7\n"))
	want := `configuration conf/w.yaml has 1 fault: 
conf/w.yaml:3:10: policy.alpha: 0.7 is out of range: use more than 0 and less than 0.5, such as 0.001
     3 |   alpha: 0.7
       |          ^`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestNoErrorRepeatsASecret(t *testing.T) {
	const secret = "hunter2-9c1f"
	for title, text := range map[string]string{
		"a URL with a password":            "prometheus: {url: 'http://me:" + secret + "@h:9090'}\n",
		"a URL with a password, malformed": "prometheus: {url: 'http://me:" + secret + "@h:%zz'}\n",
		"a password instead of a file":     "prometheus:\n  url: http://h\n  basic:\n    user: me\n    password: " + secret + "\n",
		"a token instead of a file":        least + "forge:\n  kind: gitea\n  url: http://h\n  token: " + secret + "\n",
		"a secret in a header":             "prometheus:\n  url: http://h\n  headers:\n    Authorization: Bearer " + secret + "\n",
		"a secret next to a fault":         "prometheus: {url: http://h, timeout: x, headers: {X-Api-Key: " + secret + "}}\n",
		"a secret in a broken file":        "prometheus: {url: 'http://me:" + secret + "@h'\n",
		"an Alertmanager with a password":  least + "alertmanager: {urls: ['http://me:" + secret + "@h']}\n",
		"a password without scheme":        "prometheus: {url: 'me:" + secret + "@h:9090'}\n",
		"a user and a password as host":    least + "registry: {plain_http: ['me:" + secret + "@h']}\n",
	} {
		t.Run(title, func(t *testing.T) {
			_, err := Parse("w.yaml", []byte(text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in the error:\n%v", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "w.yaml")
	if err := os.WriteFile(file, []byte(least), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(folder, "watchtower.db"); c.Store.Path != want {
		t.Errorf("store at %s, want %s", c.Store.Path, want)
	}
	if _, err := Load(filepath.Join(folder, "none.yaml")); release.ErrorCode(err) != release.CodeNotFound {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(folder); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("a folder: %v", err)
	}
}

func TestAFileThatIsMeantToHurtIsRefusedSoon(t *testing.T) {
	for title, text := range map[string]string{
		"brackets without end":   strings.Repeat("[", maxBytes),
		"braces without end":     strings.Repeat("{a: ", maxBytes/4),
		"list marks without end": strings.Repeat("- ", maxBytes/2),
		"a huge file":            strings.Repeat("# x\n", maxBytes),
		"tags without end":       strings.Repeat("!a ", 10000),
		"anchors without end":    strings.Repeat("&a ", 10000),
		"thousands of keys":      strings.Repeat("a: x\n", 5000),
	} {
		t.Run(title, func(t *testing.T) {
			begin := time.Now()
			if got := faultsOf(t, text); len(got) == 0 || len(got) > maxProblems {
				t.Errorf("%d faults", len(got))
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte("policy:\n  signals:\n    - name: a\n      bad: |\n        x{\n      total: \"y\\n\"\n"))
	f.Add([]byte("a: [b, {c: d}]\n---\n? x\n: y\n"))
	f.Add([]byte("overrides:\n- namespaces: ['[']\n  policy: {weights: {a: .inf}}\n"))
	f.Add([]byte("prometheus: &a\n  <<: *a\n  url: !!binary x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("w.yaml", text)
		if err == nil {
			if c.Prometheus.URL == "" {
				t.Error("accepted without a Prometheus")
			}
			return
		}
		var ps Problems
		if !errors.As(err, &ps) || len(ps) == 0 {
			t.Fatalf("an error without problems: %v", err)
		}
		for _, p := range ps {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without place or words: %+v", p)
			}
		}
	})
}
