package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// told is a file in which every receiver and route is well.
const told = least + `
receivers:
  - name: oncall
    pagerduty: {routing_key_file: secrets/pd, changes: true, connection: {timeout: 3s, ca_file: ca.pem}}
  - name: shop-chat
    slack: {token_file: secrets/slack, channel: C024BE91L}
    template:
      title: '{{ .Headline }} ({{ .CommonLabels.team }}, {{ .CommonLabels.app_kubernetes_io_part_of }})'
  - name: boards
    grafana: {url: https://grafana.example.com, token_file: /run/grafana, places: [{dashboard: abc, panel: 2}]}
  - name: hook
    webhook: {url: "https://hooks.example.com/in?site=eu", secret_file: secrets/hook}
  - name: mail
    email: {server: "smtp.example.com:587", from: Watchtower <w@example.com>, to: [a@example.com]}
route:
  receivers: [mail]
  mute_time_intervals: [nights]
  routes:
    - {receivers: [boards], states: [all], continue: true}
    - matchers: ['team="shop"', severity=~"critical|error"]
      receivers: [oncall, shop-chat]
      routes:
        - {matchers: ['state=waiting_for_approval'], receivers: [hook]}
time_intervals:
  - name: nights
    time_intervals:
      - {times: [{start_time: "22:00", end_time: "24:00"}], weekdays: ['monday:friday'], location: Europe/Berlin}
links: {dashboard: 'https://grafana.example.com/d/x?ns={namespace}&from={from}&to={to}'}
workload_labels: [team, app.kubernetes.io/part-of]
`

