package slacktest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// Block is a block of the kinds that are known here. Its fields are those that
// each kind may have; what else it has is refused.
type Block struct {
	Type      string            `json:"type"`
	BlockID   string            `json:"block_id,omitempty"`
	Text      *Text             `json:"text,omitempty"`
	Fields    []Text            `json:"fields,omitempty"`
	Expand    bool              `json:"expand,omitempty"`
	Elements  []json.RawMessage `json:"elements,omitempty"`
	ImageURL  string            `json:"image_url,omitempty"`
	SlackFile *struct {
		ID  string `json:"id,omitempty"`
		URL string `json:"url,omitempty"`
	} `json:"slack_file,omitempty"`
	AltText string `json:"alt_text,omitempty"`
	Title   *Text  `json:"title,omitempty"`
}

// Text is a text object.
type Text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim bool   `json:"verbatim,omitempty"`
}

// Button is a button of an actions block.
type Button struct {
	Type     string   `json:"type"`
	Text     Text     `json:"text"`
	ActionID string   `json:"action_id"`
	URL      string   `json:"url,omitempty"`
	Value    string   `json:"value,omitempty"`
	Style    string   `json:"style,omitempty"`
	Label    string   `json:"accessibility_label,omitempty"`
	Confirm  *Confirm `json:"confirm,omitempty"`
}

// Confirm is what is asked before a button counts.
type Confirm struct {
	Title   Text   `json:"title"`
	Text    Text   `json:"text"`
	Confirm Text   `json:"confirm"`
	Deny    Text   `json:"deny"`
	Style   string `json:"style,omitempty"`
}

// rich is an element of a rich text, of the kinds known here.
type rich struct {
	Type     string `json:"type"`
	Elements []rich `json:"elements,omitempty"`
	Text     string `json:"text,omitempty"`
	URL      string `json:"url,omitempty"`
	Style    any    `json:"style,omitempty"`
	Indent   int    `json:"indent,omitempty"`
	Border   int    `json:"border,omitempty"`
}

// checker gathers what is wrong with blocks.
type checker struct {
	problems []string
	at       string
}

func (c *checker) say(format string, args ...any) {
	c.problems = append(c.problems, "[ERROR] "+fmt.Sprintf(format, args...)+" [json-pointer:"+c.at+"]")
}

func (c *checker) length(what, text string, low, high int) {
	switch n := utf8.RuneCountInString(text); {
	case n < low:
		c.say("%s must be more than %d characters", what, low-1)
	case n > high:
		c.say("%s must be less than %d characters", what, high+1)
	}
}

func (c *checker) text(what string, t *Text, high int, plain bool) {
	switch {
	case t == nil:
		c.say("missing required field: %s", what)
		return
	case t.Type != "plain_text" && (plain || t.Type != "mrkdwn"):
		c.say("%s has the type %q", what, t.Type)
	case t.Type == "mrkdwn" && t.Emoji != nil, t.Type == "plain_text" && t.Verbatim:
		c.say("%s has a field that is not of its type", what)
	}
	c.length(what, t.Text, 1, high)
}

func check(blocks []Block) []string {
	c := &checker{}
	if len(blocks) > 50 {
		c.say("no more than 50 items allowed")
	}
	ids := map[string]bool{}
	for i, b := range blocks {
		c.at = fmt.Sprintf("/blocks/%d", i)
		c.length("block_id", b.BlockID, 0, 255)
		if b.BlockID != "" && ids[b.BlockID] {
			c.say("block_id %q is there twice", b.BlockID)
		}
		ids[b.BlockID] = true
		c.block(b)
	}
	return c.problems
}

func (c *checker) block(b Block) {
	if b.Type != "section" && (len(b.Fields) > 0 || b.Expand) || b.Type != "image" && (b.ImageURL != "" || b.SlackFile != nil || b.AltText != "" || b.Title != nil) ||
		b.Type != "section" && b.Type != "header" && b.Text != nil {
		c.say("a field is not one of a %s", b.Type)
	}
	switch b.Type {
	case "divider":
	case "header":
		c.text("text", b.Text, 150, true)
	case "section":
		if b.Text != nil || len(b.Fields) == 0 {
			c.text("text", b.Text, 3000, false)
		}
		if len(b.Fields) > 10 {
			c.say("no more than 10 fields allowed")
		}
		for _, f := range b.Fields {
			c.text("field", &f, 2000, false)
		}
	case "context":
		c.count(b, 10)
		for _, e := range b.Elements {
			var t Text
			if c.read(e, &t) {
				c.text("element", &t, 3000, false)
			}
		}
	case "actions":
		c.count(b, 25)
		c.buttons(b)
	case "image":
		if (b.ImageURL == "") == (b.SlackFile == nil) {
			c.say("an image needs one of image_url and slack_file")
		}
		c.length("image_url", b.ImageURL, 0, 3000)
		c.length("alt_text", b.AltText, 1, 2000)
		if b.Title != nil {
			c.text("title", b.Title, 2000, true)
		}
	case "rich_text":
		c.richText(b)
	default:
		c.say("unsupported type: %s", b.Type)
	}
}

