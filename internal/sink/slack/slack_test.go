package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token    = "xoxb-1-s3cr3t-7f3a"
	appToken = "xapp-1-s3cr3t-9d1c"
	channel  = "C024BE91L"
)

type world struct {
	t     *testing.T
	slack *slacktest.Server
	place sinktest.Place
	file  string
	log   func() string
	cfg   Config
}

func newWorld(t *testing.T, s sinktest.Settings) *world {
	server := slacktest.New(token, appToken, slacktest.Channel{ID: channel, Name: "deploys", Member: true})
	place := sinktest.Serve(t, server.Handler(), s)
	t.Cleanup(server.Hangup)
	log, lines := sinktest.Log()
	w := &world{t: t, slack: server, place: place, file: sinktest.File(t, token+"\n"), log: lines}
	w.cfg = Config{
		Buttons: []release.Offer{release.OfferApprove, release.OfferReject, release.OfferRollBack, release.OfferFreeze, release.OfferMarkWrong, release.OfferSnooze},
		Name:    "deploys", TokenFile: w.file, Channel: channel, URL: place.URL + "/api",
		CAFile: place.CAFile, ProxyURL: place.ProxyURL, Timeout: place.Timeout, Log: log,
	}
	return w
}

func (w *world) sink() *Sink {
	w.t.Helper()
	s, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) deliver(ref []byte, m release.Message) []byte {
	w.t.Helper()
	next, err := w.sink().Deliver(w.t.Context(), m, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

func (w *world) parent() slacktest.Message {
	w.t.Helper()
	p := w.slack.Parents(channel)
	if len(p) != 1 {
		w.t.Fatalf("%d messages stand in the channel", len(p))
	}
	return p[0]
}

// shown are the messages of the channel with their threads. Where Slack looks
// for no markup, < cannot begin any.
func (w *world) shown() (out []sinktest.Shown) {
	for _, m := range w.slack.Parents(channel) {
		text := strings.ReplaceAll(m.Plain(), "<", "‹") + "\n" + m.Markup()
		for _, r := range w.slack.Thread(m.TS) {
			text += "\n" + strings.ReplaceAll(r.Plain(), "<", "‹") + "\n" + r.Markup()
		}
		first, _, _ := strings.Cut(m.Text, "\n")
		out = append(out, sinktest.Shown{First: first, Text: text})
	}
	return out
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "Slack (receiver deploys)", SecretSetting: "token_file", Writes: "chat.postMessage", Changes: "chat.update",
		Raw: []string{"<!channel>", "<@U012>", "<https://evil.example", "<script>"},
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			w := newWorld(t, s)
			return sinktest.World{
				Start: func() sinktest.Sink { return w.sink() }, Door: &w.slack.Door, Shown: w.shown,
				Secrets: []string{token}, Log: w.log, Revoke: w.slack.Revoke,
			}
		},
	})
}

func TestTheParentIsChangedInPlaceAndTheThreadTellsTheStory(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.Offers = []release.Offer{release.OfferApprove, release.OfferReject}
	ref := w.deliver(nil, m)
	if n := len(w.parent().Buttons()); n != 2 {
		t.Errorf("%d buttons, not two", n)
	}
	next := sinktest.Then(m, release.SaysRollingBack, "shop/webapp goes back to 1.4.0")
	next.Offers = nil
	ref = w.deliver(ref, next)
	p := w.parent()
	if !strings.Contains(p.Plain(), "goes back") || len(p.Buttons()) != 0 || p.Edits != 1 {
		t.Errorf("the parent says, after %d changes and with %d buttons: %s", p.Edits, len(p.Buttons()), p.Plain())
	}
	w.deliver(ref, sinktest.Then(next, release.SaysRestored, "shop/webapp runs 1.4.0 again"))
	var told []string
	for _, r := range w.slack.Thread(p.TS) {
		if r.Text != "" {
			told = append(told, r.Text)
		}
	}
	if len(told) != 2 || !strings.Contains(told[0], "goes back") || !strings.Contains(told[1], "runs 1.4.0 again") {
		t.Errorf("the thread says %q", told)
	}
}

