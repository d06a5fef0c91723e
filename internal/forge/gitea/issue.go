package gitea

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	issuesPerPage = 50
	// maxIssuePages bounds the search for an issue: the newest 2,000. One that a
	// lost answer hid is among the newest.
	maxIssuePages  = 40
	labelsPerPage  = 50
	maxLabelPages  = 20
	maxTitleRunes  = 255
	maxBodyBytes   = 65535
	labelColour    = "#b60205"
	cutNote        = "\n\n*Cut here: the text was longer than the forge takes. The release page has the whole.*\n"
	maxLabelsWords = 50 // characters of a label's name that Gitea takes
)

type issue struct {
	HTMLURL string `json:"html_url"`
	Body    string `json:"body"`
}

// FindIssue looks for the newest issue, open or closed, whose text has the
// marker, and returns its URL.
func (c *Client) FindIssue(ctx context.Context, repo, marker string) (string, bool, error) {
	if strings.TrimSpace(marker) == "" {
		return "", false, release.E(release.CodeInvalid, "find issue: the marker is empty", nil)
	}
	for page := 1; page <= maxIssuePages; page++ {
		// Newest first is the order of the API.
		path := fmt.Sprintf("/issues?state=all&type=issues&limit=%d&page=%d", issuesPerPage, page)
		var list []issue
		if err := c.do(ctx, "list issues", http.MethodGet, repo, path, nil, &list); err != nil {
			return "", false, err
		}
		for _, is := range list {
			if strings.Contains(is.Body, marker) {
				return is.HTMLURL, true, nil
			}
		}
		// The server may give fewer per page than asked, so only none is the end.
		if len(list) == 0 {
			break
		}
	}
	return "", false, nil
}

// createIssue is CreateIssueOption of the API.
type createIssue struct {
	Title  string  `json:"title"`
	Body   string  `json:"body"`
	Labels []int64 `json:"labels,omitempty"`
}

// OpenIssue opens an issue and returns its URL. Labels that are missing are
// made; one that cannot be made is left out. A text that is too long is cut,
// with a note; the marker stays.
//
// After an error the issue may have been opened nevertheless: look for its
// marker before trying again.
func (c *Client) OpenIssue(ctx context.Context, repo string, is release.Issue) (string, error) {
	labels, err := c.labels(ctx, repo, is.Labels)
	if err != nil {
		return "", err
	}
	in := createIssue{Title: outbound.OneLine(is.Title, maxTitleRunes), Body: cutBody(is.Body, maxBodyBytes), Labels: labels}
	var out issue
	if err := c.do(ctx, "open issue", http.MethodPost, repo, "/issues", in, &out); err != nil {
		return "", err
	}
	return out.HTMLURL, nil
}

type label struct {
	ID   int64  `json:"id,omitempty"`
	Name string `json:"name"`
	// Colour and description are for a new label.
	Color       string `json:"color,omitempty"`
	Description string `json:"description,omitempty"`
}

// labels returns the IDs of labels by name, making those that are missing.
func (c *Client) labels(ctx context.Context, repo string, names []string) ([]int64, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known := map[string]int64{}
	for page := 1; page <= maxLabelPages; page++ {
		var list []label
		path := "/labels?limit=" + strconv.Itoa(labelsPerPage) + "&page=" + strconv.Itoa(page)
		if err := c.do(ctx, "list labels", http.MethodGet, repo, path, nil, &list); err != nil {
			if refused(err) {
				return nil, nil // an issue without labels is better than none
			}
			return nil, err
		}
		for _, l := range list {
			known[strings.ToLower(l.Name)] = l.ID
		}
		if len(list) == 0 {
			break
		}
	}
	var ids []int64
	for _, name := range names {
		name = outbound.OneLine(name, maxLabelsWords)
		id, ok := known[strings.ToLower(name)]
		if !ok {
			var made label
			in := label{Name: name, Color: labelColour, Description: "Opened by Watchtower"}
			err := c.do(ctx, "create label", http.MethodPost, repo, "/labels", in, &made)
			if refused(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			id = made.ID
			known[strings.ToLower(name)] = id
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// refused reports whether the forge answered that it will not do this, other
// than for a wrong token.
func refused(err error) bool {
	switch outbound.Status(err) {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

var markerText = regexp.MustCompile(`<!-- watchtower:release=[^>]{1,100} -->`)

// cutBody makes a text fit into limit bytes. The marker is kept wherever it
// stood, a code block that was cut is closed.
func cutBody(body string, limit int) string {
	body = strings.ToValidUTF8(body, "�")
	if len(body) <= limit {
		return body
	}
	const fence = "\n```"
	note := cutNote
	if marker := markerText.FindString(body); marker != "" {
		note += "\n" + marker + "\n"
		body = strings.Replace(body, marker, "", 1)
	}
	keep := body[:min(max(limit-len(note)-len(fence), 0), len(body))]
	for !utf8.ValidString(keep) {
		keep = keep[:len(keep)-1]
	}
	if i := strings.LastIndexByte(keep, '\n'); i > len(keep)-2000 && i > 0 {
		keep = keep[:i] // at the end of a line, if one is near
	}
	open := false
	for line := range strings.Lines(keep) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			open = !open
		}
	}
	if open {
		keep += fence
	}
	return keep + note
}
