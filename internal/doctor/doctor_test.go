package doctor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(c Check) []Finding { return Examine(context.Background(), "v", []Check{c}).Findings }

// has looks for a finding with a status, words of its message and of its mend.
func has(t *testing.T, found []Finding, s Status, message, mend string) {
	t.Helper()
	for _, f := range found {
		if f.Status == s && strings.Contains(f.Message, message) && strings.Contains(f.Mend, mend) {
			return
		}
	}
	t.Errorf("no finding %s %q with %q in %+v", s, message, mend, found)
}

func none(t *testing.T, found []Finding, s Status) {
	t.Helper()
	for _, f := range found {
		if f.Status == s {
			t.Errorf("found %+v", f)
		}
	}
}

func TestTheReportHasTheWorstAndKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := func(name string, s Status, after time.Duration) Check {
			return Check{name, func(context.Context) []Finding { time.Sleep(after); return []Finding{{Status: s, Message: "m\n\x1b"}} }}
		}
		began := time.Now()
		r := Examine(context.Background(), "v1", []Check{
			check("a", OK, 3*time.Second), check("b", Warning, time.Second), check("c", Skipped, 0),
			{"d", func(context.Context) []Finding { panic("oh") }},
			{"e", func(context.Context) []Finding { return nil }},
			{"f", func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{failed(ctx.Err(), "wait")} }},
		})
		if took := time.Since(began); took != patience {
			t.Errorf("took %s, want %s", took, patience)
		}
		var names []string
		for _, f := range r.Findings {
			names = append(names, f.Check+"="+string(f.Status))
		}
		if got := strings.Join(names, " "); got != "a=ok b=warning c=skipped d=failed e=ok f=failed" {
			t.Error(got)
		}
		if r.Status != Failed || r.Version != "v1" || r.Findings[0].Message != "m  " {
			t.Errorf("%+v", r)
		}
		has(t, r.Findings, Failed, "the check itself broke: oh", "report it")
		text := Text(r)
		if !strings.HasPrefix(text, "failed   d: ") || !strings.Contains(text, "2 failed, 1 warnings, 2 ok, 1 not tried") {
			t.Error(text)
		}
	})
	if r := Examine(context.Background(), "v", []Check{{"a", func(context.Context) []Finding { return []Finding{{Status: Skipped}} }}}); r.Status != OK {
		t.Errorf("what is not tried is %s", r.Status)
	}
}

func TestReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(700 * time.Millisecond) // within a second
		for _, test := range []struct {
			name  string
			about About
			err   error
			want  Status
			words string
		}{
			{"a good server", About{"3.5.0", time.Now().Truncate(time.Second)}, nil, OK, "version 3.5.0"},
			{"a server that tells nothing", About{}, nil, OK, "does not tell its version"},
			{"a clock a little ahead", About{"1", time.Now().Add(5 * time.Second).Truncate(time.Second)}, nil, OK, "version 1"},
			{"a clock ahead", About{"1", time.Now().Add(30 * time.Second)}, nil, Warning, "30 s ahead of"},
			{"a clock behind", About{"1", time.Now().Add(-20 * time.Second).Truncate(time.Second)}, nil, Warning, "20 s behind"},
			{"a clock far behind", About{"1", time.Now().Add(-10 * time.Minute).Truncate(time.Second)}, nil, Failed, "10 min behind"},
			{"nobody", About{}, errors.New("connection refused"), Failed, "connection refused"},
		} {
			found := run(Reach("prometheus", ServerFunc(func(context.Context) (About, error) { return test.about, test.err }), "mend it"))
			t.Log(test.name)
			has(t, found, test.want, test.words, "")
			if test.want == OK {
				none(t, found, Warning)
				none(t, found, Failed)
			}
		}
	})
}

// store answers expressions from a table.
type store map[string]float64

func (s store) Number(_ context.Context, expr string, _ time.Time) (float64, bool, error) {
	if _, broken := s["error"]; broken {
		return 0, false, release.E(release.CodeUnavailable, "http://p refuses the credentials", nil)
	}
	v, ok := s[expr]
	return v, ok, nil
}

