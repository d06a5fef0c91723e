//go:build unix

package respond

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/models"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/alertmanager"
	"github.com/watchtower-verify/watchtower/internal/sink/email"
	"github.com/watchtower-verify/watchtower/internal/sink/email/smtptest"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana/grafanatest"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty"
	"github.com/watchtower-verify/watchtower/internal/sink/pagerduty/pagerdutytest"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook/webhooktest"
)

// channels are those of Slack that releases are told in, one for each workload of
// a round, as the teams of a large company have them: Slack takes one message a
// second in a channel, and the stand-in holds Watchtower to it.
const channels = 50

// Outlets of the town, as the tables name them.
const (
	outAlertmanager = "alertmanager"
	outPagerDuty    = "pagerduty"
	outSlack        = "slack"
	outGrafana      = "grafana"
	outWebhook      = "webhook"
	outEmail        = "email"
)

var outletsOfTown = []string{outAlertmanager, outPagerDuty, outSlack, outGrafana, outWebhook, outEmail}

// town is a strict stand-in of every receiver, live on loopback, and a responder
// that tells all of them through the real sinks.
type town struct {
	tb        testing.TB
	cluster   *strictCluster
	responder *Responder
	alerts    *alertsTaken
	pagerduty *pagerdutytest.Server
	slack     *slacktest.Server
	grafana   *grafanatest.Server
	webhook   *webhooktest.Server
	mail      *smtptest.Server
	rounds    int
}

