package client

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// searchPages bounds how far back the start of an ID is looked for.
const searchPages = 10

var (
	wholeID   = regexp.MustCompile(`^[0-9a-f]{12}$`)
	startOfID = regexp.MustCompile(`^[0-9a-f]{1,11}$`)
)

// Find returns the release that a person names: by its ID, by the start of an
// ID that no other of the newest 5,000 releases shares, or by
// "namespace/workload", which is that workload's newest release. Its errors
// are CodeInvalid for a name that could be none and for one that fits several,
// CodeNotFound otherwise.
func (c *Client) Find(ctx context.Context, name string) (wire.Detail, error) {
	namespace, workload, slash := strings.Cut(name, "/")
	switch {
	case slash && namespace != "" && workload != "" && !strings.Contains(workload, "/"):
		l, err := c.Releases(ctx, Filter{Namespace: namespace, Workload: workload, Limit: 1})
		if err != nil {
			return wire.Detail{}, err
		}
		if len(l.Releases) == 0 {
			return wire.Detail{}, release.E(release.CodeNotFound, "no release of "+name+" is known; `watchtower releases` lists them", nil)
		}
		return c.Release(ctx, l.Releases[0].Release.ID)
	case wholeID.MatchString(name):
		return c.Release(ctx, release.ID(name))
	case startOfID.MatchString(name):
		id, err := c.complete(ctx, name)
		if err != nil {
			return wire.Detail{}, err
		}
		return c.Release(ctx, id)
	}
	return wire.Detail{}, release.E(release.CodeInvalid,
		fmt.Sprintf("%q names no release: give an ID, the start of one, or namespace/workload", name), nil)
}

// complete finds the only ID that begins with start.
func (c *Client) complete(ctx context.Context, start string) (release.ID, error) {
	var found []string
	f := Filter{Limit: wire.MaxLimit}
	for range searchPages {
		l, err := c.Releases(ctx, f)
		if err != nil {
			return "", err
		}
		for _, r := range l.Releases {
			if strings.HasPrefix(string(r.Release.ID), start) {
				found = append(found, fmt.Sprintf("%s (%s)", r.Release.ID, r.Release.Workload))
			}
		}
		if l.NextBefore == nil {
			break
		}
		f.Before = *l.NextBefore
	}
	switch len(found) {
	case 0:
		return "", release.E(release.CodeNotFound, "no release begins with "+start+"; `watchtower releases` lists them", nil)
	case 1:
		id, _, _ := strings.Cut(found[0], " ")
		return release.ID(id), nil
	}
	shown := found[:min(len(found), 5)]
	return "", release.E(release.CodeInvalid, fmt.Sprintf("%d releases begin with %s, among them %s: give more of the ID",
		len(found), start, strings.Join(shown, ", ")), nil)
}
