package demo

import (
	"fmt"
	"time"
)

// figures are what the demo measured of one story.
type figures struct {
	seen      time.Duration // API event of the rollout → release stored, the slower of two
	detection time.Duration // first bad pod ready → regressed
	patch     time.Duration // verdict → rollback patch seen on the Deployment
	memory    int64         // bytes, largest resident set of Watchtower
	story     time.Duration // first deploy → issue
}

type figure struct {
	what, got, limit string
	ok               bool
}

func (f figures) rows() []figure {
	duration := func(what string, got, limit time.Duration) figure {
		return figure{what, max(0, got.Round(time.Millisecond)).String(), limit.String(), got <= limit}
	}
	const megabyte = 1_000_000
	return []figure{
		duration("release seen after the API event", f.seen, time.Second),
		duration("regressed after the first bad pod was ready", f.detection, time.Minute),
		duration("rollback patch accepted after the verdict", f.patch, time.Second),
		{"Watchtower's memory (largest resident set)", fmt.Sprintf("%.1f MB", float64(f.memory)/megabyte), "80 MB", f.memory < 80*megabyte},
		duration("the whole story", f.story, 4*time.Minute),
	}
}

func (d *demo) finishFigures() (err error) {
	d.figures.memory, err = d.service.Memory()
	return err
}