// newTown makes it. timeout is how long a sink waits for an answer.
func newTown(tb testing.TB, timeout time.Duration) *town {
	const slackToken, grafanaToken, secret = "xoxb-town", "glsa_town", "a-secret-of-the-town"
	var all []slacktest.Channel
	for i := range channels {
		all = append(all, slacktest.Channel{ID: channelID(i), Name: fmt.Sprintf("team-%d", i), Member: true})
	}
	key := pagerdutytest.NewKey()
	w := &town{
		tb: tb, cluster: newCluster(), alerts: &alertsTaken{first: map[release.ID]time.Time{}},
		pagerduty: pagerdutytest.New(map[string]string{key: "all"}), slack: slacktest.New(slackToken, "xapp-town", all...),
		grafana: grafanatest.New(map[string]int64{grafanaToken: 1}), webhook: webhooktest.New(secret), mail: smtptest.New("", "", nil),
	}
	w.cluster.comesBack = 10 * time.Second
	w.slack.Limit(time.Second, 51) // short bursts are taken, as the pace reckons with
	mailAt := w.serveMail()
	keep := func(s sinktest.Sink, err error) Notifier {
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(s.Close)
		return s
	}
	quiet := slog.New(slog.DiscardHandler)
	notifiers := map[string]Notifier{
		outPagerDuty: keep(pagerduty.New(pagerduty.Config{Name: "pager", RoutingKeyFile: sinktest.File(tb, key), URL: w.serve(w.pagerduty.Handler()), Changes: true, Timeout: timeout})),
		outGrafana:   keep(grafana.New(grafana.Config{Name: "boards", URL: w.serve(w.grafana.Handler()), TokenFile: sinktest.File(tb, grafanaToken), Timeout: timeout})),
		outWebhook:   keep(webhook.New(webhook.Config{Name: "hook", URL: w.serve(w.webhook.Handler()), SecretFiles: []string{sinktest.File(tb, secret)}, Timeout: timeout})),
		outEmail:     keep(email.New(email.Config{Name: "list", Server: mailAt, From: "w@example.com", To: []string{"ops@example.com"}, Plaintext: true, Timeout: timeout, Log: quiet})),
	}
	slackAt, token := w.serve(w.slack.Handler())+"/api/", sinktest.File(tb, slackToken)
	for i := range channels {
		notifiers[channelID(i)] = keep(slack.New(slack.Config{
			Name: channelID(i), TokenFile: token, Channel: channelID(i), URL: slackAt, Curves: true, Timeout: timeout, Log: quiet,
			Buttons: []release.Offer{release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferFreeze, release.OfferMarkWrong, release.OfferSnooze},
		}))
	}
	am, err := alertmanager.New(alertmanager.Config{URLs: []string{w.serve(w.alerts.Wrap(w.alerts))}, Timeout: timeout, Log: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(am.Close)
	const pages = "https://watchtower.example.com"
	w.responder, _ = begin(tb, filepath.Join(tb.TempDir(), "w.db"), Deps{
		Name: "lab", Limits: unlimited(), Cluster: w.cluster, Alerter: am, Forge: &strictForge{}, Notifiers: notifiers, ExternalURL: pages,
		Places: message.Places{ExternalURL: pages},
		Route: func(m release.Message) []string {
			return []string{outPagerDuty, outGrafana, outWebhook, outEmail, channelOf(m.Workload.Name)}
		},
	}, nil)
	return w
}

func channelID(i int) string { return fmt.Sprintf("C0TEAM%03d", i) }

// channelOf is the channel of a workload, whose name ends with its number.
func channelOf(workload string) string {
	i, _ := strconv.Atoi(workload[strings.LastIndexByte(workload, '-')+1:])
	return channelID(i % channels)
}

func (w *town) serve(h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	w.tb.Cleanup(s.Close)
	return s.URL
}

func (w *town) serveMail() string {
	l, err := (&net.ListenConfig{}).Listen(w.tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.mail.Serve(l) }()
	w.tb.Cleanup(func() {
		w.mail.Close()
		<-ended //nolint:errcheck // it was closed
	})
	return l.Addr().String()
}

// door is where an outlet can be made to fail.
func (w *town) door(outlet string) *standin.Door {
	return map[string]*standin.Door{
		outAlertmanager: &w.alerts.Door, outPagerDuty: &w.pagerduty.Door, outSlack: &w.slack.Door,
		outGrafana: &w.grafana.Door, outWebhook: &w.webhook.Door, outEmail: &w.mail.Door,
	}[outlet]
}

// judgedAt is when each release was handed over as regressed.
type judgedAt map[release.ID]time.Time

// regress has n workloads regress at once.
func (w *town) regress(n int) judgedAt {
	w.rounds++
	out := judgedAt{}
	var all []release.Release
	for i := range n {
		name := fmt.Sprintf("app%d-%d", w.rounds, i)
		w.cluster.deploy(name, 1)
		all = append(all, w.cluster.deploy(name, 2))
	}
	for _, rel := range all {
		v := verdict(rel, release.Regressed, true)
		v.Evidence = apitest.Regressed().Verdict.Evidence
		out[rel.ID] = time.Now()
		if err := w.responder.Decide(w.tb.Context(), rel, v, policy(release.AutonomyAuto)); err != nil {
			w.tb.Fatal(err)
		}
	}
	return out
}

// accepted is when each outlet took the first that it was told of a release.
func (w *town) accepted(of judgedAt) map[string]map[release.ID]time.Time {
	out := map[string]map[release.ID]time.Time{}
	note := func(outlet string, id release.ID, at time.Time) {
		if _, asked := of[id]; !asked {
			return
		}
		if out[outlet] == nil {
			out[outlet] = map[release.ID]time.Time{}
		}
		if old, known := out[outlet][id]; !known || at.Before(old) {
			out[outlet][id] = at
		}
	}
	for id, at := range w.alerts.taken() {
		note(outAlertmanager, id, at)
	}
	for _, inc := range w.pagerduty.Incidents() {
		note(outPagerDuty, idOfKey(inc.DedupKey), inc.Events[0].At)
	}
	for _, p := range w.posts() {
		note(outSlack, p.id, p.at)
		if !p.curveAt.IsZero() {
			note(outSlack+", curve", p.id, p.curveAt)
		}
	}
	for _, a := range w.grafana.Annotations() {
		note(outGrafana, taggedID(a.Tags), a.At)
	}
	for _, e := range w.webhook.Events() {
		note(outWebhook, hookedID(e), e.At)
	}
	for _, m := range w.mail.Mails() {
		note(outEmail, linkedID(m.Text), m.At)
	}
	return out
}

// post is the message of a release in Slack.
type post struct {
	id          release.ID
	at, curveAt time.Time
	text        string
}

func (w *town) posts() []post {
	var out []post
	for i := range channels {
		for _, m := range w.slack.Parents(channelID(i)) {
			key, _ := m.Metadata.EventPayload["key"].(string)
			p := post{id: idOfKey(key), at: stampOf(m.TS), text: m.Plain()}
			for _, answer := range w.slack.Thread(m.TS) {
				if len(answer.Files) > 0 && p.curveAt.IsZero() {
					p.curveAt = stampOf(answer.TS)
				}
			}
			out = append(out, p)
		}
	}
	return out
}

// stampOf is the time of one of Slack's timestamps.
func stampOf(ts string) time.Time {
	seconds, micros, _ := strings.Cut(ts, ".")
	s, _ := strconv.ParseInt(seconds, 10, 64)
	us, _ := strconv.ParseInt(micros, 10, 64)
	return time.UnixMicro(s*1e6 + us)
}

// idOfKey is the release of a message's key.
func idOfKey(key string) release.ID {
	return release.ID(key[strings.LastIndexByte(key, '/')+1:])
}

func taggedID(tags []string) release.ID {
	for _, t := range tags {
		if id, ok := strings.CutPrefix(t, "release:"); ok {
			return release.ID(id)
		}
	}
	return ""
}

func hookedID(e webhooktest.Event) release.ID {
	var data struct {
		Release release.ID `json:"release"`
	}
	_ = json.Unmarshal(e.Data, &data)
	return data.Release
}

// linkedID is the release whose page a text links to.
func linkedID(text string) release.ID {
	_, rest, _ := strings.Cut(text, "/releases/")
	id, _, _ := strings.Cut(rest, "\n")
	return release.ID(strings.TrimSpace(id))
}

// alertsTaken is an Alertmanager that keeps when it first took the alert of each
// release.
type alertsTaken struct {
	standin.Door
	mu    sync.Mutex
	first map[release.ID]time.Time
}

func (a *alertsTaken) taken() map[release.ID]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[release.ID]time.Time{}
	for id, at := range a.first {
		out[id] = at
	}
	return out
}

func (a *alertsTaken) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var alerts models.PostableAlerts
	err := standin.Strict(body, &alerts)
	if err == nil {
		err = alerts.Validate(strfmt.Default)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/alerts" {
		http.Error(rw, fmt.Sprint("refused: ", err), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range alerts {
		id := release.ID(one.Labels["release"])
		if _, known := a.first[id]; !known {
			a.first[id] = time.Now()
		}
	}
}

// waitFor waits until outlets took the first of every release, and answers when.
func (w *town) waitFor(of judgedAt, patience time.Duration, outlets ...string) map[string]map[release.ID]time.Time {
	w.tb.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(250 * time.Millisecond) {
		got := w.accepted(of)
		missing := slices.IndexFunc(outlets, func(o string) bool { return len(got[o]) < len(of) })
		if missing < 0 {
			return got
		}
		if time.Now().After(end) {
			w.tb.Fatalf("%s was told of %d of %d releases within %s", outlets[missing], len(got[outlets[missing]]), len(of), patience)
		}
	}
}

// again is how many mails and events came anew because their answer was late, by
// which their readers know them for the same: mail by its Message-ID, an event by
// its id.
func (w *town) again() int {
	n, known := w.webhook.Again(), map[string]bool{}
	for _, m := range w.mail.Mails() {
		if known[m.MessageID] {
			n++
		}
		known[m.MessageID] = true
	}
	return n
}

// whole says what is not there once and to its end, of all releases that
// regressed; "" for nothing.
func (w *town) whole(of judgedAt, outlet string) string {
	times, ended := map[release.ID]int{}, map[release.ID]bool{}
	note := func(id release.ID, over bool) {
		times[id]++
		ended[id] = ended[id] || over
	}
	switch outlet {
	case outAlertmanager: // its alert fires for a minute at least
		for id := range w.alerts.taken() {
			note(id, true)
		}
	case outPagerDuty:
		for _, inc := range w.pagerduty.Incidents() {
			note(idOfKey(inc.DedupKey), inc.Status == "resolved")
		}
	case outSlack:
		for _, p := range w.posts() {
			note(p.id, strings.Contains(p.text, "runs again"))
		}
	case outGrafana:
		for _, a := range w.grafana.Annotations() {
			note(taggedID(a.Tags), strings.Contains(a.Text, "runs again"))
		}
	case outWebhook:
		for _, e := range w.webhook.Events() {
			if strings.HasSuffix(e.Type, "restored") && times[hookedID(e)] == 0 {
				note(hookedID(e), true)
			}
		}
	case outEmail:
		for _, m := range w.mail.Mails() {
			id := linkedID(m.Text)
			if strings.Contains(m.Subject, "runs again") && times[id] == 0 {
				note(id, true)
			}
		}
	}
	for id := range of {
		if times[id] != 1 || !ended[id] {
			return fmt.Sprintf("%s is there %d times, to its end: %t", id, times[id], ended[id])
		}
	}
	return ""
}
