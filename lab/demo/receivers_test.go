package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// told is what the stand-ins show of a release that was rolled back.
const told = `{
  "pagerduty": {"incidents": [{"dedup_key": "watchtower/abc", "status": "resolved", "events": [
    {"event_action": "trigger", "payload": {"summary": "it is worse", "severity": "critical"}},
    {"event_action": "resolve", "payload": {"summary": "it is well again", "severity": "info"}}]}]},
  "slack": [{"shown": "it is well again", "thread": ["12:00:00 UTC  it is well again"]}],
  "grafana": [{"tags": ["watchtower", "release:abc"], "text": "<b>it is well again</b><br>Since: noon"}],
  "webhook": [{"type": "dev.watchtower.release.regressed", "data": {"release": "abc", "state": "regressed", "headline": "it is worse"}},
    {"type": "dev.watchtower.release.restored", "data": {"release": "abc", "state": "restored", "headline": "it is well again"}}],
  "email": [{"subject": "it is worse", "text": "it is worse"}, {"subject": "it is well again", "text": "it is well again"}]
}`

func TestWhatReceiversWereToldIsWhole(t *testing.T) {
	for title, c := range map[string]struct{ change, to, want string }{
		"all of them were told to the end": {"", "", ""},
		"an incident is open":              {`"resolved"`, `"triggered"`, "PagerDuty"},
		"an incident is of another":        {"watchtower/abc", "watchtower/xyz", "PagerDuty"},
		"a thread is empty":                {`["12:00:00 UTC  it is well again"]`, "[]", "Slack"},
		"an annotation is of another":      {"release:abc", "release:xyz", "Grafana"},
		"the end was not told":             {`"state": "restored"`, `"state": "rolling_back"`, "webhook"},
		"a mail is missing":                {`{"subject": "it is worse", "text": "it is worse"}, `, "", "mails"},
	} {
		t.Run(title, func(t *testing.T) {
			text := strings.Replace(told, c.change, c.to, 1)
			var r received
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				t.Fatal(err)
			}
			if err := r.whole("abc"); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMessagesAreShownAsTheyWereGot(t *testing.T) {
	var r received
	if err := json.Unmarshal([]byte(told), &r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	newTeller(&out).messages(r)
	for _, want := range []string{"PAGERDUTY: one incident, resolved now", "trigger", "│ it is well again", "│ Since: noon", "release:abc", "2 signed events", "2 mails"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "<b>") {
		t.Errorf("it shows markup:\n%s", out.String())
	}
}
