package pattern_test

import (
	"errors"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/pattern"
	"github.com/watchtower-verify/watchtower/internal/pattern/patterntest"
	"github.com/watchtower-verify/watchtower/internal/pattern/redact"
)

const loghub = "../../../shared/data/loghub"

func options() pattern.Options {
	return pattern.Options{Redact: redact.New(redact.Options{}).Bytes}
}

func TestLoghubIsGroupedAsItsTruthHasIt(t *testing.T) {
	sets, err := patterntest.Loghub(loghub)
	if errors.Is(err, patterntest.ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var content, raw patterntest.Score
	n := float64(len(sets))
	for _, s := range sets {
		c := patterntest.Grade(patterntest.Mine(s.Content, options()), s.Truth)
		r := patterntest.Grade(patterntest.Mine(s.Raw, options()), s.Truth)
		t.Logf("%-10s content GA %.3f FGA %.3f, raw GA %.3f FGA %.3f", s.Name, c.GA, c.FGA, r.GA, r.FGA)
		content.GA += c.GA / n
		content.FGA += c.FGA / n
		raw.GA += r.GA / n
	}
	if content.GA < 0.97 || content.FGA < 0.90 || raw.GA < 0.90 {
		t.Errorf("mean GA %.3f, FGA %.3f, GA of raw lines %.3f; want 0.97, 0.90, 0.90", content.GA, content.FGA, raw.GA)
	}
}

func TestTheCorpusIsGroupedByWhatHappened(t *testing.T) {
	var mean float64
	logs := patterntest.Corpus(1, 400)
	for _, log := range logs {
		s := patterntest.Grade(patterntest.Mine(log.Lines, options()), log.Truth)
		t.Logf("%-16s GA %.3f FGA %.3f", log.Name, s.GA, s.FGA)
		if s.GA < 0.9 {
			t.Errorf("%s: GA %.3f", log.Name, s.GA)
		}
		mean += s.GA / float64(len(logs))
	}
	if mean < 0.98 {
		t.Errorf("mean GA %.3f", mean)
	}
}
