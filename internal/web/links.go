package web

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// maxLinkedExprBytes bounds the query in a link: browsers and proxies refuse
// very long URLs, and a batched query names many pods.
const maxLinkedExprBytes = 4000

// outsideLink returns u when it is an http(s) address a page may link to, and
// "" otherwise: the addresses come from image labels and from forges.
func outsideLink(u string) string {
	parsed, err := url.Parse(u)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return ""
	}
	return parsed.String()
}

// prometheusLink opens a query in Prometheus' own page: a range selector as a
// table at the end of its range, anything else as a graph. It is "" without a
// base URL, for another source, or when the query is too long for a link.
func prometheusLink(base string, q release.Query) string {
	if outsideLink(base) == "" || q.Source != "prometheus" || len(q.Expr) > maxLinkedExprBytes {
		return ""
	}
	v := url.Values{}
	v.Set("g0.expr", q.Expr)
	end := q.To.UTC().Format("2006-01-02 15:04:05")
	if strings.HasSuffix(strings.TrimSpace(q.Expr), "]") {
		v.Set("g0.tab", "1")
		v.Set("g0.moment_input", end)
	} else {
		v.Set("g0.tab", "0")
		v.Set("g0.end_input", end)
		span := max(q.To.Sub(q.From), time.Minute)
		v.Set("g0.range_input", strconv.Itoa(int(span.Seconds()))+"s")
	}
	return strings.TrimSuffix(base, "/") + "/graph?" + v.Encode()
}

// sourceLink points at the commit an image was built from where the forge's
// address scheme is the common one (/commit/SHA), else at the repository.
func sourceLink(im release.Image) string {
	repo := outsideLink(strings.TrimSuffix(strings.TrimSuffix(im.Source, "/"), ".git"))
	if repo == "" || im.Revision == "" {
		return repo
	}
	return repo + "/commit/" + url.PathEscape(im.Revision)
}

// releasePath is the page of a release.
func releasePath(id release.ID) string { return "/releases/" + url.PathEscape(string(id)) }
