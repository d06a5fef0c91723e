package release

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// MessageState is what a message says of a release.
type MessageState string

// The states of a message, in the order a release may take them.
const (
	SaysVerifying    MessageState = "verifying"            // it is being watched; quiet unless a route asks for it
	SaysHealthy      MessageState = "healthy"              // shown to be no worse; quiet unless a route asks for it
	SaysInsufficient MessageState = "insufficient_data"    // too little to tell
	SaysSourceBroken MessageState = "source_broken"        // the measurements are not to be had
	SaysRegressed    MessageState = "regressed"            // it made things worse, and it still runs
	SaysWaiting      MessageState = "waiting_for_approval" // a person must say whether it is rolled back
	SaysRollingBack  MessageState = "rolling_back"
	SaysRestored     MessageState = "restored"     // the last good version runs again
	SaysNotHelped    MessageState = "did_not_help" // rolled back, or tried to, and things are not well
	SaysSuperseded   MessageState = "superseded"   // a newer release has taken over
	SaysRecovered    MessageState = "recovered"    // what was told before no longer holds
)

// MessageStates are all states.
var MessageStates = []MessageState{
	SaysVerifying, SaysHealthy, SaysInsufficient, SaysSourceBroken, SaysRegressed, SaysWaiting,
	SaysRollingBack, SaysRestored, SaysNotHelped, SaysSuperseded, SaysRecovered,
}

// Open reports whether the state is one that somebody should know of until it
// ends: an incident is triggered and stays.
func (s MessageState) Open() bool {
	return slices.Contains([]MessageState{
		SaysInsufficient, SaysSourceBroken, SaysRegressed, SaysWaiting, SaysRollingBack, SaysNotHelped,
	}, s)
}

// Over reports whether the state ends an open one: an incident is resolved. A
// state that is neither Open nor Over (verifying) triggers and resolves nothing.
func (s MessageState) Over() bool {
	return slices.Contains([]MessageState{SaysHealthy, SaysRestored, SaysSuperseded, SaysRecovered}, s)
}

// Severity is how bad a message is.
type Severity string

// The severities, the worst first. They are PagerDuty's.
const (
	SeverityCritical Severity = "critical"
	SeverityError    Severity = "error"
	SeverityWarning  Severity = "warning"
	SeverityInfo     Severity = "info"
)

// Severities are all severities, the worst first.
var Severities = []Severity{SeverityCritical, SeverityError, SeverityWarning, SeverityInfo}

// ParseSeverity reads a severity by name.
func ParseSeverity(s string) (Severity, error) {
	if !slices.Contains(Severities, Severity(s)) {
		return "", fmt.Errorf("severity %q is unknown: use critical, error, warning or info", s)
	}
	return Severity(s), nil
}

