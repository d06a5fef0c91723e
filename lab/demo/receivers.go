package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// receivers are stand-ins of the services that tell people: they refuse what
// the real ones refuse, and show what they were told.
type receivers struct {
	url  string
	stop func()
}

// startReceivers starts the stand-ins and answers the configuration that names
// them as receivers.
func startReceivers(ctx context.Context, binary, dir string) (r *receivers, config string, err error) {
	file := filepath.Join(dir, "watchtower-receivers.yaml")
	if err := os.RemoveAll(dir); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, binary, "-listen", "127.0.0.1:0", "-mail", "127.0.0.1:0", "-dir", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, "", fmt.Errorf("start the stand-ins of receivers: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is told to end by its being killed
	}()
	r = &receivers{stop: func() {
		cancel()
		<-ended
	}}
	var text, url []byte
	waiting, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	err = poll(waiting, "the stand-ins of receivers", func() bool {
		text, err = os.ReadFile(file)
		return err == nil
	})
	if err == nil {
		url, err = os.ReadFile(filepath.Join(dir, "url"))
	}
	if err != nil {
		r.stop()
		return nil, "", err
	}
	r.url = string(url)
	return r, string(text), nil
}

// received is what the stand-ins show.
type received struct {
	PagerDuty struct {
		Incidents []struct {
			DedupKey string `json:"dedup_key"`
			Status   string `json:"status"`
			Events   []struct {
				Action  string `json:"event_action"`
				Payload struct {
					Summary  string `json:"summary"`
					Severity string `json:"severity"`
				} `json:"payload"`
			} `json:"events"`
		} `json:"incidents"`
	} `json:"pagerduty"`
	Slack []struct {
		Shown  string   `json:"shown"`
		Thread []string `json:"thread"`
	} `json:"slack"`
	Grafana []struct {
		Tags []string `json:"tags"`
		Text string   `json:"text"`
	} `json:"grafana"`
	Webhook []struct {
		Type string `json:"type"`
		Data struct {
			Release  string `json:"release"`
			State    string `json:"state"`
			Headline string `json:"headline"`
		} `json:"data"`
	} `json:"webhook"`
	Email []struct {
		Subject string `json:"subject"`
		Text    string `json:"text"`
	} `json:"email"`
}

// whole reports whether every receiver was told of a release to its end.
func (r received) whole(id string) error {
	if len(r.PagerDuty.Incidents) != 1 || !strings.Contains(r.PagerDuty.Incidents[0].DedupKey, id) || r.PagerDuty.Incidents[0].Status != "resolved" {
		return fmt.Errorf("at PagerDuty there are %d incidents, or one that is not resolved", len(r.PagerDuty.Incidents))
	}
	if len(r.Slack) != 1 || len(r.Slack[0].Thread) == 0 {
		return fmt.Errorf("in Slack there are %d messages, or one without a thread", len(r.Slack))
	}
	if len(r.Grafana) != 1 || !slices.Contains(r.Grafana[0].Tags, "release:"+id) {
		return fmt.Errorf("in Grafana there are %d annotations", len(r.Grafana))
	}
	if n := len(r.Webhook); n == 0 || r.Webhook[n-1].Data.State != "restored" || r.Webhook[0].Data.Release != id {
		return fmt.Errorf("the webhook was told %d times, and not of the end", n)
	}
	if len(r.Email) < 2 {
		return fmt.Errorf("%d mails came, which is not the whole story", len(r.Email))
	}
	return nil
}

// messages waits until every receiver was told of the release to its end, and
// shows what each of them got.
func (d *demo) messages(ctx context.Context, id string) error {
	if d.receivers == nil {
		return nil
	}
	var got received
	missing := errors.New("they do not answer")
	err := d.within(ctx, 40*time.Second, func(ctx context.Context) error {
		return poll(ctx, "what receivers were told", func() bool {
			got = received{}
			if err := getJSON(ctx, d.receivers.url+"/received", "", &got); err != nil {
				return false
			}
			missing = got.whole(id)
			return missing == nil
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, missing)
	}
	d.say.messages(got)
	return nil
}

var tag = regexp.MustCompile(`<[^>]*>`)

// messages prints what each receiver shows.
func (t *teller) messages(r received) {
	in := r.PagerDuty.Incidents[0]
	t.step("PAGERDUTY: one incident, %s now", in.Status)
	for _, e := range in.Events {
		t.line("%-12s %-9s %s", e.Action, e.Payload.Severity, e.Payload.Summary)
	}
	t.step("SLACK: one message, as it reads now")
	t.quote(r.Slack[0].Shown)
	for _, answer := range r.Slack[0].Thread {
		t.line("  ↳ %s", strings.ReplaceAll(answer, "\n", " — "))
	}
	t.step("GRAFANA: one annotation, tagged %s", strings.Join(r.Grafana[0].Tags, ", "))
	t.quote(tag.ReplaceAllString(strings.ReplaceAll(r.Grafana[0].Text, "<br>", "\n"), ""))
	t.step("WEBHOOK: %d signed events", len(r.Webhook))
	for _, e := range r.Webhook {
		t.line("%-42s %s", e.Type, e.Data.Headline)
	}
	t.step("E-MAIL: %d mails in one conversation, the first of them", len(r.Email))
	t.quote(r.Email[0].Text)
}

func (t *teller) quote(text string) {
	t.line("┌─")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		t.line("│ %s", strings.TrimRight(line, "\r\n"))
	}
	t.line("└─")
}