func (c *checker) count(b Block, high int) {
	if n := len(b.Elements); n == 0 || n > high {
		c.say("%s must have 1 to %d elements", b.Type, high)
	}
}

func (c *checker) read(raw json.RawMessage, out any) bool {
	if err := standin.Strict(raw, out); err != nil {
		c.say("%v", err)
		return false
	}
	return true
}

// Buttons are the buttons of a message.
func (m Message) Buttons() (out []Button) {
	for _, b := range m.Blocks {
		if b.Type != "actions" {
			continue
		}
		for _, raw := range b.Elements {
			var button Button
			if standin.Strict(raw, &button) == nil {
				out = append(out, button)
			}
		}
	}
	return out
}

func (c *checker) buttons(b Block) {
	ids := map[string]bool{}
	for _, raw := range b.Elements {
		var e Button
		if !c.read(raw, &e) {
			continue
		}
		if e.Type != "button" || (e.Style != "" && e.Style != "primary" && e.Style != "danger") {
			c.say("invalid button")
		}
		c.text("button text", &e.Text, 75, true)
		c.length("action_id", e.ActionID, 1, 255)
		if ids[e.ActionID] {
			c.say("action_id %q is there twice", e.ActionID)
		}
		ids[e.ActionID] = true
		c.length("value", e.Value, 0, 2000)
		c.length("url", e.URL, 0, 3000)
		c.length("accessibility_label", e.Label, 0, 75)
		if q := e.Confirm; q != nil {
			c.text("confirm.title", &q.Title, 100, true)
			c.text("confirm.text", &q.Text, 300, false)
			c.text("confirm.confirm", &q.Confirm, 30, true)
			c.text("confirm.deny", &q.Deny, 30, true)
		}
	}
}

func (c *checker) richText(b Block) {
	if len(b.Elements) == 0 {
		c.say("rich_text must have elements")
	}
	total := 0
	for _, raw := range b.Elements {
		var e rich
		if !c.read(raw, &e) {
			continue
		}
		switch e.Type {
		case "rich_text_section", "rich_text_preformatted", "rich_text_quote":
			total += c.inline(e.Elements)
		case "rich_text_list":
			for _, item := range e.Elements {
				total += c.inline(item.Elements)
			}
		default:
			c.say("unsupported element: %s", e.Type)
		}
	}
	// Slack names no limit for rich text; it is held to that of a section.
	if total > 3000 {
		c.say("text must be less than 3001 characters")
	}
}

func (c *checker) inline(elements []rich) (total int) {
	for _, e := range elements {
		u, err := url.Parse(e.URL)
		switch {
		case e.Type == "text" && e.Text != "" && e.URL == "":
		case e.Type == "link" && err == nil && (u.Scheme == "http" || u.Scheme == "https") && len(e.URL) <= 3000:
		default:
			c.say("invalid element of rich text: %q", e.Type)
		}
		total += utf8.RuneCountInString(e.Text)
	}
	return total
}

// Plain is what a person reads of a message: its blocks in their order, markup
// of mrkdwn as it stands, or its text where it has no blocks.
func (m Message) Plain() string {
	if len(m.Blocks) == 0 {
		return m.Text
	}
	var lines []string
	for _, b := range m.Blocks {
		if b.Text != nil {
			lines = append(lines, b.Text.Text)
		}
		for _, f := range b.Fields {
			lines = append(lines, f.Text)
		}
		for _, raw := range b.Elements {
			lines = append(lines, words(raw))
		}
	}
	return strings.Join(lines, "\n")
}

func words(raw json.RawMessage) string {
	var button Button
	if standin.Strict(raw, &button) == nil && button.Type == "button" {
		return "[" + button.Text.Text + "]"
	}
	var e rich
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	var b strings.Builder
	var walk func(rich)
	walk = func(e rich) {
		b.WriteString(e.Text)
		if e.URL != "" {
			b.WriteString(" (" + e.URL + ")")
		}
		for _, inner := range e.Elements {
			walk(inner)
			if inner.Type == "rich_text_section" {
				b.WriteString("\n")
			}
		}
	}
	walk(e)
	return b.String()
}

// Markup is the text of a message in which Slack looks for markup: mentions,
// links, emphasis.
func (m Message) Markup() string {
	lines := []string{m.Text}
	for _, b := range m.Blocks {
		for _, t := range append([]Text{}, b.Fields...) {
			if t.Type == "mrkdwn" {
				lines = append(lines, t.Text)
			}
		}
		if b.Text != nil && b.Text.Type == "mrkdwn" {
			lines = append(lines, b.Text.Text)
		}
		for _, raw := range b.Elements {
			var t Text
			if json.Unmarshal(raw, &t) == nil && t.Type == "mrkdwn" {
				lines = append(lines, t.Text)
			}
		}
	}
	return strings.Join(lines, "\n")
}
