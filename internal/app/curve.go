package app

import (
	"net/url"
	"strings"
	"time"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/curve"
	"github.com/watchtower-verify/watchtower/internal/store"
)

// drawn is the curve of what got worse of a release, for its page's readers.
func drawn(rec store.Record) (png []byte, ok bool, err error) {
	m := message.Of(message.Facts{Release: rec.Release, Verdict: rec.Verdict, Policy: rec.Policy, Now: time.Now()}, message.Places{})
	p, ok, err := curve.Of(m)
	return p.PNG, ok, err
}

// curveAt is where the curve of a message is served, "" where there is none.
func curveAt(externalURL string) func(release.Message) string {
	base := strings.TrimRight(externalURL, "/") + "/releases/"
	return func(m release.Message) string {
		if m.Release == "" || !curve.Has(m) {
			return ""
		}
		return base + url.PathEscape(string(m.Release)) + "/curve.png"
	}
}