func TestMeasurements(t *testing.T) {
	now := float64(time.Now().Unix())
	const newest, pods = "max(timestamp(up))", `count(up{pod!=""})`
	const state, cadvisor = "count(kube_pod_container_status_restarts_total)", "count(container_cpu_usage_seconds_total)"
	all := run(Measurements("p", store{"count(up)": 12, newest: now, pods: 10, state: 3, cadvisor: 4}, 0))
	has(t, all, OK, "10 of them name their pod", "")
	has(t, all, OK, "kube-state-metrics is scraped", "")
	has(t, all, OK, "cAdvisor is scraped", "")
	has(t, run(Measurements("p", store{"count(up)": 12, newest: now, pods: 10, cadvisor: 4}, 0)), Warning, "of kube-state-metrics: restarts and memory kills are not counted", "prometheus.url")
	has(t, run(Measurements("p", store{"count(up)": 12, newest: now, pods: 10, state: 4}, 0)), Warning, "of cAdvisor: processor time and memory are not counted", "cAdvisor")
	has(t, run(Measurements("p", store{"error": 1}, 0)), Failed, "refuses the credentials", "credentials")
	has(t, run(Measurements("p", store{}, 0)), Failed, "no sample of any target", "/targets")
	has(t, run(Measurements("p", store{"count(up)": 12, newest: now - 900, pods: 1}, 0)), Failed, "newest sample is 15 min", "prometheus.lag")
	has(t, run(Measurements("p", store{"count(up)": 12, newest: now}, 0)), Warning, "no target has a label pod", "__meta_kubernetes_pod_name")
}

type surveys map[string]release.SignalReport

func (s surveys) Signals(_ context.Context, ns, name string) (release.SignalReport, error) {
	r, ok := s[ns+"/"+name]
	switch {
	case !ok:
		return r, release.E(release.CodeNotFound, "gone", nil)
	case len(r.Notes) > 0:
		return r, release.E(release.CodeUnavailable, "no answer", nil)
	}
	return r, nil
}

func TestWorkloads(t *testing.T) {
	of := func(names ...string) func(context.Context) ([]release.Workload, error) {
		return func(context.Context) ([]release.Workload, error) {
			var out []release.Workload
			for _, n := range names {
				out = append(out, release.Workload{Namespace: "shop", Name: n})
			}
			return out, nil
		}
	}
	s := surveys{
		"shop/good":   {Signals: []release.SignalStatus{{Signal: release.SignalErrorRatio, Measured: true}}},
		"shop/half":   {Signals: []release.SignalStatus{{Signal: release.SignalErrorRatio}, {Signal: release.SignalCPU, Measured: true}}},
		"shop/blind":  {Signals: []release.SignalStatus{{Signal: release.SignalErrorRatio}}},
		"shop/broken": {Notes: []string{"x"}},
	}
	found := run(Workloads("w", s, of("good", "half", "blind", "broken", "gone")))
	has(t, found, OK, "shop/good: its requests are counted", "")
	has(t, found, Warning, "shop/half: its requests are not counted", "watchtower signals shop/half")
	has(t, found, Warning, "shop/blind: nothing is measured", "watchtower signals shop/blind")
	has(t, found, Warning, "shop/broken: no answer", "")
	if len(found) != 4 {
		t.Errorf("%+v", found)
	}
	has(t, run(Workloads("w", s, of())), Skipped, "no release was seen yet", "")
	has(t, run(Workloads("w", s, func(context.Context) ([]release.Workload, error) { return nil, errors.New("disk") })), Failed, "disk", "store")
}

// account allows all but what it names.
type account struct {
	refused []string
	err     error
}

func (a account) Allowed(_ context.Context, x Access) (bool, string, error) {
	for _, r := range a.refused {
		if r == x.Verb+" "+x.Resource || r == x.Verb+" "+x.Resource+" "+x.Namespace {
			return false, "RBAC says no", a.err
		}
	}
	return true, "", a.err
}

func TestPermissions(t *testing.T) {
	for _, test := range []struct {
		name       string
		namespaces []string
		account    account
		needs      []Need
		status     Status
		words      string
		mend       string
	}{
		{"all are given", nil, account{}, Needs(true, "watchtower"), OK, "all 18 that are needed", ""},
		{"pods cannot be watched", nil, account{refused: []string{"watch pods"}}, Needs(false, ""), Failed, "pods: watch (RBAC says no) is not allowed, which is needed to see the states of pods", "resources: [pods], verbs: [get, list, watch]"},
		{"no rollback", nil, account{refused: []string{"patch deployments"}}, Needs(true, ""), Failed, "deployments.apps: patch", "verbs: [patch]"},
		{"no rollback where none is done", nil, account{refused: []string{"patch deployments"}}, Needs(false, ""), OK, "", ""},
		{"one namespace of two", []string{"shop", "pay"}, account{refused: []string{"list replicasets pay"}}, Needs(false, ""), Failed, "list in pay", ""},
		{"what all else works without", nil, account{refused: []string{"create events"}}, Needs(false, ""), Warning, "no Events are written; all else works", ""},
		{"no leases", nil, account{refused: []string{"update leases"}}, Needs(false, "watchtower"), Failed, "leases.coordination.k8s.io: update in watchtower", ""},
		{"the cluster does not tell", nil, account{err: errors.New("connection refused")}, Needs(false, ""), Failed, "does not tell what is allowed: connection refused", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			has(t, run(Permissions(test.account, test.namespaces, test.needs)), test.status, test.words, test.mend)
		})
	}
}