func TestOnlyWhatSomebodyDecidesHasAButton(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Buttons = []release.Offer{release.OfferReject}
	m := sinktest.Regressed("abc")
	m.Offers = []release.Offer{release.OfferApprove, release.OfferReject}
	w.deliver(nil, m)
	if b := w.parent().Buttons(); len(b) != 1 || b[0].ActionID != actionPrefix+"reject" {
		t.Errorf("got %+v", b)
	}
}

func TestTheCurveIsInTheThreadOnce(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Curves = true
	m := sinktest.Regressed("abc")
	ref := w.deliver(nil, m)
	w.deliver(ref, sinktest.Then(m, release.SaysRestored, "again"))
	w.deliver(nil, m) // as after a crash
	var files []slacktest.File
	for _, r := range w.slack.Thread(w.parent().TS) {
		files = append(files, r.Files...)
	}
	if len(files) != 1 || files[0].AltText == "" {
		t.Fatalf("%d files", len(files))
	}
	if _, err := png.Decode(bytes.NewReader(files[0].Content)); err != nil {
		t.Error(err)
	}
}

func TestWhatTheAppMayNotDoIsToldOnceAndTheMessageStands(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Curves = true
	w.slack.Forbid("files:write")
	w.slack.Forbid("channels:history")
	s := w.sink()
	for i := range 3 {
		if _, err := s.Deliver(t.Context(), sinktest.Regressed(release.ID(fmt.Sprint("r", i))), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.slack.Parents(channel)); n != 3 {
		t.Errorf("%d messages", n)
	}
	for _, scope := range []string{"files:write", "channels:history"} {
		if n := strings.Count(w.log(), scope); n < 1 || n > 2 {
			t.Errorf("%s is told of %d times:\n%s", scope, n, w.log())
		}
	}
}

func TestAChannelThatCannotBeWrittenToNamesTheWayOut(t *testing.T) {
	for title, c := range map[string]struct {
		channel slacktest.Channel
		want    string
	}{
		"archived":    {slacktest.Channel{ID: channel, Archived: true, Member: true}, "archived"},
		"not invited": {slacktest.Channel{ID: channel}, "/invite"},
		"another":     {slacktest.Channel{}, "set channel to"},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, sinktest.Settings{})
			w.slack.Put(c.channel)
			if c.channel.ID == "" {
				w.cfg.Channel = "C0NOSUCH"
			}
			_, err := w.sink().Deliver(t.Context(), sinktest.Regressed("abc"), nil)
			if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "receiver deploys") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestADeletedParentIsPostedAnew(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	ref := w.deliver(nil, m)
	w.slack.Delete(w.parent().TS)
	w.deliver(ref, sinktest.Then(m, release.SaysRestored, "again well"))
	if !strings.Contains(w.parent().Plain(), "again well") {
		t.Errorf("got %s", w.parent().Plain())
	}
}

func TestSlacksLimitIsKeptTo(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.slack.Limit(3*time.Second, 1)
	s := w.sink()
	if _, err := s.Deliver(t.Context(), sinktest.Regressed("one"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.Deliver(t.Context(), sinktest.Regressed("two"), nil)
	if after := release.RetryAfter(err); release.ErrorCode(err) != release.CodeRateLimited || after < time.Second || after > 3*time.Second {
		t.Fatalf("after %s: %v", after, err)
	}
	posts := func() (n int) {
		for _, r := range w.slack.Requests() {
			if strings.HasSuffix(r.Path, "chat.postMessage") {
				n++
			}
		}
		return n
	}
	before := posts()
	if _, err = s.Deliver(t.Context(), sinktest.Regressed("three"), nil); release.ErrorCode(err) != release.CodeRateLimited || release.RetryAfter(err) <= 0 {
		t.Errorf("while Slack wants to be left alone: %v", err)
	}
	if posts() != before {
		t.Error("Slack was asked although it wanted to be left alone")
	}
	if n := len(w.slack.Parents(channel)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// brokenTurns is a pace that cannot be asked.
type brokenTurns struct{}

func (brokenTurns) TakeTurn(context.Context, string, time.Duration, int, time.Duration) (time.Duration, bool, error) {
	return 0, false, errors.New("the database is away")
}

func (brokenTurns) HoldTurns(context.Context, string, time.Duration) error {
	return errors.New("the database is away")
}

func (brokenTurns) TurnsHeld(context.Context, string) (time.Duration, error) {
	return 0, errors.New("the database is away")
}

func TestWithoutTheSharedPaceAMessageGoesOutAtItsOwn(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Turns = brokenTurns{}
	w.slack.Limit(5*time.Second, 1)
	s := w.sink()
	if _, err := s.Deliver(t.Context(), sinktest.Regressed("one"), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.log(), "this one keeps to it by itself") {
		t.Errorf("logged %s", w.log())
	}
	if _, err := s.Deliver(t.Context(), sinktest.Regressed("two"), nil); release.ErrorCode(err) != release.CodeRateLimited {
		t.Fatalf("got %v", err)
	}
	asked := len(w.slack.Requests())
	if _, err := s.Deliver(t.Context(), sinktest.Regressed("three"), nil); release.ErrorCode(err) != release.CodeRateLimited || release.RetryAfter(err) <= 0 {
		t.Errorf("got %v", err)
	}
	if n := len(w.slack.Requests()); n != asked {
		t.Errorf("Slack was asked %d times although it wanted to be left alone", n-asked)
	}
}

func TestOwnTurnsAreOneASecondAfterABurst(t *testing.T) {
	var o ownTurns
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for i := range burst {
		if due, taken := o.take(now); !taken || due != 0 {
			t.Fatalf("turn %d of the burst: %s, %v", i, due, taken)
		}
	}
	if due, taken := o.take(now); !taken || due != interval {
		t.Errorf("after the burst: %s, %v", due, taken)
	}
	if due, taken := o.take(now); taken || due != 2*interval {
		t.Errorf("then: %s, %v", due, taken)
	}
	if due, taken := o.take(now.Add(10 * interval)); !taken || due != 0 {
		t.Errorf("later: %s, %v", due, taken)
	}
}

func TestWhoAcknowledgedStandsAboveTheButtonsAndInTheThread(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.Offers = []release.Offer{release.OfferRollBack, release.OfferMarkWrong, release.OfferSnooze, release.OfferFreeze}
	ref := w.deliver(nil, m)
	next := m
	next.Sequence++
	next.Acknowledged = &release.Acknowledgement{What: release.Acknowledged, Who: "Ada <!channel>", Where: "PagerDuty", At: time.Date(2026, 3, 4, 12, 1, 0, 0, time.UTC)}
	ref = w.deliver(ref, next)
	const words = "acknowledged by Ada <!channel> in PagerDuty, 2026-03-04 12:01 UTC"
	p := w.parent()
	if !strings.Contains(p.Plain(), words) || strings.Contains(p.Markup(), "<!channel>") || len(p.Buttons()) != 4 || p.Edits != 1 {
		t.Errorf("after %d changes, with %d buttons: %s", p.Edits, len(p.Buttons()), p.Plain())
	}
	if b := p.Blocks[len(p.Blocks)-2]; b.Type != "context" {
		t.Errorf("above the buttons is %s", b.Type)
	}
	told := w.slack.Thread(p.TS)
	if len(told) != 1 || !strings.HasSuffix(told[0].Text, "acknowledged by Ada &lt;!channel&gt; in PagerDuty, 2026-03-04 12:01 UTC") || strings.Contains(told[0].Plain(), m.Headline) {
		t.Errorf("the thread says %+v", told)
	}
	back := next
	back.Sequence, back.Acknowledged = next.Sequence+1, nil
	w.deliver(ref, back)
	if strings.Contains(w.parent().Plain(), "acknowledged") {
		t.Errorf("what was taken back stands: %s", w.parent().Plain())
	}
	// With blocks of one's own as well.
	own := next
	own.Release, own.Key, own.Own = "own", release.MessageKey("own"), release.OwnText{Blocks: `[{"type":"section","text":{"type":"mrkdwn","text":"mine"}}]`}
	w.deliver(nil, own)
	for _, p := range w.slack.Parents(channel) {
		if strings.Contains(p.Plain(), "mine") && !strings.Contains(p.Plain(), words) {
			t.Errorf("own blocks hide it: %s", p.Plain())
		}
	}
}

func TestErrorsOfSlackSayInFullWhatToDo(t *testing.T) {
	const at = "post message at Slack (receiver deploys): "
	for title, c := range map[string]struct {
		spoil func(w *world)
		want  string
	}{
		"a revoked token": {
			func(w *world) { w.slack.Revoke() },
			"read the channel at Slack (receiver deploys): put the Bot User OAuth Token of the app into token_file; it is shown under OAuth & Permissions: token_revoked",
		},
		"an archived channel": {
			func(w *world) { w.slack.Put(slacktest.Channel{ID: channel, Archived: true, Member: true}) },
			at + "the channel is archived: name another in channel: is_archived",
		},
		"a wrong channel": {
			func(w *world) { w.cfg.Channel = "C0NOSUCH" },
			"read the channel at Slack (receiver deploys): channel is not known to the app: set channel to the channel's id, and invite the app, if it is private: channel_not_found",
		},
		"a channel without the app": {
			func(w *world) { w.slack.Put(slacktest.Channel{ID: channel}) },
			"read the channel at Slack (receiver deploys): the app is not in the channel: invite it with /invite, or name another in channel: not_in_channel",
		},
		"a missing scope": {
			func(w *world) { w.slack.Forbid("chat:write") },
			at + "give the app the scope chat:write under OAuth & Permissions and install it again; token_file must hold its token: missing_scope",
		},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, sinktest.Settings{})
			c.spoil(w)
			_, err := w.sink().Deliver(t.Context(), sinktest.Regressed("abc"), nil)
			if release.ErrorCode(err) != release.CodeInvalid || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	for title, c := range map[string]struct {
		own  release.OwnText
		want []string
		log  string
	}{
		"a title and a text are mrkdwn":                            {release.OwnText{Title: "*oh dear*", Text: "see <https://wiki.example|the wiki>"}, []string{"*oh dear*", "see <https://wiki.example|the wiki>", sinktest.Page("abc")}, ""},
		"a long text is in more sections":                          {release.OwnText{Text: strings.Repeat("ä", 7000)}, []string{strings.Repeat("ä", 3000)}, ""},
		"blocks take the place of all":                             {release.OwnText{Blocks: `[{"type":"section","text":{"type":"mrkdwn","text":"mine"}}]`}, []string{"mine", "[Reject]"}, ""},
		"what is no JSON is told and the built-in message sent":    {release.OwnText{Blocks: `[{"type":`}, []string{"made things worse", "look at the commits"}, "template"},
		"what Slack refuses is told and the built-in message sent": {release.OwnText{Blocks: `[{"type":"header","text":{"type":"plain_text","text":"` + strings.Repeat("x", 151) + `"}}]`}, []string{"made things worse"}, "template"},
		"more blocks than Slack takes are cut":                     {release.OwnText{Blocks: "[" + strings.Repeat(`{"type":"divider"},`, 80) + `{"type":"divider"}]`}, []string{"[Reject]"}, ""},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, sinktest.Settings{})
			m := sinktest.Regressed("abc")
			m.Own, m.Offers = c.own, []release.Offer{release.OfferReject}
			ref := w.deliver(nil, m)
			for _, want := range c.want {
				if !strings.Contains(w.parent().Plain(), want) {
					t.Errorf("%q is not in %s", want, w.parent().Plain())
				}
			}
			if c.log == "" && w.log() != "" || !strings.Contains(w.log(), c.log) {
				t.Errorf("logged %s", w.log())
			}
			w.deliver(ref, sinktest.Then(m, release.SaysRestored, "again"))
		})
	}
}

func TestADigestHoldsADaysReleases(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Digest = true
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	healthy := func(i int) release.Message {
		m := sinktest.Regressed(release.ID(fmt.Sprintf("r%02d", i)))
		m.State, m.Headline, m.At, m.StartedAt = release.SaysVerifying, fmt.Sprintf("shop/webapp%02d <!channel> is being watched", i), at.Add(time.Duration(i)*time.Minute), at
		return m
	}
	refs := map[int][]byte{}
	for i := range 45 {
		refs[i] = w.deliver(nil, healthy(i))
	}
	w.deliver(refs[44], sinktest.Then(healthy(44), release.SaysHealthy, "shop/webapp44 is no worse"))
	p := w.parent()
	for _, want := range []string{"Releases of 2026-03-04: 45", "shop/webapp43 <!channel>", "webapp44 is no worse", "and 20 before"} {
		if !strings.Contains(p.Plain(), want) {
			t.Errorf("%q is not in %s", want, p.Plain())
		}
	}
	if strings.Contains(p.Markup(), "<!channel>") {
		t.Errorf("a name is more than text: %s", p.Markup())
	}
	// One that gets worse has a message of its own, and is marked in the digest.
	worse := sinktest.Then(healthy(43), release.SaysRegressed, "shop/webapp43 made things worse")
	ref := w.deliver(refs[43], worse)
	w.deliver(ref, sinktest.Then(worse, release.SaysRestored, "shop/webapp43 is well again"))
	parents := w.slack.Parents(channel)
	if len(parents) != 2 || !strings.Contains(parents[0].Plain(), "webapp43 is well again") || !strings.Contains(parents[1].Plain(), "webapp43 is well again") {
		t.Errorf("%d messages", len(parents))
	}
}

func TestAnUpdateThatComesLateIsDropped(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	later := sinktest.Then(m, release.SaysRestored, "well again")
	ref := w.deliver(nil, later)
	if got := w.deliver(ref, m); !bytes.Equal(got, ref) || !strings.Contains(w.parent().Plain(), "well again") {
		t.Errorf("%s: %s", got, w.parent().Plain())
	}
	if w.deliver(nil, m); !strings.Contains(w.parent().Plain(), "well again") {
		t.Errorf("found again, it was put back: %s", w.parent().Plain())
	}
}

func TestWhicheverAnswerIsLostNothingIsThereTwice(t *testing.T) {
	for skip := range 20 {
		w := newWorld(t, sinktest.Settings{})
		w.cfg.Curves = true
		m := sinktest.Regressed("abc")
		then := sinktest.Then(m, release.SaysRollingBack, "goes back")
		w.slack.Fail(standin.Fault{Lose: true, Skip: skip, Times: 1})
		lost := 0
		var ref []byte
		for _, step := range []release.Message{m, then} {
			next, err := w.sink().Deliver(t.Context(), step, ref)
			if err != nil {
				lost++
				if next, err = w.sink().Deliver(t.Context(), step, ref); err != nil {
					t.Fatal(err)
				}
			}
			ref = next
		}
		replies, files := 0, 0
		for _, r := range w.slack.Thread(w.parent().TS) {
			files += len(r.Files)
			if r.Text != "" {
				replies++
			}
		}
		if replies != 1 || files != 1 {
			t.Errorf("request %d: %d answers and %d files in the thread", skip, replies, files)
		}
		if lost == 0 {
			if skip < 8 {
				t.Errorf("only %d requests were made", skip)
			}
			return
		}
	}
	t.Error("the requests have no end")
}

func TestAnAnswerThatSaysNothingIsNone(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.slack.Fail(standin.Fault{Echo: true, On: "chat.postMessage"})
	if _, err := w.sink().Deliver(t.Context(), sinktest.Regressed("abc"), nil); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"url":        {Name: "deploys", TokenFile: "f", Channel: channel, URL: "slack"},
		"token_file": {Name: "deploys", Channel: channel},
		"channel":    {Name: "deploys", TokenFile: "f", Channel: "#deploys"},
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "deploys") {
			t.Errorf("%s: %v", want, err)
		}
	}
	w := newWorld(t, sinktest.Settings{})
	if _, err := w.sink().Deliver(t.Context(), sinktest.Regressed("abc"), []byte("no ref")); release.ErrorCode(err) != release.CodeInvalid {
		t.Errorf("another receiver's ref: %v", err)
	}
}
