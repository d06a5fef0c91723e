// Package wire holds the answers of the HTTP API as its server writes and its
// clients read them.
package wire

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Paths of the operations.
const (
	ReleasesPath = "/api/v1/releases"
	// WorkloadsPath is followed by /namespace/name and then SignalsSuffix.
	WorkloadsPath = "/api/v1/workloads"
	SignalsSuffix = "/signals"
	// AuditPath lists the audit of the cluster.
	AuditPath  = "/api/v1/audit"
	DoctorPath = "/api/v1/doctor"
	// MaxLimit is how many releases one answer may be asked for.
	MaxLimit = 500
)

// Summary is one release of a list, without its evidence.
type Summary struct {
	Release release.Release `json:"release"`
	Verdict release.Verdict `json:"verdict"`
	Live    bool            `json:"live" doc:"The release is still being watched."`
}

// List is the answer to a list of releases, newest first.
type List struct {
	Releases []Summary `json:"releases" nullable:"false"`
	// NextBefore is the cursor of the next page; absent on the last one.
	NextBefore *time.Time `json:"next_before,omitempty" doc:"Give this as 'before' to read on; absent at the end of the list."`
}

// Detail is all that is known of one release.
type Detail struct {
	Release release.Release    `json:"release"`
	Verdict release.Verdict    `json:"verdict" doc:"With evidence, curves and queries."`
	Policy  release.Policy     `json:"policy" doc:"The policy in force for this release; durations in nanoseconds."`
	Live    bool               `json:"live" doc:"The release is still being watched."`
	Actions []release.Action   `json:"actions" nullable:"false" doc:"What was done because of the verdict, oldest first."`
	Audit   []release.AuditRow `json:"audit" nullable:"false" doc:"Decisions and refusals with their reasons, oldest first."`
}

// AuditPage is a part of the audit of the cluster, oldest first.
type AuditPage struct {
	Rows []release.AuditRow `json:"rows" nullable:"false"`
	Head release.AuditMark  `json:"head" doc:"The last row there is. Kept elsewhere, it shows later whether the audit was cut off or written anew."`
	Base release.AuditMark  `json:"base" doc:"The last row that retention removed; zero when all are there."`
	// NextAfter is the cursor of the next page; absent on the last one.
	NextAfter *int64 `json:"next_after,omitempty" doc:"Give this as 'after' to read on; absent at the end."`
}
