package web

import (
	"net/url"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/api/listing"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// pageLength is how many releases one page lists.
const pageLength = 50

// listView is what the list of releases shows.
type listView struct {
	Filter store.Filter
	Rows   []store.Record
	// Older and Newest are links of the same filter, "" where they lead nowhere.
	Older, Newest string
	// Complaint says which part of the filter was not understood.
	Complaint string
	Now       time.Time
}

func (p listView) liveIs(v bool) bool { return p.Filter.Live != nil && *p.Filter.Live == v }

func (p listView) paged() bool { return !p.Filter.Before.IsZero() }

func (p listView) filtered() bool {
	f := p.Filter
	return f.Namespace != "" || f.Workload != "" || f.Verdict != "" || f.Live != nil || p.paged() || p.Complaint != ""
}

// parseFilter reads the filter form. What it does not understand it leaves
// out and complains about.
func parseFilter(q url.Values) (f store.Filter, complaint string) {
	f.Limit = pageLength
	f.Namespace, f.Workload = q.Get("namespace"), q.Get("workload")
	if v := q.Get("verdict"); v != "" {
		f.Verdict = release.VerdictKind(v)
		if !slices.Contains(listing.VerdictKinds(), f.Verdict) {
			f.Verdict, complaint = "", "The verdict “"+v+"” is unknown and was left out of the filter."
		}
	}
	switch v := q.Get("live"); v {
	case "":
	case "true", "false":
		live := v == "true"
		f.Live = &live
	default:
		complaint = "The observation is either true (live) or false (ended); “" + v + "” was left out of the filter."
	}
	if v := q.Get("before"); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			complaint = "The place in the list, “" + v + "”, is no time; the newest releases are shown."
		}
		f.Before = t
	}
	return f, complaint
}

// listPath is the address of the list with a filter.
func listPath(f store.Filter) string {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("namespace", f.Namespace)
	set("workload", f.Workload)
	set("verdict", string(f.Verdict))
	if f.Live != nil {
		q.Set("live", map[bool]string{true: "true", false: "false"}[*f.Live])
	}
	if !f.Before.IsZero() {
		q.Set("before", f.Before.UTC().Format(time.RFC3339Nano))
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}