type receiver struct {
	err  error
	sent []release.Message
}

func (r *receiver) Deliver(_ context.Context, m release.Message, _ []byte) ([]byte, error) {
	r.sent = append(r.sent, m)
	return nil, r.err
}

func TestReceiversAreSentATestOnly(t *testing.T) {
	test := func() release.Message { return release.Message{Test: true} }
	r := &receiver{}
	has(t, run(Receiver("chat", "slack", r, test, nil)), OK, "slack took a test message", "")
	if len(r.sent) != 1 || !r.sent[0].Test {
		t.Errorf("sent %+v", r.sent)
	}
}

func TestWhatAReceiverRefusesIsMendedByASettingOfIts(t *testing.T) {
	test := func() release.Message { return release.Message{Test: true} }
	for _, c := range []struct{ kind, said, mend string }{
		{"slack", "chat.postMessage: token_revoked", "make new ones and put them into token_file"},
		{"slack", "chat.postMessage: is_archived", "/invite"},
		{"slack", "chat.postMessage: channel_not_found", "its ID is right"},
		{"slack", "chat.postMessage: missing_scope", "install it again"},
		{"slack", "open /secrets/slack: no such file or directory", "See token_file: is the file mounted"},
		{"slack", "status 400 Bad Request: text is too long or so I'd", "docs/notifications.md"},
		{"pagerduty", "status 400 Bad Request: Invalid routing key", "Events API v2 integration"},
		{"pagerduty", "proxyconnect tcp: dial tcp: connection refused", "connection.proxy_url"},
		{"grafana", "status 401 Unauthorized", "put them into token_file"},
		{"grafana", "status 403 Forbidden", "role Editor"},
		{"grafana", "status 404 Not Found: Dashboard not found", "See places"},
		{"webhook", "status 401 Unauthorized: wrong signature", "same secret"},
		{"webhook", "x509: certificate signed by unknown authority", "connection.ca_file"},
		{"webhook", "dial tcp: lookup hooks.example.com: no such host", "see url, DNS"},
		{"email", "535 5.7.8 Authentication failed", "put them into user and password_file"},
		{"email", "dial tcp 192.0.2.1:25: connection refused", "see server, DNS"},
	} {
		has(t, run(Receiver("r", c.kind, &receiver{err: errors.New(c.said)}, test, nil)), Failed, c.said, c.mend)
	}
}

func TestATemplateThatFailsIsToldOfAlthoughTheMessageWasSent(t *testing.T) {
	test := func() release.Message { return release.Message{Test: true} }
	wording := func(m release.Message) []error {
		if !m.Test {
			t.Error("it was tried with another message than the one that was sent")
		}
		return []error{errors.New("text: index out of range")}
	}
	found := run(Receiver("chat", "slack", &receiver{}, test, wording))
	has(t, found, OK, "took a test message", "")
	has(t, found, Warning, "built-in text is sent: text: index out of range", "config check --render")
}

// told answers with the newest action of a receiver.
type told struct {
	action *release.Action
	err    error
}

func (s told) LastTold(_ context.Context, receiver string) (release.Action, bool, error) {
	if receiver != "chat" || s.action == nil {
		return release.Action{}, false, s.err
	}
	return *s.action, true, s.err
}

func TestWhatBecameOfTheLastMessageTellsOfAReceiver(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name   string
		told   told
		status Status
		words  string
		mend   string
	}{
		{"it was told", told{action: &release.Action{State: release.ActionDone, UpdatedAt: at}}, OK, "slack took its last message, 2026-03-04 12:00:00 UTC", ""},
		{"it was told of nothing yet", told{}, Skipped, "was told of nothing yet", "`watchtower doctor`"},
		{"it was to be told of what became part of an incident", told{action: &release.Action{State: release.ActionVoid}}, Skipped, "was told of nothing yet", ""},
		{"its message was given up", told{action: &release.Action{State: release.ActionFailed, Detail: "token_revoked"}}, Failed, "given up: token_revoked", "token_file"},
		{"it does not take its message", told{action: &release.Action{State: release.ActionPending, Attempts: 4, Detail: "connection refused"}}, Failed, "after 4 attempts: connection refused", "not reached"},
		{"it is told for the first time now", told{action: &release.Action{State: release.ActionPending, Attempts: 1, Detail: "chat was told: x"}}, Skipped, "is being told", ""},
		{"the store does not answer", told{err: errors.New("disk")}, Failed, "disk", "log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			has(t, run(ReceiverSoFar("chat", "slack", test.told)), test.status, test.words, test.mend)
		})
	}
}

