// Package route decides who is told of a release, and when: a tree of routes with
// matchers in Alertmanager's syntax over a message's labels, quiet hours in its
// time intervals. It is pure: the same message at the same time goes the same way.
package route

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/timeinterval"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// Node is one route as it is configured. What it leaves empty it has from the
// route it stands in: receivers, states, repeat and how it groups; matchers, quiet
// hours and continue are its own.
type Node struct {
	Receivers []string
	// Matchers must all match; each text may hold several, as in
	// `team="shop",severity=~"critical|error"`.
	Matchers []string
	// Continue has the routes after this one looked at too.
	Continue bool
	// States that are told; empty at the root: DefaultStates.
	States []release.MessageState
	// Mute are names of time intervals in which nobody is told for the first time,
	// Active those outside of which it is so.
	Mute, Active []string
	// Repeat tells an open state again after this long; nil: as the route around
	// it, 0: never.
	Repeat *time.Duration
	// GroupBy are the labels that releases have in common which are told together,
	// or Each alone; empty at the root: Each. Wait and Interval are DefaultWait and
	// DefaultInterval where the root has none.
	GroupBy        []string
	Wait, Interval *time.Duration
	Routes         []Node
}

// Each in GroupBy has each release told by itself.
const Each = "..."

// How long the first message of a group waits for others, and what is between two,
// where no route says so.
const (
	DefaultWait     = 30 * time.Second
	DefaultInterval = 5 * time.Minute
)

// Group is what a receiver is told of together.
type Group struct {
	// Key is the same for all that is told together: the matchers on the way to the
	// route, and the labels in common.
	Key            string
	Wait, Interval time.Duration
}

// DefaultStates are those that are told where a route names none: what somebody
// should know of. What ends it goes to whoever was told.
func DefaultStates() []release.MessageState {
	return slices.DeleteFunc(slices.Clone(release.MessageStates), func(s release.MessageState) bool { return !s.Open() })
}

// Intervals are time intervals by name.
type Intervals map[string][]timeinterval.TimeInterval

// Tree decides. It is safe for concurrent use.
type Tree struct{ root *node }

type node struct {
	receivers    []string
	matchers     labels.Matchers
	further      bool
	states       []release.MessageState
	mute, active []timeinterval.TimeInterval
	hasActive    bool
	repeat       time.Duration
	groupBy      []string // empty: each by itself
	group        Group    // its key is the way to the route
	routes       []*node
	path         string
}

// New makes a tree of the root route. The error names the route by its path, as
// in "route.routes[1]".
func New(root Node, intervals Intervals) (*Tree, error) {
	n, err := build("route", root, &node{states: DefaultStates(), group: Group{Wait: DefaultWait, Interval: DefaultInterval}}, intervals)
	if err != nil {
		return nil, err
	}
	if len(n.matchers) > 0 {
		return nil, fmt.Errorf("route: the root takes every message, so it has no matchers: move them to one of its routes")
	}
	return &Tree{n}, nil
}

func build(path string, from Node, in *node, intervals Intervals) (*node, error) {
	n := &node{
		path: path, receivers: from.Receivers, states: from.States, further: from.Continue, repeat: in.repeat, hasActive: len(from.Active) > 0,
		groupBy: in.groupBy, group: in.group,
	}
	if len(n.receivers) == 0 {
		n.receivers = in.receivers
	}
	if len(n.states) == 0 {
		n.states = in.states
	}
	if from.Repeat != nil {
		n.repeat = *from.Repeat
	}
	n.grouping(from)
	for i, text := range from.Matchers {
		ms, err := ParseMatchers(text)
		if err != nil {
			return nil, fmt.Errorf("%s.matchers[%d]: %w", path, i, err)
		}
		n.matchers = append(n.matchers, ms...)
	}
	n.group.Key += n.matchers.String()
	for _, list := range []struct {
		key   string
		names []string
		to    *[]timeinterval.TimeInterval
	}{{"mute_time_intervals", from.Mute, &n.mute}, {"active_time_intervals", from.Active, &n.active}} {
		for i, name := range list.names {
			found, ok := intervals[name]
			if !ok {
				return nil, fmt.Errorf("%s.%s[%d]: no time interval has the name %q", path, list.key, i, name)
			}
			*list.to = append(*list.to, found...)
		}
	}
	for i, child := range from.Routes {
		c, err := build(fmt.Sprintf("%s.routes[%d]", path, i), child, n, intervals)
		if err != nil {
			return nil, err
		}
		n.routes = append(n.routes, c)
	}
	return n, nil
}

// Decision is that one receiver is told.
type Decision struct {
	Receiver string
	// At is when: now, or where the quiet hours end. By then another message may
	// be the newest, which is decided anew.
	At time.Time
	// Repeat is after how long an open state is told again; 0: never.
	Repeat time.Duration
	// Group is what it is told together with; nil: it is told by itself.
	Group *Group
	// Route is the path of the route that decided, "" where the receiver is told
	// only because it was told before.
	Route string
}

// Decide answers with who is told of a message, each receiver once, in the order
// of the routes.
//
// A receiver that was told of the release before, as told says, hears everything
// that follows at once, whatever the routes say: what it shows stays true, and
// what was opened is closed. Quiet hours hold back the first word only.
func (t *Tree) Decide(m release.Message, now time.Time, told func(receiver string) bool) []Decision {
	var out []Decision
	have := map[string]bool{}
	add := func(d Decision) {
		if !have[d.Receiver] {
			have[d.Receiver] = true
			out = append(out, d)
		}
	}
	for _, n := range t.root.match(m.Labels) {
		for _, r := range n.receivers {
			switch {
			case told(r):
				add(Decision{Receiver: r, At: now, Repeat: n.repeat, Group: n.groupOf(m), Route: n.path})
			case slices.Contains(n.states, m.State):
				add(Decision{Receiver: r, At: n.open(now), Repeat: n.repeat, Group: n.groupOf(m), Route: n.path})
			}
		}
	}
	for _, r := range t.Receivers() {
		if told(r) {
			add(Decision{Receiver: r, At: now})
		}
	}
	if !m.State.Open() {
		for i := range out {
			out[i].Repeat = 0
		}
	}
	return out
}

// Receivers are all that a route names, in the order of the routes.
func (t *Tree) Receivers() []string {
	var out []string
	t.root.walk(func(n *node) {
		for _, r := range n.receivers {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	})
	return out
}

func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, c := range n.routes {
		c.walk(visit)
	}
}

// match are the routes that take a message with these labels: the deepest that
// match, and further ones where a route says continue.
func (n *node) match(set map[string]string) []*node {
	for _, m := range n.matchers {
		if !m.Matches(set[m.Name]) {
			return nil
		}
	}
	var out []*node
	for _, c := range n.routes {
		found := c.match(set)
		out = append(out, found...)
		if len(found) > 0 && !c.further {
			break
		}
	}
	if len(out) == 0 {
		out = append(out, n)
	}
	return out
}
