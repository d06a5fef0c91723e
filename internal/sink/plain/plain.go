// Package plain is what every receiver writes the same way: the parts of a
// message in their order, and how a text is cut.
package plain

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxChanges is how many changes are told one by one. More are on the page.
const maxChanges = 5

// maxMembers is how many releases a message of many names.
const maxMembers = 20

// Part is one thing a message says.
type Part struct {
	Name  string // for people, as in "What to do next"
	Field string // for programs, as in "next"
	Texts []string
}

// Text is the part in one line.
func (p Part) Text() string { return strings.Join(p.Texts, "; ") }

// Parts are what a message says below its headline, what is known of it only.
func Parts(m release.Message) []Part {
	var out []Part
	add := func(name, field string, texts ...string) {
		var said []string
		for _, t := range texts {
			if t != "" {
				said = append(said, t)
			}
		}
		if len(said) > 0 {
			out = append(out, Part{name, field, said})
		}
	}
	add("How bad", "how_bad", changes(m)...)
	add("Releases", "releases", members(m)...)
	add("Why", "why", m.Why)
	add("Since", "since", m.Since)
	add("How sure", "sure", m.Sure)
	add("What Watchtower did", "did", m.Did)
	add("What to do next", "next", m.Next)
	if m.ExpiresAt != nil {
		add("Approval until", "expires", m.ExpiresAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if m.Acknowledged != nil {
		add("Seen to", "acknowledged", m.Acknowledged.Words())
	}
	add("Commit", "commit", m.Commit)
	return out
}

func changes(m release.Message) []string {
	out := make([]string, 0, maxChanges+1)
	for i, c := range m.HowBad {
		if i == maxChanges {
			out = append(out, fmt.Sprintf("and %d more", len(m.HowBad)-i))
			break
		}
		out = append(out, c.Sentence)
	}
	return out
}

func members(m release.Message) []string {
	if len(m.Members) < 2 { // it is told as itself
		return nil
	}
	out := make([]string, 0, maxMembers+1)
	for i, member := range m.Members {
		if i == maxMembers {
			more := fmt.Sprintf("and %d more", len(m.Members)-i)
			if all := m.URL(release.LinkRelease); all != "" {
				more += ": " + all
			}
			out = append(out, more)
			break
		}
		out = append(out, member.Headline)
	}
	return out
}

// Headline is the first line, marked where it is a test.
func Headline(m release.Message) string {
	if m.Test {
		return Cut("[TEST] "+m.Headline, release.HeadlineLimit)
	}
	return m.Headline
}

// Title is the first line for receivers that show plain text: that of the
// user's own template, or the headline.
func Title(m release.Message) string {
	if m.Own.Title != "" && !m.Test {
		return m.Own.Title
	}
	return Headline(m)
}

// Place is where the release runs, as cluster/namespace/workload.
func Place(m release.Message) string {
	w := m.Workload
	return strings.Trim(strings.Join([]string{w.Cluster, w.Namespace, w.Name}, "/"), "/")
}

// Cut shortens a text to a number of characters; what is missing becomes "…".
func Cut(text string, maxRunes int) string {
	if utf8.RuneCountInString(text) <= maxRunes {
		return text
	}
	runes := []rune(text)
	return strings.TrimRight(string(runes[:max(maxRunes-1, 0)]), " ") + "…"
}
