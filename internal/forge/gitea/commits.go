package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	maxCommits      = 250
	maxCommitRunes  = 200
	maxAuthorsRunes = 80
)

// revision is a commit hash, tag or branch as it may stand in a URL path.
var revision = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._/+-]{0,127}$`)

type comparison struct {
	Commits []struct {
		SHA     string `json:"sha"`
		HTMLURL string `json:"html_url"`
		Commit  struct {
			Message string `json:"message"`
			Author  struct {
				Name string `json:"name"`
			} `json:"author"`
		} `json:"commit"`
	} `json:"commits"`
}

// Commits returns the commits that are in to and not in from, newest first, at
// most 250. Both are revisions as an image's labels give them.
func (c *Client) Commits(ctx context.Context, repo, from, to string) ([]release.Commit, error) {
	for _, rev := range []string{from, to} {
		if !revision.MatchString(rev) || strings.Contains(rev, "..") {
			return nil, release.E(release.CodeInvalid, fmt.Sprintf("compare commits: %q is no revision", outbound.OneLine(rev, 60)), nil)
		}
	}
	path := "/compare/" + url.PathEscape(from) + "..." + url.PathEscape(to) + "?verification=false&files=false"
	var out comparison
	what := "compare " + short(from) + "..." + short(to)
	if err := c.do(ctx, what, http.MethodGet, repo, path, nil, &out); err != nil {
		return nil, err
	}
	list := out.Commits[:min(len(out.Commits), maxCommits)]
	commits := make([]release.Commit, len(list))
	for i, cm := range list {
		title, _, _ := strings.Cut(strings.TrimSpace(cm.Commit.Message), "\n")
		commits[i] = release.Commit{
			SHA:    cm.SHA,
			Title:  outbound.OneLine(title, maxCommitRunes),
			Author: outbound.OneLine(cm.Commit.Author.Name, maxAuthorsRunes),
			URL:    cm.HTMLURL,
		}
	}
	return commits, nil
}

func short(rev string) string { return rev[:min(12, len(rev))] }
