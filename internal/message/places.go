package message

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Places are where more of a release is to be found. Dashboard, Logs and Runbook
// are addresses with placeholders such as {namespace}, "" where there is none.
type Places struct {
	ExternalURL string // of Watchtower's own pages; "" when unknown
	Dashboard   string
	Logs        string
	Runbook     string
}

// Placeholders are what an address may hold between braces. from and to are
// milliseconds since 1970, a little around the release.
var Placeholders = []string{"cluster", "namespace", "workload", "release", "replicaset", "version", "from", "to"}

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

// CheckPlace reports what is wrong with an address with placeholders: a word
// between braces that is none, or no http or https address.
func CheckPlace(address string) error {
	for _, m := range placeholder.FindAllStringSubmatch(address, -1) {
		if !slices.Contains(Placeholders, m[1]) {
			return fmt.Errorf("{%s} is no placeholder: known are {%s}", m[1], strings.Join(Placeholders, "}, {"))
		}
	}
	u, err := url.Parse(placeholder.ReplaceAllString(address, "x"))
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("this is no address: write it like https://host/path?var-namespace={namespace}&from={from}&to={to}")
	}
	if u.User != nil {
		return fmt.Errorf("the address carries a user or password, which every receiver would see: take them out")
	}
	return nil
}

// The range of a dashboard is the release's with some room before and after.
const (
	roomBefore = 15 * time.Minute
	roomAfter  = 5 * time.Minute
)

func (p Places) links(f Facts) []release.Link {
	rel := f.Release
	var out []release.Link
	add := func(kind release.LinkKind, title, address string) {
		if u, err := url.Parse(address); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			out = append(out, release.Link{Kind: kind, Title: title, URL: u.String()})
		}
	}
	if p.ExternalURL != "" {
		add(release.LinkRelease, "Release", strings.TrimRight(p.ExternalURL, "/")+"/releases/"+url.PathEscape(string(rel.ID)))
	}
	add(release.LinkDashboard, "Dashboard", p.fill(p.Dashboard, f))
	add(release.LinkLogs, "Logs", p.fill(p.Logs, f))
	add(release.LinkCommits, "Commits", commitsURL(f))
	for _, a := range f.Actions {
		if a.Kind == release.ActionIssue {
			add(release.LinkIssue, "Issue", a.URL)
		}
	}
	add(release.LinkRunbook, "Runbook", p.fill(p.Runbook, f))
	return out
}

// overview is the page of all releases.
func (p Places) overview() []release.Link {
	if p.ExternalURL == "" {
		return nil
	}
	return []release.Link{{Kind: release.LinkRelease, Title: "Releases", URL: strings.TrimRight(p.ExternalURL, "/") + "/"}}
}

func (p Places) fill(address string, f Facts) string {
	rel := f.Release
	to := f.Now
	if f.Verdict.DecidedAt != nil && f.Verdict.Final {
		to = *f.Verdict.DecidedAt
	}
	_, version := release.Versions(rel)
	values := map[string]string{
		"cluster": rel.Workload.Cluster, "namespace": rel.Workload.Namespace, "workload": rel.Workload.Name,
		"release": string(rel.ID), "replicaset": rel.ReplicaSet.Name, "version": version,
		"from": strconv.FormatInt(rel.StartedAt.Add(-roomBefore).UnixMilli(), 10), "to": strconv.FormatInt(to.Add(roomAfter).UnixMilli(), 10),
	}
	return placeholder.ReplaceAllStringFunc(address, func(m string) string {
		return url.QueryEscape(values[m[1:len(m)-1]])
	})
}

// commitsURL compares the two revisions of the first changed image that tells
// them, where its source repository is believed; one commit's address where the
// forge knows the commits.
func commitsURL(f Facts) string {
	if f.Release.Previous != nil {
		for _, im := range f.Release.Changed() {
			before := revisionOf(f.Release.Previous.Images, im.Container)
			if im.Source == "" || im.Revision == "" || before == "" || before == im.Revision {
				continue
			}
			source := strings.TrimSuffix(strings.TrimRight(im.Source, "/"), ".git")
			return source + "/compare/" + url.PathEscape(before) + "..." + url.PathEscape(im.Revision)
		}
	}
	if len(f.Commits) > 0 {
		return f.Commits[0].URL
	}
	return ""
}

func revisionOf(images []release.Image, container string) string {
	for _, im := range images {
		if im.Container == container {
			return im.Revision
		}
	}
	return ""
}
