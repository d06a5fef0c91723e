package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/route"
)

// Places are what messages link to.
func (c *Config) Places() message.Places {
	return message.Places{ExternalURL: c.ExternalURL, Dashboard: c.Links.Dashboard, Logs: c.Links.Logs, Runbook: c.Links.Runbook}
}

// carried are the labels messages carry of workloads.
func (c *Config) carried() []string {
	out := make([]string, len(c.WorkloadLabels))
	for i, l := range c.WorkloadLabels {
		out[i] = release.LabelName(l)
	}
	return out
}

var labelKey = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

func (k *checker) routing() {
	c := k.c
	for i, l := range c.WorkloadLabels {
		at := fmt.Sprintf("workload_labels[%d]", i)
		switch {
		case !labelKey.MatchString(l):
			k.at(at, "%q is no name of a label or an annotation", l)
		case slices.Contains(message.Labels, release.LabelName(l)):
			k.at(at, "%s is a label of Watchtower's own: remove it", l)
		}
	}
	for _, l := range []struct{ key, address string }{{"dashboard", c.Links.Dashboard}, {"logs", c.Links.Logs}, {"runbook", c.Links.Runbook}} {
		if l.address != "" {
			if err := message.CheckPlace(l.address); err != nil {
				k.at("links."+l.key, "%s", err)
			}
		}
	}
	k.intervals()
	if c.Route == nil {
		return
	}
	if len(c.Receivers) == 0 {
		k.at("route", "there are no receivers to route to: add receivers, or remove route")
		return
	}
	used := map[string]bool{}
	k.oneRoute("route", c.Route.asRoute(), used)
	k.grouping("route", c.Route.asRoute(), nil, nil)
	for i, r := range c.Receivers {
		if r.Name != "" && !used[r.Name] {
			k.at(fmt.Sprintf("receivers[%d].name", i), "no route names %s, so that it would never be told anything: add it to a route, or remove it", r.Name)
		}
	}
}

func (r *Routing) asRoute() Route {
	return Route{
		Receivers: r.Receivers, States: r.States, Mute: r.Mute, Active: r.Active, Repeat: r.Repeat, Routes: r.Routes,
		GroupBy: r.GroupBy, GroupWait: r.GroupWait, GroupInterval: r.GroupInterval,
	}
}

// oneRoute checks a route and those below it, and notes whom they name.
func (k *checker) oneRoute(at string, r Route, used map[string]bool) {
	var receivers, intervals []string
	for _, one := range k.c.Receivers {
		receivers = append(receivers, one.Name)
	}
	for _, one := range k.c.TimeIntervals {
		intervals = append(intervals, one.Name)
	}
	named := func(key, what string, names, known []string) {
		for i, name := range names {
			place := fmt.Sprintf("%s.%s[%d]", at, key, i)
			switch {
			case !slices.Contains(known, name) && len(known) == 0:
				k.at(place, "no %s has the name %q: there are none", what, name)
			case !slices.Contains(known, name):
				k.at(place, "no %s has the name %q%s", what, name, hint(name, known))
			case slices.Contains(names[:i], name):
				k.at(place, "%s is named twice: keep one", name)
			}
		}
	}
	named("receivers", "receiver", r.Receivers, receivers)
	named("mute_time_intervals", "time interval", r.Mute, intervals)
	named("active_time_intervals", "time interval", r.Active, intervals)
	states := []string{allStates}
	for _, s := range release.MessageStates {
		states = append(states, string(s))
	}
	named("states", "state", r.States, states)
	for _, name := range r.Receivers {
		used[name] = true
	}
	if r.Repeat != nil && *r.Repeat != 0 {
		k.between(at+".repeat_interval", *r.Repeat, 5*time.Minute, 7*24*time.Hour)
	}
	for i, text := range r.Matchers {
		k.matcher(fmt.Sprintf("%s.matchers[%d]", at, i), text)
	}
	for i, child := range r.Routes {
		below := fmt.Sprintf("%s.routes[%d]", at, i)
		if len(child.Matchers) == 0 && !child.Continue && i < len(r.Routes)-1 {
			k.at(below, "it has no matchers and takes everything, so that no route after it is ever looked at: add matchers or continue: true")
		}
		k.oneRoute(below, child, used)
	}
}

// matcher checks that a matcher can be read and that a message may carry its
// labels.
func (k *checker) matcher(at, text string) {
	ms, err := route.ParseMatchers(text)
	if err != nil {
		k.at(at, "%s", err)
		return
	}
	known := slices.Concat(message.Labels, k.c.carried())
	values := map[string][]string{message.LabelSeverity: nil, message.LabelState: nil}
	for _, s := range release.Severities {
		values[message.LabelSeverity] = append(values[message.LabelSeverity], string(s))
	}
	for _, s := range release.MessageStates {
		values[message.LabelState] = append(values[message.LabelState], string(s))
	}
	for _, m := range ms {
		if !slices.Contains(known, m.Name) {
			k.at(at, "no message has a label %s%s; a label or annotation of the workload is named in workload_labels", m.Name, hint(m.Name, known))
			continue
		}
		if all := values[m.Name]; all != nil && !slices.ContainsFunc(all, m.Matches) {
			k.at(at, "%s matches no %s: known are %s", m, m.Name, strings.Join(all, ", "))
		}
	}
}

func (k *checker) intervals() {
	seen := map[string]bool{}
	for i, ti := range k.c.TimeIntervals {
		at := fmt.Sprintf("time_intervals[%d]", i)
		switch {
		case ti.Name == "":
			k.at(at+".name", "the time interval has no name")
		case seen[ti.Name]:
			k.at(at+".name", "%s is the name of an earlier time interval too: choose another", ti.Name)
		}
		seen[ti.Name] = true
		if len(ti.Intervals) == 0 {
			k.at(at+".time_intervals", "it names no time")
		}
		for j, in := range ti.Intervals {
			if _, err := in.interval().Interval(); err != nil {
				key, words, _ := strings.Cut(err.Error(), ": ")
				k.at(fmt.Sprintf("%s.time_intervals[%d].%s", at, j, key), "%s", words)
			}
		}
	}
}

func (i Interval) interval() route.Interval {
	out := route.Interval{Weekdays: i.Weekdays, DaysOfMonth: i.DaysOfMonth, Months: i.Months, Years: i.Years, Location: i.Location}
	for _, t := range i.Times {
		out.Times = append(out.Times, route.Times(t))
	}
	return out
}

// Tree is who is told of what, and when.
func (c *Config) Tree() (*route.Tree, error) {
	intervals := route.Intervals{}
	for _, ti := range c.TimeIntervals {
		for _, in := range ti.Intervals {
			one, err := in.interval().Interval()
			if err != nil {
				return nil, fmt.Errorf("time interval %s: %w", ti.Name, err)
			}
			intervals[ti.Name] = append(intervals[ti.Name], one)
		}
	}
	if c.Route == nil {
		all := route.Node{}
		for _, r := range c.Receivers {
			all.Receivers = append(all.Receivers, r.Name)
		}
		return route.New(all, intervals)
	}
	return route.New(nodeOf(c.Route.asRoute()), intervals)
}

func nodeOf(r Route) route.Node {
	n := route.Node{
		Receivers: r.Receivers, Matchers: r.Matchers, Continue: r.Continue, States: statesOf(r.States), Mute: r.Mute, Active: r.Active, Repeat: r.Repeat,
		GroupBy: r.GroupBy, Wait: r.GroupWait, Interval: r.GroupInterval,
	}
	for _, child := range r.Routes {
		n.Routes = append(n.Routes, nodeOf(child))
	}
	return n
}
