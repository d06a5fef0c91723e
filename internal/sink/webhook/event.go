package webhook

import (
	"cmp"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

// What an event holds at most, so that it stays below 256 KB or so, which is
// what services commonly take.
const (
	maxText    = 2000 // characters of one text
	maxName    = 300  // of one name, title or label
	maxURL     = 2000 // bytes
	maxChanges = 20
	maxMembers = 100
	maxLinks   = 20
	maxLabels  = 50
)

// Event is a CloudEvent in JSON's structured mode. Its fields are those of
// CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
type Event struct {
	SpecVersion string `json:"specversion" jsonschema:"enum=1.0"`
	// ID is the same for the same message, told again.
	ID string `json:"id"`
	// Source names the Watchtower and the cluster that speak.
	Source string `json:"source" jsonschema:"format=uri-reference"`
	// Type is dev.watchtower.release. and the state, or dev.watchtower.test.
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"` // namespace/workload
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype" jsonschema:"enum=application/json"`
	Data            Data      `json:"data"`
}

// Data is what an event tells. Fields are added to it and none is taken away.
type Data struct {
	// Key is the same for all messages of a release.
	Key string `json:"key"`
	// Kind is release, incident or group where it tells of several together, or test.
	Kind string `json:"kind,omitempty" jsonschema:"enum=release,enum=incident,enum=group,enum=test"`
	// Sequence counts the messages of a key: who has seen a later one drops this.
	Sequence int    `json:"sequence"`
	State    string `json:"state"`
	Severity string `json:"severity"`
	Headline string `json:"headline"` // 120 characters at most
	Test     bool   `json:"test,omitempty"`

	Release   string `json:"release,omitempty"`
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Workload  string `json:"workload,omitempty"`
	Verdict   string `json:"verdict,omitempty"`
	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	Commit    string `json:"commit,omitempty"`

	HowBad    []Change   `json:"how_bad,omitempty"`
	StartedAt time.Time  `json:"started_at"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // of an approval that is waited for
	// Acknowledged is what a person did last to the incident elsewhere.
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`

	Since string `json:"since,omitempty"`
	Sure  string `json:"sure,omitempty"`
	Did   string `json:"did,omitempty"`
	Next  string `json:"next,omitempty"`
	Why   string `json:"why,omitempty"`
	// Title and Text are of the user's own templates.
	Title string `json:"title,omitempty"`
	Text  string `json:"text,omitempty"`

	Links   []Link            `json:"links,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Members []Member          `json:"members,omitempty"` // where it tells of many together
	// More is how many of HowBad, Links, Labels and Members were left out; all of
	// them are on the release's page.
	More int `json:"more,omitempty"`
}

// Acknowledged is what a person did to an incident elsewhere.
type Acknowledged struct {
	What  string    `json:"what" jsonschema:"enum=acknowledged,enum=resolved"`
	Who   string    `json:"who"`
	Where string    `json:"where"` // such as PagerDuty
	At    time.Time `json:"at"`
}

// Change is how one signal changed. Numbers that cannot be had are null.
type Change struct {
	Signal   string   `json:"signal"`
	Name     string   `json:"name"`
	Unit     string   `json:"unit,omitempty"`
	Before   *float64 `json:"before" jsonschema:"nullable"`
	Now      *float64 `json:"now" jsonschema:"nullable"`
	Ratio    *float64 `json:"ratio" jsonschema:"nullable"` // of Now over Before, with its interval
	Low      *float64 `json:"low" jsonschema:"nullable"`
	High     *float64 `json:"high" jsonschema:"nullable"`
	Sentence string   `json:"sentence"`
}

// Link is where more is to be found.
type Link struct {
	Kind  string `json:"kind"`
	Title string `json:"title"`
	URL   string `json:"url" jsonschema:"format=uri"`
}

// Member is one message of several told as one.
type Member struct {
	Key      string `json:"key"`
	State    string `json:"state"`
	Headline string `json:"headline"`
	URL      string `json:"url,omitempty"`
}

func eventOf(m release.Message) Event {
	e := Event{
		SpecVersion: "1.0", ID: m.Key + "/" + strconv.Itoa(m.Sequence), Source: "/watchtower/" + url.PathEscape(plain.Cut(cmp.Or(m.Workload.Cluster, "-"), 200)),
		Type: "dev.watchtower.release." + string(m.State), Time: m.At.UTC(), DataContentType: "application/json", Data: dataOf(m),
	}
	if m.Workload.Name != "" {
		e.Subject = plain.Cut(m.Workload.String(), 400)
	}
	if m.Test {
		e.Type = "dev.watchtower.test"
	}
	return e
}

func dataOf(m release.Message) Data {
	cut := func(text string) string { return plain.Cut(text, maxText) }
	name := func(text string) string { return plain.Cut(text, maxName) }
	d := Data{
		Key: m.Key, Kind: m.Labels["kind"], Sequence: m.Sequence, State: string(m.State), Severity: string(m.Severity), Headline: plain.Headline(m), Test: m.Test,
		Release: string(m.Release), Cluster: name(m.Workload.Cluster), Namespace: name(m.Workload.Namespace), Workload: name(m.Workload.Name),
		Verdict: string(m.Verdict), From: name(m.From), To: name(m.To), Commit: name(m.Commit),
		StartedAt: m.StartedAt.UTC(), DecidedAt: m.DecidedAt, EndedAt: m.EndedAt, ExpiresAt: m.ExpiresAt,
		Since: cut(m.Since), Sure: cut(m.Sure), Did: cut(m.Did), Next: cut(m.Next), Why: cut(m.Why), Title: cut(m.Own.Title), Text: cut(m.Own.Text),
		Labels: map[string]string{},
	}
	if a := m.Acknowledged; a != nil {
		d.Acknowledged = &Acknowledged{What: string(a.What), Who: name(a.Who), Where: name(a.Where), At: a.At.UTC()}
	}
	for _, c := range first(m.HowBad, maxChanges, &d.More) {
		d.HowBad = append(d.HowBad, changeOf(c))
	}
	for _, l := range first(m.Links, maxLinks, &d.More) {
		if len(l.URL) > maxURL {
			d.More++
			continue
		}
		d.Links = append(d.Links, Link{Kind: string(l.Kind), Title: name(l.Title), URL: l.URL})
	}
	for _, member := range first(m.Members, maxMembers, &d.More) {
		d.Members = append(d.Members, Member{Key: member.Key, State: string(member.State), Headline: name(member.Headline), URL: member.URL})
	}
	for k, v := range m.Labels {
		if len(d.Labels) == maxLabels {
			d.More += len(m.Labels) - maxLabels
			break
		}
		d.Labels[name(k)] = name(v)
	}
	return d
}

func first[T any](list []T, n int, more *int) []T {
	if len(list) > n {
		*more += len(list) - n
	}
	return list[:min(len(list), n)]
}

func changeOf(c release.Change) Change {
	out := Change{Signal: plain.Cut(c.Signal, maxName), Name: plain.Cut(c.Name, maxName), Unit: string(c.Unit), Sentence: plain.Cut(c.Sentence, maxText)}
	if c.State == "" {
		out.Before, out.Now = finite(c.Before), finite(c.Now)
	}
	if c.Interval != nil {
		out.Ratio, out.Low, out.High = finite(c.Interval.Ratio), finite(c.Interval.Low), finite(c.Interval.High)
	}
	return out
}

// finite is a number that JSON can hold, nil for the others.
func finite(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}
