// Package doctor tries every part that Watchtower depends on and says what is
// silent and how to mend it. Each check is a small function on a small interface;
// what lies behind it is wired elsewhere.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Status of a finding.
type Status string

// The statuses, the best first.
const (
	OK      Status = "ok"
	Skipped Status = "skipped" // not tried, and why
	Warning Status = "warning" // it works, but not all of it
	Failed  Status = "failed"  // it does not work
)

var worse = map[Status]int{OK: 0, Skipped: 1, Warning: 2, Failed: 3}

// Finding is what one look found.
type Finding struct {
	Check   string `json:"check"` // "prometheus", "receiver oncall"
	Status  Status `json:"status"`
	Message string `json:"message"`
	// Mend says what to do, "" where there is nothing to be done.
	Mend string `json:"mend,omitempty"`
}

// Check is one thing to look at.
type Check struct {
	Name string
	// Run answers with what it found; the Check of the findings is filled in. A
	// check that finds nothing found nothing wrong.
	Run func(ctx context.Context) []Finding
}

// Report is all that was found.
type Report struct {
	At       time.Time `json:"at"`
	Version  string    `json:"version"`
	Status   Status    `json:"status"` // the worst of the findings
	Findings []Finding `json:"findings"`
}

// Every is how often a running server looks.
const Every = 10 * time.Minute

const (
	// patience is how long one check may take.
	patience = 20 * time.Second
	atOnce   = 8
)

// Examine runs the checks, several at a time, and reports in their order. A check
// that takes too long or panics is a finding like another.
func Examine(ctx context.Context, version string, checks []Check) Report {
	found := make([][]Finding, len(checks))
	turns := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			found[i] = c.run(ctx)
		})
	}
	all.Wait()
	r := Report{At: time.Now().UTC(), Version: version, Status: OK, Findings: []Finding{}}
	for i, list := range found {
		if len(list) == 0 {
			list = []Finding{{Status: OK, Message: "nothing is wrong"}}
		}
		for _, f := range list {
			if f.Check == "" {
				f.Check = checks[i].Name
			}
			f.Message, f.Mend = release.OneLine(f.Message, maxText), release.OneLine(f.Mend, maxText)
			r.Findings = append(r.Findings, f)
			if worse[f.Status] > worse[r.Status] && f.Status != Skipped {
				r.Status = f.Status
			}
		}
	}
	return r
}

// maxText bounds in characters what a finding says.
const maxText = 1000

func (c Check) run(ctx context.Context) (found []Finding) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			found = []Finding{{Status: Failed, Message: fmt.Sprintf("the check itself broke: %v", v), Mend: "This is a fault of Watchtower: report it."}}
		}
	}()
	return c.Run(ctx)
}

// After is a check with others that can tell nothing while the first gets no
// answer: they are not tried then, so that what is broken is named once.
func After(first Check, rest ...Check) Check {
	return Check{first.Name, func(ctx context.Context) []Finding {
		out := first.Run(ctx)
		answered := slices.ContainsFunc(out, func(f Finding) bool { return f.Status == OK })
		for _, c := range rest {
			found := []Finding{{Status: Skipped, Message: first.Name + " does not answer"}}
			if answered {
				found = c.Run(ctx)
			}
			for _, f := range found {
				f.Check = c.Name
				out = append(out, f)
			}
		}
		return out
	}}
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Message: fmt.Sprintf(format, args...)}
}

func failed(err error, mend string) Finding {
	return Finding{Status: Failed, Message: err.Error(), Mend: mend}
}

func warning(message, mend string) Finding {
	return Finding{Status: Warning, Message: message, Mend: mend}
}

// Ranks are the worst status of each check, from 0 (OK) to 3 (Failed).
func Ranks(r Report) map[string]int {
	out := map[string]int{}
	for _, f := range r.Findings {
		out[f.Check] = max(out[f.Check], worse[f.Status])
	}
	return out
}
