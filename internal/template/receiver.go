package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Texts are the templates of one receiver; "" is none.
type Texts struct{ Title, Text, Blocks string }

// Receiver fills in the templates of one receiver.
type Receiver struct {
	name, externalURL  string
	escape             func(string) string
	title, text, block *Template
}

// Fault is what is wrong with one of a receiver's templates.
type Fault struct {
	Setting string // "title", "text", "blocks"
	Err     error
}

func (f Fault) Error() string { return f.Setting + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f Fault) Unwrap() error { return f.Err }

// NewReceiver reads a receiver's templates. escape makes a text say what it says
// in the receiver's markup; nil where that is plain text. The errors are Faults.
func (s *Set) NewReceiver(name, externalURL string, t Texts, escape func(string) string) (*Receiver, []error) {
	r := &Receiver{name: name, externalURL: externalURL, escape: escape}
	var faults []error
	for _, one := range []struct {
		setting, text string
		to            **Template
	}{{"title", t.Title, &r.title}, {"text", t.Text, &r.text}, {"blocks", t.Blocks, &r.block}} {
		if one.text == "" {
			continue
		}
		tmpl, err := s.Template(one.setting, one.text)
		if err != nil {
			faults = append(faults, Fault{one.setting, err})
			continue
		}
		*one.to = tmpl
	}
	return r, faults
}

// Fill fills the templates in. What cannot be filled in is "", so that the
// receiver's built-in text takes its place, and among the errors, which are
// Faults.
func (r *Receiver) Fill(m release.Message) (release.OwnText, []error) { return r.fill(m, false) }

func (r *Receiver) fill(m release.Message, strict bool) (own release.OwnText, faults []error) {
	data := DataOf(m, r.name, r.externalURL, r.escape)
	if strict { // then what is missing is a slip, which an issue that is not opened yet is not
		for _, name := range message.AnnotationNames {
			for _, kv := range []map[string]string{data.CommonAnnotations, data.Alerts[0].Annotations} {
				if _, ok := kv[name]; !ok {
					kv[name] = ""
				}
			}
		}
	}
	render := func(setting string, t *Template, check func(string) error) string {
		if t == nil {
			return ""
		}
		out, err := t.Render(data, strict)
		if err == nil {
			err = check(out)
		}
		if err != nil {
			faults = append(faults, Fault{setting, err})
			return ""
		}
		return out
	}
	own.Title = release.OneLine(strings.Join(strings.Fields(render("title", r.title, notEmpty)), " "), 1000)
	own.Text = strings.TrimSpace(render("text", r.text, notEmpty))
	own.Blocks = strings.TrimSpace(render("blocks", r.block, blocks))
	return own, faults
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("the text is empty: remove the template to have the built-in one")
	}
	return nil
}

// maxBlocks is what Slack takes.
const maxBlocks = 50

// blocks checks that a text is a list of Slack blocks.
func blocks(s string) error {
	var list []struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return fmt.Errorf("this is no JSON list of Slack blocks: %w; write [{\"type\": \"section\", …}] and have texts filled in as {{ .Headline | toJson }}, without quotes around it", err)
	}
	if len(list) == 0 || len(list) > maxBlocks {
		return fmt.Errorf("these are %d Slack blocks: use 1 to %d", len(list), maxBlocks)
	}
	for i, b := range list {
		if b.Type == "" {
			return fmt.Errorf("block %d has no type", i+1)
		}
	}
	return nil
}

// Check fills the templates in for a message of every state and for one with
// names that are up to no good, and answers with what is wrong, each once. The
// labels are those a message may carry of a workload.
func (r *Receiver) Check(places message.Places, labels []string) []error {
	carried := map[string]string{}
	for _, l := range labels {
		carried[l] = "example"
	}
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	samples := message.Samples(now, places, carried)
	hostile := samples[4]
	hostile.Headline = "shop/\"web\"\\ <!channel> & v2 → v3 regressed: {{ .Headline }}"
	samples = append(samples, hostile)
	var out []error
	told := map[string]bool{}
	for _, m := range samples {
		_, faults := r.fill(m, true)
		for _, f := range faults {
			var fault Fault
			if errors.As(f, &fault) && !told[fault.Setting] {
				told[fault.Setting] = true
				out = append(out, Fault{fault.Setting, fmt.Errorf("of a message %q: %w", m.State, fault.Err)})
			}
		}
	}
	return out
}

// SlackEscape makes a text say what it says in Slack's mrkdwn: no mention, no link.
func SlackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
