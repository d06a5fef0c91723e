package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/config"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/route"
	"github.com/watchtower-verify/watchtower/internal/template"
)

// rendered is what one receiver would be told of a sample release in one state.
type rendered struct {
	Receiver string               `json:"receiver"`
	Kind     string               `json:"kind"`
	State    release.MessageState `json:"state"`
	// Told is whether the routes send it there when nothing was told before, and At
	// when.
	Told  bool       `json:"told"`
	At    *time.Time `json:"at,omitempty"`
	Route string     `json:"route,omitempty"`
	// Group is what a group of the receiver has in common, and when it is told.
	Group  *renderedGroup `json:"group,omitempty"`
	Title  string         `json:"title"`
	Text   string         `json:"text"`
	Blocks string         `json:"blocks,omitempty"`
	// Faults are templates that could not be filled in: the built-in text stands in
	// their place.
	Faults []string `json:"faults,omitempty"`
}

// renderedGroup is how a receiver is told of releases together.
type renderedGroup struct {
	Key      string `json:"key"`
	Wait     string `json:"group_wait"`
	Interval string `json:"group_interval"`
}

// render makes every message of a sample release for every receiver.
func render(cfg *config.Config, labels map[string]string, now time.Time) ([]rendered, error) {
	tree, err := cfg.Tree()
	if err != nil {
		return nil, err
	}
	templates, err := cfg.ReceiverTemplates()
	if err != nil {
		return nil, err
	}
	carried := map[string]string{}
	for _, key := range cfg.WorkloadLabels {
		carried[release.LabelName(key)] = "example"
	}
	maps.Copy(carried, labels)
	var out []rendered
	for _, r := range cfg.Receivers {
		var group *rendered
		for _, m := range message.Samples(now, cfg.Places(), carried) {
			maps.Copy(m.Labels, labels) // also those that a workload cannot set, to try routes with
			one := renderOne(r.Name, m, templates[r.Name])
			one.Kind = r.Kind()
			decide(&one, tree, m, now)
			out = append(out, one)
			if one.Group != nil && m.State == release.SaysRegressed {
				together := message.SampleGroup(now, cfg.Places(), carried)
				maps.Copy(together.Labels, labels)
				many := renderOne(r.Name, together, templates[r.Name])
				many.Kind, many.Told, many.At, many.Route, many.Group = one.Kind, one.Told, one.At, one.Route, one.Group
				many.State = message.KindGroup
				group = &many
			}
		}
		if group != nil {
			out = append(out, *group)
		}
	}
	return out, nil
}

// decide notes what the routes say of a message.
func decide(one *rendered, tree *route.Tree, m release.Message, now time.Time) {
	for _, d := range tree.Decide(m, now, func(string) bool { return false }) {
		if d.Receiver != one.Receiver {
			continue
		}
		one.Told, one.At, one.Route = true, &d.At, d.Route
		if g := d.Group; g != nil {
			one.Group = &renderedGroup{g.Key[strings.LastIndex(g.Key, ":{")+1:], release.Seconds(g.Wait.Seconds()), release.Seconds(g.Interval.Seconds())}
		}
	}
}

func renderOne(receiver string, m release.Message, t *template.Receiver) rendered {
	title, text, _ := strings.Cut(message.Text(m), "\n")
	out := rendered{Receiver: receiver, State: m.State, Title: title, Text: strings.TrimSpace(text)}
	if t == nil {
		return out
	}
	own, faults := t.Fill(m)
	for _, f := range faults {
		out.Faults = append(out.Faults, f.Error())
	}
	out.Title, out.Text, out.Blocks = cmp.Or(own.Title, out.Title), cmp.Or(own.Text, out.Text), own.Blocks
	return out
}

// printRendered writes them for people.
func printRendered(w io.Writer, all []rendered, now time.Time) {
	if len(all) == 0 {
		fmt.Fprintln(w, "No receiver is configured: nobody is told of a release, but by alertmanager.")
	}
	last := ""
	for _, r := range all {
		if r.Receiver != last {
			fmt.Fprintf(w, "\n%s (%s)\n", r.Receiver, r.Kind)
			last = r.Receiver
		}
		told := "not told, unless it was told something of this release before"
		switch {
		case r.Told && r.At.After(now):
			told = "told " + r.At.UTC().Format("2006-01-02 15:04 UTC") + ", after the quiet hours (" + r.Route + ")"
		case r.Told:
			told = "told (" + r.Route + ")"
		}
		if g := r.Group; g != nil {
			told += ", together with all of " + g.Key + ", first " + g.Wait + " after the first of them, then every " + g.Interval + " at most"
		}
		fmt.Fprintf(w, "\n  [%s] %s\n", r.State, told)
		indented(w, r.Title)
		indented(w, r.Text)
		if r.Blocks != "" {
			indented(w, r.Blocks)
		}
		for _, f := range r.Faults {
			indented(w, "fault: "+f)
		}
	}
}

func indented(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// parseLabels reads flags written name=value.
func parseLabels(flags []string) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range flags {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--label %q is no label: write name=value", f), "watchtower config check"}
		}
		out[name] = value
	}
	return out, nil
}

// checkAndRender shows the messages of a file that has no fault.
func checkAndRender(w io.Writer, path string, labels []string, format string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	set, err := parseLabels(labels)
	if err != nil {
		return err
	}
	now := time.Now()
	all, err := render(cfg, set, now)
	if err != nil {
		return err
	}
	if format == "json" {
		return printAs(w, "json", all)
	}
	printRendered(w, all, now)
	return nil
}
