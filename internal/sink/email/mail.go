package email

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"html/template"
	stdmail "net/mail"
	"net/url"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

const (
	maxSubject = 200  // characters
	maxPart    = 4000 // characters of a part
	maxOwn     = 100_000
	maxURL     = 2000 // bytes
	maxLinks   = 20
)

// mail is the mail of a message. Its id is that of the key and the sequence; it
// refers to the key's first, which mail programs need not have.
func (s *Sink) mail(m release.Message, to []*stdmail.Address) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to...)
	own := plain.Cut(m.Own.Text, maxOwn)
	asHTML := strings.HasPrefix(strings.TrimSpace(own), "<")
	title := plain.Title(m)
	if asHTML { // its names were escaped with those of the text
		title = html.UnescapeString(title)
	}
	msg.Subject(release.OneLine(title, maxSubject))
	msg.SetDateWithValue(m.At)
	msg.SetMessageIDWithValue(s.id(m.Key, strconv.Itoa(m.Sequence)))
	root := "<" + s.id(m.Key, "0") + ">"
	msg.SetGenHeader(mail.HeaderInReplyTo, root)
	msg.SetGenHeader(mail.HeaderReferences, root)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	view := viewOf(m)
	var text, page strings.Builder
	view.text(&text)
	if err := pageTemplate.Execute(&page, view); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	switch {
	case m.Test || own == "":
	case asHTML:
		page.Reset()
		page.WriteString(own)
	default:
		text.Reset()
		text.WriteString(own + "\n")
		page.Reset()
		page.WriteString("<!doctype html><pre style=\"white-space:pre-wrap\">" + template.HTMLEscapeString(own) + "</pre>")
	}
	msg.SetBodyString(mail.TypeTextPlain, text.String())
	msg.AddAlternativeString(mail.TypeTextHTML, page.String())
	return msg, nil
}

// id is a Message-ID without its brackets, the same wherever and whenever it is
// made.
func (s *Sink) id(key, sequence string) string {
	sum := sha256.Sum256([]byte(s.cfg.Name + "\x00" + key))
	domain := s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:]
	return "watchtower." + hex.EncodeToString(sum[:12]) + "." + sequence + "@" + domain
}

// view is what a mail shows.
type view struct {
	Headline string
	Parts    []plain.Part
	Links    []release.Link
}

func viewOf(m release.Message) view {
	v := view{Headline: plain.Headline(m)}
	for _, p := range plain.Parts(m) {
		for i, t := range p.Texts {
			p.Texts[i] = plain.Cut(t, maxPart/len(p.Texts)+20)
		}
		v.Parts = append(v.Parts, p)
	}
	for _, l := range m.Links {
		u, err := url.Parse(l.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || len(l.URL) > maxURL || len(v.Links) == maxLinks {
			continue
		}
		if l.Title == "" {
			l.Title = string(l.Kind)
		}
		l.Title = plain.Cut(l.Title, 100)
		v.Links = append(v.Links, l)
	}
	return v
}

func (v view) text(b *strings.Builder) {
	b.WriteString(v.Headline + "\n")
	for _, p := range v.Parts {
		b.WriteString("\n" + p.Name + ":\n")
		for _, t := range p.Texts {
			b.WriteString("  " + t + "\n")
		}
	}
	if len(v.Links) > 0 {
		b.WriteString("\n")
	}
	for _, l := range v.Links {
		b.WriteString(l.Title + ": " + l.URL + "\n")
	}
}

var pageTemplate = template.Must(template.New("mail").Parse(`<!doctype html>
<html><body style="font-family:sans-serif;line-height:1.4">
<h2 style="font-size:1.1em">{{.Headline}}</h2>
{{range .Parts}}<p><b>{{.Name}}</b>{{range .Texts}}<br>{{.}}{{end}}</p>
{{end}}{{range .Links}}<p><a href="{{.URL}}">{{.Title}}</a></p>
{{end}}</body></html>
`))
