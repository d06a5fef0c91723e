package grafana

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"net/url"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

// Grafana keeps at most 500 characters of tags, and 64 KB of text with MySQL.
const (
	maxTag  = 90
	maxText = 600 // characters of a part
	maxOwn  = 10_000
	maxURL  = 2000 // bytes
	tagAll  = "watchtower"
)

// note is an annotation as Grafana takes it.
type note struct {
	Dashboard string   `json:"dashboardUID,omitempty"`
	Panel     int64    `json:"panelId,omitempty"`
	Time      int64    `json:"time"`    // Unix milliseconds
	TimeEnd   int64    `json:"timeEnd"` // the same: a point
	Tags      []string `json:"tags"`
	Text      string   `json:"text"` // HTML, of which Grafana lets little through
}

// change is what of an annotation can be changed.
func (n note) change() any {
	return struct {
		Time    int64    `json:"time"`
		TimeEnd int64    `json:"timeEnd"`
		Tags    []string `json:"tags"`
		Text    string   `json:"text"`
	}{n.Time, n.TimeEnd, n.Tags, n.Text}
}

func noteOf(m release.Message, p Place) note {
	from := m.StartedAt
	if from.IsZero() {
		from = m.At
	}
	return note{
		Dashboard: p.Dashboard, Panel: p.Panel, Time: from.UnixMilli(), TimeEnd: max(until(m).UnixMilli(), from.UnixMilli()),
		Tags: tags(m), Text: text(m),
	}
}

// until is where the region ends: with the verdict, and before it with what is
// known.
func until(m release.Message) time.Time {
	if m.DecidedAt != nil {
		return *m.DecidedAt
	}
	return m.At
}

// tags are what dashboards ask for. The one with the key is how an annotation is
// found again.
func tags(m release.Message) []string {
	out := []string{tagAll, keyTag(m)}
	for _, t := range [][2]string{
		{"namespace", m.Workload.Namespace}, {"workload", m.Workload.Name}, {"verdict", cmp.Or(string(m.Verdict), string(release.Pending))},
	} {
		if t[1] != "" {
			out = append(out, tag(t[0], t[1]))
		}
	}
	return out
}

// tag is name:value, as Grafana shows tags; what else would part it is replaced.
func tag(name, value string) string {
	return name + ":" + plain.Cut(strings.NewReplacer(":", "_", ",", "_", "\"", "_", "\\", "_").Replace(value), maxTag)
}

func keyTag(m release.Message) string {
	if m.Release != "" {
		return tag("release", string(m.Release))
	}
	sum := sha256.Sum256([]byte(m.Key))
	return "group:" + hex.EncodeToString(sum[:6])
}

// text is the message in the little HTML that Grafana shows.
func text(m release.Message) string {
	if m.Own.Title+m.Own.Text != "" && !m.Test {
		return plain.Cut(strings.TrimPrefix(m.Own.Title+"<br>"+m.Own.Text, "<br>"), maxOwn)
	}
	var b strings.Builder
	b.WriteString("<b>" + html.EscapeString(plain.Headline(m)) + "</b>")
	for _, p := range plain.Parts(m) {
		b.WriteString("<br>" + p.Name + ": " + html.EscapeString(plain.Cut(p.Text(), maxText)))
	}
	for _, l := range m.Links {
		u, err := url.Parse(l.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || len(l.URL) > maxURL {
			continue
		}
		b.WriteString(`<br><a href="` + html.EscapeString(l.URL) + `">` + html.EscapeString(plain.Cut(cmp.Or(l.Title, string(l.Kind)), 60)) + "</a>")
		if b.Len() > maxOwn {
			break
		}
	}
	return b.String()
}
