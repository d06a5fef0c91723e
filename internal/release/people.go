package release

import (
	"fmt"
	"time"
)

// Mark is what a person said of something, when and why.
type Mark struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why"`
}

// AckKind is what a person did to an incident elsewhere.
type AckKind string

// What people do to incidents.
const (
	Acknowledged   AckKind = "acknowledged" // somebody sees to it
	Unacknowledged AckKind = "unacknowledged"
	Resolved       AckKind = "resolved"
	Reopened       AckKind = "reopened"
)

// Acknowledgement is the last that a person did to the incident of a release
// where its receiver has incidents.
type Acknowledgement struct {
	What  AckKind   `json:"what"`
	Who   string    `json:"who"`
	Where string    `json:"where"` // such as PagerDuty
	At    time.Time `json:"at"`    // as it has it there
}

// Stands reports whether it is worth telling: what was taken back is not.
func (a *Acknowledgement) Stands() bool {
	return a != nil && (a.What == Acknowledged || a.What == Resolved)
}

// Words say it: "acknowledged by Ada in PagerDuty, 2026-03-04 12:01 UTC".
func (a Acknowledgement) Words() string {
	return fmt.Sprintf("%s by %s in %s, %s", a.What, OneLine(a.Who, 100), OneLine(a.Where, 40), a.At.UTC().Format("2006-01-02 15:04")+" UTC")
}
