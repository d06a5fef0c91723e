package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// grouping takes what the configured route says of it.
func (n *node) grouping(from Node) {
	switch {
	case slices.Contains(from.GroupBy, Each):
		n.groupBy = nil
	case len(from.GroupBy) > 0:
		n.groupBy = slices.Sorted(slices.Values(from.GroupBy))
	}
	if from.Wait != nil {
		n.group.Wait = *from.Wait
	}
	if from.Interval != nil {
		n.group.Interval = *from.Interval
	}
}

// groupOf is the group of a message on this route. The labels are those it has
// now: a release stays in the group it came into.
func (n *node) groupOf(m release.Message) *Group {
	if len(n.groupBy) == 0 {
		return nil
	}
	g := n.group
	pairs := make([]string, len(n.groupBy))
	for i, name := range n.groupBy {
		pairs[i] = fmt.Sprintf("%s=%q", name, m.Labels[name])
	}
	g.Key += ":{" + strings.Join(pairs, ",") + "}"
	return &g
}
