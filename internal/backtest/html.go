package backtest

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:generate go tool -modfile=../../tools/templ/go.mod templ generate

// WriteHTML writes one page that needs nothing else, with the curves behind each
// regression.
func (r *Report) WriteHTML(w io.Writer) error { return reportPage(r).Render(context.Background(), w) }

func day(t time.Time) string { return t.Format("2006-01-02 15:04") }

func anchor(i int) string { return "release-" + strconv.Itoa(i) }

func listed(words []string) string { return strings.Join(words, ", ") }

// after is how long after its start a release was decided, "" when it was not.
func (r *Release) after() string {
	if r.DecidedAt == nil {
		return ""
	}
	return r.DecidedAt.Sub(r.StartedAt).Round(time.Second).String()
}
