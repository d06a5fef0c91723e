package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/route"
)

// How long a group may wait: nobody wants to hear of a release a day later.
const maxGroupTime = 24 * time.Hour

// grouping checks how a route and those below it group; receivers and by are what
// they have from the route around.
func (k *checker) grouping(at string, r Route, receivers, by []string) {
	k.groupBy(at, r)
	if r.GroupWait != nil {
		k.between(at+".group_wait", *r.GroupWait, 0, maxGroupTime)
	}
	if r.GroupInterval != nil {
		k.between(at+".group_interval", *r.GroupInterval, time.Second, maxGroupTime)
	}
	if len(r.Receivers) > 0 {
		receivers = r.Receivers
	}
	if len(r.GroupBy) > 0 {
		by = r.GroupBy
	}
	for i := range k.c.Receivers {
		one := &k.c.Receivers[i]
		if one.Grafana != nil && slices.Contains(receivers, one.Name) && groups(by) {
			k.at(at, "it groups, and receiver %s is Grafana, whose annotations are of one release each: give it a route of its own with group_by: [%q]", one.Name, route.Each)
		}
	}
	for i, child := range r.Routes {
		k.grouping(fmt.Sprintf("%s.routes[%d]", at, i), child, receivers, by)
	}
}

func groups(by []string) bool { return len(by) > 0 && !slices.Contains(by, route.Each) }

func (k *checker) groupBy(at string, r Route) {
	at += ".group_by"
	if k.given(at) && len(r.GroupBy) == 0 {
		k.at(at, "it names no label: write [%q] for each release by itself, or [cluster] for all together", route.Each)
	}
	known := slices.Concat([]string{route.Each}, message.Labels, k.c.carried())
	for i, name := range r.GroupBy {
		place := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case !slices.Contains(known, name):
			k.at(place, "no message has a label %s%s; a label or annotation of the workload is named in workload_labels", name, hint(name, known))
		case name == route.Each && len(r.GroupBy) > 1:
			k.at(place, "%s is each release by itself: it stands alone", name)
		case name == message.LabelState || name == message.LabelVerdict:
			k.at(place, "the %s of a release changes, and its group does not: group by what stays, such as namespace or team", name)
		case slices.Contains(r.GroupBy[:i], name):
			k.at(place, "%s is named twice: keep one", name)
		}
	}
}

// slowGroup is how long at most the first message of something critical should
// wait for others.
const slowGroup = 5 * time.Minute

// Warnings are what the configuration may do and hardly anybody wants.
func (c *Config) Warnings() []string {
	if c.Route == nil {
		return nil
	}
	var out []string
	c.slowGroups("route", c.Route.asRoute(), nil, route.DefaultWait, &out)
	return out
}

func (c *Config) slowGroups(at string, r Route, by []string, wait time.Duration, out *[]string) {
	for _, text := range r.Matchers {
		ms, err := route.ParseMatchers(text)
		if err != nil {
			return // a fault of its own
		}
		for _, m := range ms {
			if m.Name == message.LabelSeverity && !m.Matches(string(release.SeverityCritical)) {
				return
			}
		}
	}
	own := len(r.GroupBy) > 0 || r.GroupWait != nil // what it has from the route around was told there
	if len(r.GroupBy) > 0 {
		by = r.GroupBy
	}
	if r.GroupWait != nil {
		wait = *r.GroupWait
	}
	if own && groups(by) && wait > slowGroup {
		*out = append(*out, fmt.Sprintf("%s: people hear of a critical release late: its group_wait is longer than %s; use a shorter one, or a route for severity=\"critical\"",
			at, shortDuration(slowGroup)))
	}
	for i, child := range r.Routes {
		c.slowGroups(fmt.Sprintf("%s.routes[%d]", at, i), child, by, wait, out)
	}
}