func TestReceiversAndRoutesAreRead(t *testing.T) {
	c := mustParse(t, told)
	if got := c.Receivers[0].PagerDuty; got.RoutingKeyFile != "/etc/watchtower/secrets/pd" || got.Connection.Timeout != 3*time.Second || got.Connection.CAFile != "/etc/watchtower/ca.pem" {
		t.Errorf("%+v", got)
	}
	if got := c.Receivers[2].Grafana; got.TokenFile != "/run/grafana" || got.Connection.Timeout != 10*time.Second {
		t.Errorf("%+v", got)
	}
	tree, err := c.Tree()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 21, 30, 0, 0, time.UTC) // 22:30 in Berlin
	for _, test := range []struct {
		name   string
		state  release.MessageState
		labels map[string]string
		want   string
	}{
		{"what is quiet goes where all is told", release.SaysVerifying, map[string]string{"team": "shop", "severity": "critical"}, "boards@21:30"},
		{"a team's page", release.SaysRegressed, map[string]string{"team": "shop", "severity": "critical"}, "boards@21:30 oncall@21:30 shop-chat@21:30"},
		{"an approval", release.SaysWaiting, map[string]string{"team": "shop", "severity": "critical", "state": "waiting_for_approval"}, "boards@21:30 hook@21:30"},
	} {
		var got []string
		for _, d := range tree.Decide(release.Message{State: test.state, Labels: test.labels}, now, func(string) bool { return false }) {
			got = append(got, d.Receiver+"@"+d.At.Format("15:04"))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestWithoutARouteEveryReceiverIsToldWhatMatters(t *testing.T) {
	c := mustParse(t, least+"receivers:\n  - name: a\n    webhook: {url: https://h/x, secret_file: key}\n  - name: b\n    webhook: {url: https://h/y, secret_file: key}\n")
	tree, err := c.Tree()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, tree.Receivers()); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsOfReceiversAndRoutes(t *testing.T) {
	const hook = "receivers:\n  - name: a\n    webhook: {url: https://h/x, secret_file: key}\n"
	for name, test := range map[string]struct {
		text string
		want string
	}{
		"a receiver that is nothing":         {"receivers: [{name: a}]\n", "receivers[0]: it says nowhere whom to tell"},
		"a receiver of two kinds":            {"receivers: [{name: a, webhook: {url: https://h, secret_file: key}, grafana: {url: https://g, token_file: t}}]\n", "receivers[0]: it is grafana and webhook at once"},
		"a name given twice":                 {hook + "  - name: a\n    webhook: {url: https://h/y, secret_file: key}\n", "receivers[1].name: a is the name of an earlier receiver too"},
		"a kind nobody knows":                {"receivers: [{name: a, webhok: {}, webhook: {url: https://h/x, secret_file: key}}]\n", "receivers[0].webhok is no known key: did you mean webhook?"},
		"no routing key":                     {"receivers: [{name: a, pagerduty: {}}]\n", "receivers[0].pagerduty.routing_key_file: the file that holds the integration key"},
		"a channel by its name":              {"receivers: [{name: a, slack: {token_file: t, channel: \"#shop\"}}]\n", "receivers[0].slack.channel: \"#shop\" is no ID of a channel"},
		"a token where its file belongs":     {"receivers: [{name: a, slack: {token: xoxb-1, channel: C024BE91L, token_file: t}}]\n", "receivers[0].slack.token is no known key"},
		"buttons nobody may press":           {"receivers: [{name: a, slack: {token_file: t, channel: C024BE91L, app_token_file: x}}]\n", "nobody may press a button"},
		"people without buttons":             {"receivers: [{name: a, slack: {token_file: t, channel: C024BE91L, users: [{id: U024BE7LH, name: Ann, role: admin}]}}]\n", "nobody hears of their clicks"},
		"a role there is not":                {"receivers: [{name: a, slack: {token_file: t, channel: C024BE91L, app_token_file: x, users: [{id: U024BE7LH, name: Ann, role: aprove}]}}]\n", "receivers[0].slack.users[0].role: \"aprove\" is no role"},
		"a webhook without a secret":         {"receivers: [{name: a, webhook: {url: https://h/x}}]\n", "receivers[0].webhook.secret_file: the file that holds the key"},
		"a secret in a header":               {"receivers: [{name: a, webhook: {url: https://h/x, secret_file: s, headers: {X-Token: abc}}}]\n", "receivers[0].webhook.headers.X-Token: a header that holds a secret"},
		"mail through no proxy there is":     {"receivers: [{name: a, email: {server: \"h:25\", from: a@b.c, to: [b@c.d], connection: {proxy_url: 'ftp://p'}}}]\n", "receivers[0].email.connection.proxy_url: \"ftp://p\" is no http or https URL"},
		"a password of a proxy in the file":  {"receivers: [{name: a, email: {server: \"h:25\", from: a@b.c, to: [b@c.d], connection: {proxy_url: 'socks5://u:p@h'}}}]\n", "receivers[0].email.connection.proxy_url: the URL carries a user or password"},
		"an Alertmanager of a Service":       {"alertmanager: {urls: ['kubernetes+http://alertmanager:web']}\n", "alertmanager.urls[0]: \"kubernetes+http://alertmanager:web\" is no port of a Service"},
		"expected alerts that are none":      {"alertmanager: {urls: ['http://a:9093'], expected: {matchers: []}}\n", "alertmanager.expected.matchers: no alert is named"},
		"expected alerts that no one reads":  {"alertmanager: {urls: ['http://a:9093'], expected: {matchers: ['alertname=~(']}}\n", "alertmanager.expected.matchers[0]: this is no matcher"},
		"a silence for a day":                {"alertmanager: {urls: ['http://a:9093'], expected: {matchers: ['a=b'], for: 24h}}\n", "alertmanager.expected.for: 1d is out of range: use 1m to 1h"},
		"a secret in a URL":                  {"receivers: [{name: a, webhook: {url: \"https://h/x?token=abc\", secret_file: s}}]\n", "receivers[0].webhook.url: the URL carries a secret"},
		"a password in a URL":                {"receivers: [{name: a, webhook: {url: \"https://me:pw@h/x\", secret_file: s}}]\n", "receivers[0].webhook.url: the URL carries a user or password"},
		"a panel of no dashboard":            {"receivers: [{name: a, grafana: {url: https://g, token_file: t, places: [{panel: 3}]}}]\n", "receivers[0].grafana.places[0].dashboard: the UID of the dashboard is missing"},
		"no address":                         {"receivers: [{name: a, email: {server: \"h:25\", from: me, to: [b@c.d]}}]\n", "receivers[0].email.from: \"me\" is no address"},
		"a server without a port":            {"receivers: [{name: a, email: {server: h, from: a@b.c, to: [b@c.d]}}]\n", "receivers[0].email.server: \"h\" is no server"},
		"a user without a password":          {"receivers: [{name: a, email: {server: \"h:25\", from: a@b.c, to: [b@c.d], user: x}}]\n", "receivers[0].email: user and password_file belong together"},
		"a route to nobody":                  {"route: {receivers: [a]}\n", "route: there are no receivers to route to"},
		"a receiver that is misspelt":        {hook + "route: {receivers: [a], routes: [{matchers: ['team=\"x\"'], receivers: [b]}]}\n", "route.routes[0].receivers[0]: no receiver has the name \"b\""},
		"a receiver nobody names":            {hook + "  - name: silent\n    webhook: {url: https://h/y, secret_file: key}\nroute: {receivers: [a]}\n", "receivers[1].name: no route names silent, so that it would never be told anything"},
		"a label nobody carries":             {hook + "route: {receivers: [a], routes: [{matchers: ['namespce=\"x\"']}]}\n", "route.routes[0].matchers[0]: no message has a label namespce: did you mean namespace?"},
		"a severity there is not":            {hook + "route: {receivers: [a], routes: [{matchers: [severity=crit]}]}\n", "severity=\"crit\" matches no severity: known are critical, error, warning, info"},
		"no matcher":                         {hook + "route: {receivers: [a], routes: [{matchers: ['team~x']}]}\n", "route.routes[0].matchers[0]: this is no matcher"},
		"a state there is not":               {hook + "route: {receivers: [a], states: [regresed]}\n", "route.states[0]: no state has the name \"regresed\": did you mean regressed?"},
		"repeated without a pause":           {hook + "route: {receivers: [a], repeat_interval: 1s}\n", "route.repeat_interval: 1s is out of range: use 5m to 7d"},
		"a label to group by nobody carries": {hook + "route: {receivers: [a], group_by: [namspace]}\n", "route.group_by[0]: no message has a label namspace: did you mean namespace?"},
		"each by itself and not":             {hook + "route: {receivers: [a], group_by: [namespace, '...']}\n", "route.group_by[1]: ... is each release by itself: it stands alone"},
		"a label to group by, twice":         {hook + "route: {receivers: [a], group_by: [namespace, namespace]}\n", "route.group_by[1]: namespace is named twice"},
		"grouping by what changes":           {hook + "route: {receivers: [a], group_by: [state]}\n", "route.group_by[0]: the state of a release changes, and its group does not"},
		"grouping by nothing":                {hook + "route: {receivers: [a], group_by: []}\n", "route.group_by: it names no label: write [\"...\"] for each release by itself"},
		"a group that waits less than not":   {hook + "route: {receivers: [a], group_by: [team], group_wait: -1s}\nworkload_labels: [team]\n", "group_wait: "},
		"a group told all the time":          {hook + "route: {receivers: [a], group_by: [cluster], group_interval: 0s}\n", "route.group_interval: 0s is out of range: use 1s to "},
		"annotations that are grouped": {
			"receivers: [{name: a, grafana: {url: https://g, token_file: t}}]\nroute: {group_by: [namespace], receivers: [a]}\n",
			"route: it groups, and receiver a is Grafana, whose annotations are of one release each",
		},
		"annotations that are grouped by the route around": {
			hook + "  - {name: b, grafana: {url: https://g, token_file: t}}\nroute: {group_by: [namespace], receivers: [a], routes: [{receivers: [b]}]}\n",
			"route.routes[0]: it groups, and receiver b is Grafana",
		},
		"curves that PagerDuty cannot fetch":   {"receivers: [{name: a, pagerduty: {routing_key_file: k, curves: true}}]\nexternal_url: http://watchtower.example\n", "receivers[0].pagerduty.curves: PagerDuty fetches curves from external_url, and shows none that is not https"},
		"a proxy of Alertmanager that is none": {"alertmanager: {urls: ['http://am:9093'], proxy_url: 'proxy:3128'}\n", "alertmanager.proxy_url: "},
		"a time interval there is not":         {hook + "route: {receivers: [a], mute_time_intervals: [nights]}\n", "route.mute_time_intervals[0]: no time interval has the name \"nights\": there are none"},
		"a route no message ever reaches":      {hook + "route: {routes: [{receivers: [a]}, {matchers: ['team=\"x\"'], receivers: [a]}]}\n", "route.routes[0]: it has no matchers and takes everything"},
		"matchers at the root":                 {hook + "route: {receivers: [a], matchers: ['team=\"x\"']}\n", "route.matchers is no known key"},
		"a time past midnight":                 {"time_intervals: [{name: n, time_intervals: [{times: [{start_time: \"22:00\", end_time: \"06:00\"}]}]}]\n", "time_intervals[0].time_intervals[0].times[0]: start time cannot be equal or greater"},
		"a day there is not":                   {"time_intervals: [{name: n, time_intervals: [{weekdays: [funday]}]}]\n", "time_intervals[0].time_intervals[0].weekdays[0]: "},
		"a link that is none":                  {"links: {dashboard: grafana}\n", "links.dashboard: this is no address"},
		"a placeholder there is not":           {"links: {logs: 'https://h/{pod}'}\n", "links.logs: {pod} is no placeholder"},
		"a label of Watchtower's own":          {"workload_labels: [severity]\n", "workload_labels[0]: severity is a label of Watchtower's own"},
		"a template with an unknown field":     {hook + "    template: {title: '{{ .Healine }}'}\n", "receivers[0].template.title: of a message \"verifying\": title:1:3: executing \"title\""},
		"a template that is not closed":        {hook + "    template: {text: '{{ if .To }}'}\n", "receivers[0].template.text: text:1: unexpected EOF; mend the template"},
		"blocks that are none":                 {"receivers: [{name: a, slack: {token_file: t, channel: C024BE91L}, template: {blocks: '[{\"type\":\"section\",\"text\":\"{{ .Headline }}\"}]'}}]\n", "receivers[0].template.blocks: of a message \"regressed\": this is no JSON list of Slack blocks"},
		"blocks for a mail":                    {hook + "    template: {blocks: '[]'}\n", "receivers[0].template.blocks: only Slack has blocks"},
		"an empty template":                    {hook + "    template: {}\n", "receivers[0].template: it has no text"},
		"template files that are not":          {"templates: [missing/*.tmpl]\n", "templates: no file is named missing/*.tmpl"},
		"a severity of a policy":               {"policy: {severity: loud}\n", "policy.severity: severity \"loud\" is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			got := faultsOf(t, least+test.text)
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("faults are\n%s\nwant %s", strings.Join(got, "\n"), test.want)
			}
			for _, line := range got {
				if strings.Contains(line, "abc") || strings.Contains(line, ":pw@") {
					t.Errorf("a secret is told: %s", line)
				}
			}
		})
	}
}

func TestTemplatesMayBeInFilesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.tmpl"), []byte(`{{ define "who" }}{{ .CommonLabels.workload }}{{ end }}`), 0o600); err != nil {
		t.Fatal(err)
	}
	text := least + "templates: ['*.tmpl']\nreceivers:\n  - name: a\n    webhook: {url: https://h/x, secret_file: key}\n    template: {title: '{{ template \"who\" . }}!'}\n"
	c, err := Parse(filepath.Join(dir, "w.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	filled, err := c.ReceiverTemplates()
	if err != nil {
		t.Fatal(err)
	}
	own, faults := filled["a"].Fill(release.Message{Workload: release.Workload{Name: "webapp"}, Labels: map[string]string{"workload": "webapp"}})
	if len(faults) > 0 || own.Title != "webapp!" {
		t.Errorf("%+v, %v", own, faults)
	}
}

func TestGroupingIsInheritedAndWarnsOfWhatIsSlow(t *testing.T) {
	c := mustParse(t, least+`workload_labels: [team]
receivers:
  - {name: a, webhook: {url: https://h/x, secret_file: key}}
  - {name: b, grafana: {url: https://g, token_file: t}}
route:
  receivers: [a]
  group_by: [team]
  group_wait: 10m
  routes:
    - {matchers: ['severity=~"info|warning"'], group_wait: 1h}
    - {matchers: ['namespace="shop"'], group_wait: 0s, group_interval: 1m}
    - {matchers: ['namespace="each"'], group_by: ["..."]}
    - {matchers: ['namespace="slow"'], group_by: [namespace]}
    - {receivers: [b], group_by: ["..."]}
`)
	tree, err := c.Tree()
	if err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]string{
		"shop": `{namespace="shop"}:{team="x"} 0s 1m0s`,
		"slow": `{namespace="slow"}:{namespace="slow"} 10m0s 5m0s`,
		"each": "alone",
		"else": "alone",
	} {
		m := release.Message{State: release.SaysRegressed, Labels: map[string]string{"namespace": namespace, "team": "x", "severity": "critical"}}
		got := "alone"
		if g := tree.Decide(m, time.Now(), func(string) bool { return false })[0].Group; g != nil {
			got = strings.TrimPrefix(g.Key, "{}") + " " + g.Wait.String() + " " + g.Interval.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", namespace, got, want)
		}
	}
	late := "people hear of a critical release late"
	if w := c.Warnings(); len(w) != 2 || !strings.HasPrefix(w[0], "route: "+late) || !strings.HasPrefix(w[1], "route.routes[3]: "+late) {
		t.Errorf("warnings %q", w)
	}
}