func TestWhatCannotBeToldIsNotTried(t *testing.T) {
	tried := 0
	rest := Check{"measurements", func(context.Context) []Finding { tried++; return []Finding{ok("12 targets")} }}
	first := func(found ...Finding) []Finding {
		return run(After(Check{"prometheus", func(context.Context) []Finding { return found }}, rest))
	}
	found := first(failed(errors.New("connection refused"), "mend it"))
	if len(found) != 2 || found[0].Check != "prometheus" || found[1].Check != "measurements" || found[1].Status != Skipped || tried != 0 {
		t.Errorf("%+v, tried %d times", found, tried)
	}
	has(t, found, Skipped, "prometheus does not answer", "")
	has(t, first(ok("it answers"), failed(errors.New("its clock is wrong"), "NTP")), OK, "12 targets", "")
}

type poster struct {
	err  error
	sent []release.Alert
}

func (p *poster) Post(_ context.Context, alerts []release.Alert) error {
	p.sent = append(p.sent, alerts...)
	return p.err
}

func TestAlertmanagerIsSentAnAlertThatIsOver(t *testing.T) {
	p := &poster{}
	has(t, run(Alerts("alertmanager", p, "prod")), OK, "took a test alert", "")
	if len(p.sent) != 1 || !p.sent[0].EndsAt.Before(time.Now()) || p.sent[0].Labels["alertname"] != TestAlert {
		t.Errorf("sent %+v", p.sent)
	}
	has(t, run(Alerts("alertmanager", &poster{err: errors.New("connection refused")}, "prod")), Failed, "connection refused", "alertmanager.urls")
}

type forge struct{ err error }

func (f forge) FindIssue(context.Context, string, string) (string, bool, error) {
	return "", false, f.err
}

func keeps(err error) KeeperFunc { return func(context.Context) error { return err } }

type letters struct {
	list []release.Action
	err  error
}

func (l letters) DeadLetters(context.Context) ([]release.Action, error) { return l.list, l.err }

func TestTheOtherParts(t *testing.T) {
	has(t, run(Forge(forge{}, "shop/webapp")), OK, "issues of shop/webapp can be read", "")
	has(t, run(Forge(forge{}, "")), Skipped, "forge.repository is not given", "")
	has(t, run(Forge(forge{errors.New("404")}, "shop/webapp")), Failed, "404", "scopes")
	has(t, run(Store(keeps(nil))), OK, "it takes writes", "")
	has(t, run(Store(keeps(errors.New("disk full")))), Failed, "disk full", "store.path")
	has(t, run(GivenUp(letters{})), OK, "none was given up", "")
	has(t, run(GivenUp(letters{list: []release.Action{{Key: "x/message/chat", Detail: "token_revoked"}, {}}})), Warning, "2 actions were given up, the newest x/message/chat: token_revoked", "tried again")
	has(t, run(GivenUp(letters{err: errors.New("disk")})), Failed, "disk", "")
}

func TestWhatNobodyWouldHearOf(t *testing.T) {
	good := Setup{Alerts: true, Issues: true, Forge: true, Receivers: []string{"a"}, ExternalURL: "https://w.example.com"}
	with := func(change func(*Setup)) []Finding { s := good; change(&s); return run(Silence(s)) }
	has(t, run(Silence(good)), OK, "what is decided is told", "")
	has(t, with(func(s *Setup) { s.Alerts = false }), Warning, "every policy only observes", "policy.autonomy")
	has(t, with(func(s *Setup) { s.Receivers = nil }), Warning, "no alertmanager and no receiver", "docs/notifications.md")
	none(t, with(func(s *Setup) { s.Receivers, s.Alertmanager = nil, true }), Warning)
	has(t, with(func(s *Setup) { s.Forge = false }), Warning, "there is no forge", "policy.issue")
	has(t, with(func(s *Setup) { s.ExternalURL = "http://127.0.0.1:9477" }), Warning, "only this machine reaches", "external_url")
}
