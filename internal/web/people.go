package web

import (
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// automaton is the actor of the audit who is no person.
const automaton = "watchtower"

// deed is what a person did about a release.
type deed struct {
	Who, Did, Why string
	At            time.Time
}

// words of what people do, by what an audit row says of it and its outcome.
var deedWords = map[[2]string]string{
	{"approval", "approved"}:       "approved the rollback",
	{"approval", "rejected"}:       "rejected the rollback",
	{"rollback", "asked for"}:      "asked for a rollback",
	{"verdict", "marked wrong"}:    "marked the verdict wrong",
	{"message", "snoozed"}:         "snoozed messages",
	{"incident", "acknowledged"}:   "acknowledged the incident",
	{"incident", "unacknowledged"}: "took the acknowledgement back",
	{"incident", "resolved"}:       "resolved the incident",
	{"incident", "reopened"}:       "reopened the incident",
}

// deeds are what people did, oldest first, from the audit; what was refused to
// them stands there alone.
func (p releaseView) deeds() []deed {
	var out []deed
	for _, r := range p.Audit {
		if r.Actor == automaton || r.Outcome == "refused" {
			continue
		}
		did := deedWords[[2]string{r.What, r.Outcome}]
		if did == "" {
			did = words(r.What) + " " + words(r.Outcome)
		}
		out = append(out, deed{Who: release.OneLine(r.Actor, 100), Did: did, Why: r.Why, At: r.At})
	}
	return out
}
