package slack

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

// Slack's limits in characters, with room for what goes with a text.
const (
	maxText    = 3000
	maxPart    = 700  // of a part of a message
	maxList    = 2500 // of how bad it is, and of members
	maxHeader  = 150
	maxURL     = 2000
	maxLinks   = 10
	maxConfirm = 280
	maxBlocks  = 50
	maxOwn     = 10 // sections of a template's text
)

// signs stand before the headline, so that a list of messages can be scanned.
var signs = map[release.MessageState]string{
	release.SaysVerifying: "⏳", release.SaysHealthy: "✅", release.SaysInsufficient: "⚪", release.SaysSourceBroken: "⚫",
	release.SaysRegressed: "🔴", release.SaysWaiting: "🟠", release.SaysRollingBack: "🟡", release.SaysRestored: "🟢",
	release.SaysNotHelped: "🔴", release.SaysSuperseded: "⚪", release.SaysRecovered: "✅",
}

// look is what a message says and shows. All of it that comes from outside is
// plain text, which Slack takes for nothing more, and the text for
// notifications is escaped. Its error is that of a template.
func (s *Sink) look(m release.Message) ([]api.MsgOption, error) {
	if m.Test {
		m.Own = release.OwnText{}
	}
	blocks, err := s.blocks(m)
	if err != nil {
		return nil, err
	}
	return []api.MsgOption{
		api.MsgOptionText(plain.Headline(m), true), api.MsgOptionDisableMarkdown(), api.MsgOptionBlocks(blocks...),
		api.MsgOptionDisableLinkUnfurl(), api.MsgOptionDisableMediaUnfurl(),
	}, nil
}

func (s *Sink) blocks(m release.Message) ([]api.Block, error) {
	if m.Own.Blocks != "" {
		var own api.Blocks
		if err := json.Unmarshal([]byte(m.Own.Blocks), &own); err != nil {
			return nil, release.E(release.CodeInvalid, "slack receiver "+s.cfg.Name+": the template of blocks makes no JSON array of blocks", err)
		}
		return append(append(own.BlockSet[:min(len(own.BlockSet), maxBlocks-2)], seenTo(m)...), s.buttons(m)...), nil
	}
	out := []api.Block{api.NewHeaderBlock(words(plain.Cut(cmp.Or(signs[m.State], "•")+" "+plain.Headline(m), maxHeader)))}
	if m.Own.Title != "" {
		out[0] = section(plain.Cut(m.Own.Title, maxText))
	}
	if m.Own.Text != "" {
		out = append(out, own(m.Own.Text)...)
	} else {
		for _, p := range plain.Parts(m) {
			if p.Field != "acknowledged" { // see seenTo
				out = append(out, part(p, m))
			}
		}
	}
	if l := links(m); l != nil {
		out = append(out, l)
	}
	return append(append(out, seenTo(m)...), s.buttons(m)...), nil
}

// seenTo is who sees to the incident, just above the buttons.
func seenTo(m release.Message) []api.Block {
	if m.Acknowledged == nil {
		return nil
	}
	return []api.Block{api.NewContextBlock("", words(plain.Cut(m.Acknowledged.Words(), maxPart)))}
}

func words(text string) *api.TextBlockObject {
	return api.NewTextBlockObject(api.PlainTextType, text, false, false)
}

func section(mrkdwn string) api.Block {
	return api.NewSectionBlock(api.NewTextBlockObject(api.MarkdownType, mrkdwn, false, false), nil, nil)
}

// own is the text of a template, in as many sections as it needs.
func own(text string) []api.Block {
	var out []api.Block
	runes := []rune(text)
	for len(runes) > 0 && len(out) < maxOwn {
		n := min(len(runes), maxText)
		out = append(out, section(string(runes[:n])))
		runes = runes[n:]
	}
	return out
}

// part is one thing the message says, as rich text, in which nothing is markup.
func part(p plain.Part, m release.Message) api.Block {
	limit := maxPart
	if len(p.Texts) > 1 {
		limit = maxList
	}
	elements := []api.RichTextSectionElement{api.NewRichTextSectionTextElement(p.Name+"\n", &api.RichTextSectionTextStyle{Bold: true})}
	each := limit / len(p.Texts)
	cut := false
	for i, t := range p.Texts {
		short := plain.Cut(t, max(each, 20))
		cut = cut || short != t
		if i > 0 {
			short = "\n" + short
		}
		elements = append(elements, api.NewRichTextSectionTextElement(short, nil))
	}
	if page := m.URL(release.LinkRelease); cut && addressable(page) {
		elements = append(elements, api.NewRichTextSectionTextElement(" ", nil), api.NewRichTextSectionLinkElement(page, "more", nil))
	}
	return api.NewRichTextBlock("", api.NewRichTextSection(elements...))
}

func links(m release.Message) api.Block {
	var elements []api.RichTextSectionElement
	for _, l := range m.Links {
		if !addressable(l.URL) || len(elements) >= 2*maxLinks {
			continue
		}
		if elements != nil {
			elements = append(elements, api.NewRichTextSectionTextElement("  ·  ", nil))
		}
		elements = append(elements, api.NewRichTextSectionLinkElement(l.URL, plain.Cut(cmp.Or(l.Title, string(l.Kind)), 60), nil))
	}
	if elements == nil {
		return nil
	}
	return api.NewRichTextBlock("", api.NewRichTextSection(elements...))
}

func addressable(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && len(text) <= maxURL
}

// A button's action says what is asked for; its value, which release and which
// message of it, and nothing else.
const actionPrefix = "watchtower:"

var offers = map[release.Offer]struct {
	label, ask string
	style      api.Style
}{
	release.OfferApprove:   {"Approve rollback", "The last good version is put back.", api.StylePrimary},
	release.OfferReject:    {"Reject", "The release stays as it is; nothing is rolled back.", api.StyleDefault},
	release.OfferRollBack:  {"Roll back", "The last good version is put back, with the checks of every rollback.", api.StyleDanger},
	release.OfferFreeze:    {"Freeze rollbacks", "Nothing is rolled back for four hours, wherever it is.", api.StyleDefault},
	release.OfferMarkWrong: {"Verdict is wrong", "It counts as a false alarm: the alert ends, and nothing is rolled back for it any more.", api.StyleDefault},
	release.OfferSnooze:    {"Snooze 1 h", "Nothing more is said of this release here for an hour, but its end.", api.StyleDefault},
}

func (s *Sink) buttons(m release.Message) []api.Block {
	if m.Test || m.Release == "" {
		return nil
	}
	var out []api.BlockElement
	for i, o := range m.Offers {
		look, ok := offers[o]
		if !ok || !slices.Contains(s.cfg.Buttons, o) || slices.Contains(m.Offers[:i], o) {
			continue
		}
		b := api.NewButtonBlockElement(actionPrefix+string(o), string(m.Release)+"."+strconv.Itoa(m.Sequence), words(look.label))
		if look.style != api.StyleDefault {
			b.WithStyle(look.style)
		}
		ask := look.ask + " " + plain.Place(m) + ", " + m.To
		b.WithConfirm(api.NewConfirmationBlockObject(words(look.label+"?"), words(plain.Cut(ask, maxConfirm)), words(look.label), words("Cancel")))
		out = append(out, b)
	}
	if out == nil {
		return nil
	}
	return []api.Block{api.NewActionBlock("", out...)}
}