// Message is what Watchtower tells people of one release: the same core for
// every receiver. Texts are plain, one line each, without control or direction
// characters; they may hold whatever a name or a commit holds, so that a receiver
// escapes what its own markup takes for more than text.
type Message struct {
	// Key is the same for all messages of a release, 255 characters of ASCII at
	// most: one incident, one parent message, one annotation.
	Key string `json:"key"`
	// Sequence counts the messages of a key from 1. A receiver that has shown a
	// later one drops this one.
	Sequence int          `json:"sequence"`
	State    MessageState `json:"state"`
	Severity Severity     `json:"severity"`
	// Headline is the first line, 1 to HeadlineLimit characters.
	Headline string `json:"headline"`

	Release  ID          `json:"release"`
	Workload Workload    `json:"workload"`
	Verdict  VerdictKind `json:"verdict"`
	From     string      `json:"from"` // version that ran before; "" at a first deployment
	To       string      `json:"to"`   // version of the release
	// Commit is the revision the image was built from; "" when unknown.
	Commit string `json:"commit,omitempty"`

	// HowBad are the changes that count, the worst first.
	HowBad []Change `json:"how_bad,omitempty"`
	// StartedAt is when the rollout began; DecidedAt when the verdict fell, nil
	// before; EndedAt when nothing more is to come, nil before.
	StartedAt time.Time  `json:"started_at"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// At is when the state was entered.
	At time.Time `json:"at"`

	Since string `json:"since"`         // since when, in words
	Sure  string `json:"sure"`          // how sure, in words
	Did   string `json:"did"`           // what Watchtower did, or waits for
	Next  string `json:"next"`          // what to do next
	Why   string `json:"why,omitempty"` // what the numbers do not show
	// ExpiresAt is when an approval can no longer be given; nil where none is waited for.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// Acknowledged is what a person did last to the incident elsewhere, nil where
	// nobody did, or took it back.
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
	// Offers are what a person may do from here, such as OfferApprove.
	Offers []Offer `json:"offers,omitempty"`

	Links []Link `json:"links,omitempty"`
	// Labels are what routes match: cluster, namespace, workload, severity, state,
	// kind, policy, and those of the workload such as team.
	Labels map[string]string `json:"labels"`
	// Members are the messages this one stands for, where it tells of releases
	// together; a group of one release says all that there is to say of it.
	Members []Member `json:"members,omitempty"`
	// Test marks a message that tells of nothing: receivers show that it is a
	// test, and wake nobody.
	Test bool `json:"test,omitempty"`
	// Own are texts of the receiver's own templates, for this receiver alone.
	Own OwnText `json:"-"`
}

// OwnText takes the place of a receiver's built-in text; what is "" does not.
// Unlike the rest of a message it is in the receiver's own markup, which is
// mrkdwn for Slack and plain text for the others, and is not escaped: names in it
// were escaped for that markup when the template was filled in. A receiver cuts
// it to its limits as it does its own.
type OwnText struct {
	Title string // one line: headline, subject, summary
	Text  string // what comes below it
	// Blocks is a JSON array of Slack blocks, in place of title and text.
	Blocks string
}

// Change is how one signal changed.
type Change struct {
	Signal string  `json:"signal"`
	Name   string  `json:"name"` // for people, as in "error ratio as callers see it"
	Unit   Unit    `json:"unit,omitempty"`
	Before float64 `json:"before"`
	Now    float64 `json:"now"`
	// State is set where the change is a state that has no numbers ("3 of 3 pods
	// crash"): Before, Now and Interval say nothing then.
	State string `json:"state,omitempty"`
	// Interval of Now over Before; nil where it cannot be had.
	Interval *Effect `json:"interval,omitempty"`
	// Words of the numbers: "0.1 %", "4.9 %", "38 times as high (12 to 160)".
	BeforeWords   string `json:"before_words,omitempty"`
	NowWords      string `json:"now_words,omitempty"`
	IntervalWords string `json:"interval_words,omitempty"`
	// Sentence says all of it, as EvidenceSentence does.
	Sentence string `json:"sentence"`
	// Curve is how it went, for receivers that draw.
	Curve []Point `json:"-"`
}

// Offer is something a person may do about a message.
type Offer string

// The offers.
const (
	OfferApprove   Offer = "approve"    // roll back as asked
	OfferReject    Offer = "reject"     // do not roll back
	OfferRollBack  Offer = "roll_back"  // roll back although the policy would not
	OfferFreeze    Offer = "freeze"     // let nothing be rolled back for a while
	OfferMarkWrong Offer = "mark_wrong" // the verdict is wrong
	OfferSnooze    Offer = "snooze"     // say nothing more of it for a while
)

// LinkKind is what a link leads to.
type LinkKind string

// The kinds of links.
const (
	LinkRelease   LinkKind = "release"   // Watchtower's own page
	LinkDashboard LinkKind = "dashboard" // with the range of the release
	LinkLogs      LinkKind = "logs"
	LinkCommits   LinkKind = "commits"
	LinkIssue     LinkKind = "issue"
	LinkRunbook   LinkKind = "runbook"
)

// Link is where more is to be found.
type Link struct {
	Kind  LinkKind `json:"kind"`
	Title string   `json:"title"`
	URL   string   `json:"url"` // absolute, http or https
}

// Member is one message of several told as one.
type Member struct {
	Key      string       `json:"key"`
	State    MessageState `json:"state"`
	Headline string       `json:"headline"`
	URL      string       `json:"url,omitempty"` // of the release's page
	// Message is all of it, for receivers that say more of each.
	Message *Message `json:"-"`
}

// MessageKey is the key of a release's messages.
func MessageKey(id ID) string { return "watchtower/" + string(id) }

var notInLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// LabelName is what a label or annotation of a workload is called as a label of
// a message: app.kubernetes.io/part-of is app_kubernetes_io_part_of.
func LabelName(key string) string { return notInLabel.ReplaceAllString(key, "_") }

// URL is the address of the first link of a kind, "" where there is none.
func (m Message) URL(kind LinkKind) string {
	for _, l := range m.Links {
		if l.Kind == kind {
			return l.URL
		}
	}
	return ""
}
