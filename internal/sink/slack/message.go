package slack

import (
	"context"
	"strconv"
	"time"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/curve"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

const (
	// eventType names our metadata among those of other apps.
	eventType = "watchtower_message"
	// A message is looked for as far back as this before its rollout began: the
	// clocks here and at Slack may differ.
	skew      = 10 * time.Minute
	pageSize  = 200
	maxPages  = 10
	maxThread = 1000
)

// mark is the metadata of a message.
func mark(m release.Message) api.MsgOption {
	return api.MsgOptionMetadata(api.SlackMetadata{EventType: eventType, EventPayload: map[string]any{
		"key": m.Key, "sequence": m.Sequence, "first": m.Sequence,
	}})
}

// marked reads the metadata of a message; ok is false where it is not of the key.
func marked(msg api.Message, key string) (sequence, first int, ok bool) {
	p := msg.Metadata.EventPayload
	if msg.Metadata.EventType != eventType || p["key"] != key {
		return 0, 0, false
	}
	return number(p["sequence"]), number(p["first"]), true
}

func number(v any) int {
	f, _ := v.(float64)
	return int(f)
}

// find looks for a message of the key that was posted although nobody was told.
// Without the scope to read the channel it finds nothing, and a lost answer
// leads to a second message.
func (c *conn) find(ctx context.Context, m release.Message, at memory) (memory, error) {
	oldest := m.StartedAt
	if oldest.IsZero() {
		oldest = m.At
	}
	msg, err := c.search(ctx, m.Key, oldest.Add(-skew))
	if forbidden(err) {
		c.sink.once("the app cannot read the channel, so that a message whose answer is lost may be posted twice: give it the scope channels:history (groups:history for a private channel)", err)
		return at, nil
	}
	if err != nil || msg == nil {
		return at, err
	}
	at.TS = msg.Timestamp
	at.Sequence, at.First, _ = marked(*msg, m.Key)
	return at, nil
}

// search goes back through the channel, the newest messages first.
func (c *conn) search(ctx context.Context, key string, oldest time.Time) (*api.Message, error) {
	p := api.GetConversationHistoryParameters{ChannelID: c.sink.cfg.Channel, Oldest: stamp(oldest), Limit: pageSize, IncludeAllMetadata: true}
	for range maxPages {
		page, err := c.GetConversationHistoryContext(ctx, &p)
		if err != nil || !page.Ok {
			return nil, c.answered("read the channel", err, "")
		}
		for _, msg := range page.Messages {
			if _, _, ok := marked(msg, key); ok {
				return &msg, nil
			}
		}
		if p.Cursor = page.ResponseMetaData.NextCursor; p.Cursor == "" {
			return nil, nil
		}
	}
	return nil, nil
}

func stamp(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', 6, 64)
}

// answered is the fault of a call. Slack's client takes an answer for good that
// says neither that it is nor what is wrong; then what it should have said is
// empty.
func (c *conn) answered(what string, err error, got string) error {
	if err != nil || got != "" {
		return c.fault(what, err)
	}
	return release.E(release.CodeUnavailable, what+" at "+service(c.sink.cfg.Name)+": the answer is not Slack's: see url of the receiver", nil)
}

func (c *conn) post(ctx context.Context, m release.Message) (ts string, err error) {
	return c.say(ctx, m, "post message", mark(m))
}

// say posts a message, and once more with the built-in blocks where Slack does
// not take those of a template.
func (c *conn) say(ctx context.Context, m release.Message, what string, more ...api.MsgOption) (ts string, err error) {
	if err := c.sink.pace.wait(ctx, what+" at "+service(c.sink.cfg.Name)); err != nil {
		return "", err
	}
	err = c.dressed(m, func(look []api.MsgOption) error {
		var posted error
		_, ts, posted = c.PostMessageContext(ctx, c.sink.cfg.Channel, append(look, more...)...)
		return c.answered(what, posted, ts)
	})
	return ts, err
}

// update changes the parent in place.
func (c *conn) update(ctx context.Context, m release.Message, at memory) error {
	meta := api.MsgOptionMetadata(api.SlackMetadata{EventType: eventType, EventPayload: map[string]any{
		"key": m.Key, "sequence": m.Sequence, "first": at.First,
	}})
	return c.dressed(m, func(look []api.MsgOption) error {
		_, ts, _, err := c.UpdateMessageContext(ctx, c.sink.cfg.Channel, at.TS, append(look, meta)...)
		return c.answered("change message", err, ts)
	})
}

// dressed tries a message with the blocks of the user's template, and with the
// built-in ones where Slack refuses those: what a template spoils is told
// nevertheless.
func (c *conn) dressed(m release.Message, try func([]api.MsgOption) error) error {
	look, err := c.sink.look(m)
	if err == nil {
		err = try(look)
		if code := said(err); code != "invalid_blocks" && code != "invalid_blocks_format" || m.Own == (release.OwnText{}) {
			return err
		}
	}
	c.sink.cfg.Log.Warn("slack: the template of the receiver makes a message that Slack does not take; the built-in one is sent", "receiver", c.sink.cfg.Name, "err", err)
	m.Own = release.OwnText{}
	if look, err = c.sink.look(m); err != nil {
		return err
	}
	return try(look)
}

// thread tells below the parent what became of it, and shows its curve once. It
// looks first at what is there already. at is what was told before.
func (c *conn) thread(ctx context.Context, m release.Message, at memory) error {
	drawable := c.sink.cfg.Curves && !m.Test && curve.Has(m)
	tell := m.Sequence > at.First
	if !tell && !drawable {
		return nil
	}
	name := "curve-" + string(m.Release) + ".png"
	told, shown, err := c.replies(ctx, m, at.TS, name)
	if err != nil {
		return err
	}
	if tell && !told {
		if err := c.reply(ctx, m, at); err != nil {
			return err
		}
	}
	if !drawable || shown {
		return nil
	}
	picture, drawn, err := curve.Of(m)
	if err != nil {
		c.sink.cfg.Log.Warn("slack: a curve could not be drawn", "receiver", c.sink.cfg.Name, "err", err)
	}
	if !drawn {
		return nil
	}
	return c.upload(ctx, picture, name, at.TS)
}

func (c *conn) reply(ctx context.Context, m release.Message, at memory) error {
	what := "answer in the thread"
	if err := c.sink.pace.wait(ctx, what+" at "+service(c.sink.cfg.Name)); err != nil {
		return err
	}
	text := m.At.UTC().Format("15:04:05 UTC") + "  " + news(m, at)
	_, posted, err := c.PostMessageContext(ctx, c.sink.cfg.Channel,
		api.MsgOptionTS(at.TS), api.MsgOptionText(plain.Cut(text, maxText), true), api.MsgOptionDisableMarkdown(), api.MsgOptionDisableLinkUnfurl(), mark(m))
	return c.answered(what, err, posted)
}

// news are what a message says that the one before did not.
func news(m release.Message, at memory) string {
	if m.Acknowledged != nil && m.State == at.State && m.Acknowledged.At.Unix() != at.Ack {
		return m.Acknowledged.Words()
	}
	text := plain.Headline(m)
	if m.Did != "" {
		text += "\n" + m.Did
	}
	return text
}

// replies looks through the thread for the answer of the message's sequence and
// for its curve.
func (c *conn) replies(ctx context.Context, m release.Message, ts, file string) (told, shown bool, err error) {
	p := api.GetConversationRepliesParameters{ChannelID: c.sink.cfg.Channel, Timestamp: ts, Limit: maxThread - 1, IncludeAllMetadata: true}
	msgs, _, _, err := c.GetConversationRepliesContext(ctx, &p)
	if err != nil {
		if err = c.fault("read the thread", err); forbidden(err) {
			return false, false, nil
		}
		return false, false, err
	}
	if len(msgs) == 0 { // the parent is always among them
		return false, false, c.answered("read the thread", nil, "")
	}
	for _, msg := range msgs {
		if sequence, _, ok := marked(msg, m.Key); ok && msg.Timestamp != ts && sequence >= m.Sequence {
			told = true
		}
		for _, f := range msg.Files {
			shown = shown || f.Name == file
		}
	}
	return told, shown, nil
}

// upload shows the curve in the thread. Where files are not allowed the message
// stands without.
func (c *conn) upload(ctx context.Context, p curve.Picture, name, ts string) error {
	_, err := c.UploadFileContext(ctx, api.UploadFileParameters{
		Filename: name, FileSize: len(p.PNG), Content: string(p.PNG), Title: "How it went", AltTxt: p.Alt, Channel: c.sink.cfg.Channel, ThreadTimestamp: ts,
	})
	if err = c.fault("upload a curve", err); forbidden(err) {
		c.sink.once("the app may not upload files, so that messages have no curve: give it the scope files:write, or set curves to false", err)
		return nil
	}
	return err
}
