package slack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

const (
	digestType = "watchtower_digest"
	// Releases that a digest names; it counts the others. Slack refuses metadata
	// that are large without a word of how large that is.
	maxEntries = 25
	maxEntry   = 90  // characters
	maxPage    = 200 // bytes
)

// entry is a release in a digest, as its metadata keep it.
type entry struct {
	State release.MessageState `json:"state"`
	Text  string               `json:"text"`
	Page  string               `json:"page,omitempty"`
	At    int64                `json:"at"` // Unix seconds
}

// digest is the message of a day: its entries by release, and how many there
// were that it no longer names.
type digest struct {
	Key     string               `json:"key"`
	Entries map[release.ID]entry `json:"entries"`
	Older   int                  `json:"older"`
	ts      string               // "": it is not posted yet
}

// digest writes the release into the digest of its day. What the digest holds
// is kept in its metadata, so that every replica adds to the same one; two that
// do so at the same moment may overwrite each other's line until the release's
// next message.
func (c *conn) digest(ctx context.Context, m release.Message, day string) (string, error) {
	c.sink.digests.Lock()
	defer c.sink.digests.Unlock()
	day = cmp.Or(day, m.At.UTC().Format(time.DateOnly))
	d, err := c.readDigest(ctx, day)
	if err != nil {
		return day, err
	}
	e := entry{State: m.State, Text: plain.Cut(plain.Headline(m), maxEntry), Page: m.URL(release.LinkRelease), At: m.At.Unix()}
	if len(e.Page) > maxPage {
		e.Page = ""
	}
	d.Entries[m.Release] = e
	for len(d.Entries) > maxEntries {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(d.Entries)), func(a, b release.ID) int {
			return cmp.Or(cmp.Compare(d.Entries[a].At, d.Entries[b].At), cmp.Compare(a, b))
		})
		delete(d.Entries, oldest)
		d.Older++
	}
	return day, c.writeDigest(ctx, day, d)
}

func (c *conn) readDigest(ctx context.Context, day string) (digest, error) {
	d := digest{Key: "digest/" + day, Entries: map[release.ID]entry{}}
	from, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return d, release.E(release.CodeInvalid, service(c.sink.cfg.Name)+": the day of a digest is no day", err)
	}
	p := api.GetConversationHistoryParameters{ChannelID: c.sink.cfg.Channel, Oldest: stamp(from.Add(-skew)), Limit: pageSize, IncludeAllMetadata: true}
	for range maxPages {
		page, err := c.GetConversationHistoryContext(ctx, &p)
		if err != nil || !page.Ok {
			return d, c.answered("read the digest", err, "")
		}
		for _, msg := range page.Messages {
			if msg.Metadata.EventType != digestType || msg.Metadata.EventPayload["key"] != d.Key {
				continue
			}
			d.ts = msg.Timestamp
			return d, d.read(msg.Metadata.EventPayload)
		}
		if p.Cursor = page.ResponseMetaData.NextCursor; p.Cursor == "" {
			break
		}
	}
	return d, nil
}

func (d *digest) read(payload map[string]any) error {
	text, err := json.Marshal(payload)
	if err == nil {
		err = json.Unmarshal(text, d)
	}
	if d.Entries == nil {
		d.Entries = map[release.ID]entry{}
	}
	if err != nil {
		return release.E(release.CodeInvalid, "slack: the metadata of a digest are not ours", err)
	}
	return nil
}

func (c *conn) writeDigest(ctx context.Context, day string, d digest) error {
	payload := map[string]any{"key": d.Key, "entries": d.Entries, "older": d.Older}
	title := fmt.Sprintf("Releases of %s: %d", day, len(d.Entries)+d.Older)
	options := []api.MsgOption{
		api.MsgOptionText(title, true), api.MsgOptionBlocks(digestBlocks(title, d)...), api.MsgOptionDisableLinkUnfurl(),
		api.MsgOptionMetadata(api.SlackMetadata{EventType: digestType, EventPayload: payload}),
	}
	if d.ts != "" {
		_, ts, _, err := c.UpdateMessageContext(ctx, c.sink.cfg.Channel, d.ts, options...)
		return c.answered("change the digest", err, ts)
	}
	if err := c.sink.pace.wait(ctx, "post the digest at "+service(c.sink.cfg.Name)); err != nil {
		return err
	}
	_, ts, err := c.PostMessageContext(ctx, c.sink.cfg.Channel, options...)
	return c.answered("post the digest", err, ts)
}

// digestBlocks are one line for each release, the newest first.
func digestBlocks(title string, d digest) []api.Block {
	out := []api.Block{api.NewHeaderBlock(words(plain.Cut(title, maxHeader)))}
	ids := slices.SortedFunc(maps.Keys(d.Entries), func(a, b release.ID) int {
		return cmp.Or(-cmp.Compare(d.Entries[a].At, d.Entries[b].At), cmp.Compare(a, b))
	})
	for chunk := range slices.Chunk(ids, 10) {
		var elements []api.RichTextSectionElement
		for i, id := range chunk {
			e := d.Entries[id]
			line := cmp.Or(signs[e.State], "•") + " " + time.Unix(e.At, 0).UTC().Format("15:04") + "  "
			if i > 0 {
				line = "\n" + line
			}
			elements = append(elements, api.NewRichTextSectionTextElement(line, nil))
			if addressable(e.Page) {
				elements = append(elements, api.NewRichTextSectionLinkElement(e.Page, e.Text, nil))
			} else {
				elements = append(elements, api.NewRichTextSectionTextElement(e.Text, nil))
			}
		}
		out = append(out, api.NewRichTextBlock("", api.NewRichTextSection(elements...)))
	}
	if d.Older > 0 {
		out = append(out, api.NewRichTextBlock("", api.NewRichTextSection(api.NewRichTextSectionTextElement(fmt.Sprintf("and %d before", d.Older), nil))))
	}
	return out
}
