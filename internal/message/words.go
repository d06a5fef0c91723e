package message

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// headline is the first line: what became of which release, and the numbers.
func headline(f Facts, s release.MessageState) string {
	rel, worse, regressed := f.Release, "", ""
	if f.Verdict.Kind == release.Regressed {
		worse, regressed = release.Worsening(f.Verdict.Evidence), "regressed, "
	}
	switch s {
	case release.SaysWaiting:
		became := regressed + "its rollback waits for approval"
		if f.ApproveBy != nil {
			became += " until " + hour(*f.ApproveBy)
		}
		return release.FirstLine(rel, became, worse)
	case release.SaysRollingBack:
		return release.FirstLine(rel, regressed+"is being rolled back", worse)
	case release.SaysRestored:
		return release.FirstLine(rel, "rolled back, the old version runs again", worse)
	case release.SaysNotHelped:
		if r := f.rollback(); r != nil && r.State == release.ActionFailed {
			return release.FirstLine(rel, strings.Replace(regressed, ", ", " and ", 1)+"could not be rolled back", worse)
		}
		return release.FirstLine(rel, regressed+"rolling back did not help", worse)
	case release.SaysSuperseded:
		if f.Release.SupersededBy == "" && f.Closed != "" {
			return release.FirstLine(rel, "is over", release.OneLine(f.Closed, 60))
		}
		return release.FirstLine(rel, "was overtaken by a newer release", "")
	case release.SaysRecovered:
		if w := f.Verdict.Wrong; w != nil {
			return release.FirstLine(rel, "was called regressed wrongly, says "+release.OneLine(w.By, 30), "")
		}
		if f.Verdict.Kind == release.Healthy {
			return release.FirstLine(rel, "is healthy after all", "")
		}
		return release.FirstLine(rel, "can be judged again", "")
	}
	return release.Headline(rel, f.Verdict)
}

// since says since when it is as it is.
func since(f Facts) string {
	began := "the rollout began " + instant(f.Release.StartedAt)
	if f.Verdict.DecidedAt == nil {
		return began
	}
	s := "decided " + instant(*f.Verdict.DecidedAt)
	if d := f.Verdict.DecidedAt.Sub(f.Release.StartedAt); d > 0 && !f.Release.StartedAt.IsZero() {
		return s + ", " + release.Seconds(d.Seconds()) + " after the rollout began"
	}
	return s
}

// sure says how sure the verdict is.
func sure(f Facts) string {
	v, p := f.Verdict, f.Policy
	switch v.Kind {
	case release.Regressed:
		if v.Threshold > 0 && v.EValue >= v.Threshold {
			return fmt.Sprintf("e-value %s, needed %s: a release that is no worse gets there at most %s of the time",
				release.EValue(v.EValue), release.EValue(v.Threshold), release.Percent(p.Alpha))
		}
		return "seen as it is, no statistics needed"
	case release.Healthy:
		return fmt.Sprintf("one that is worse than tolerated would be called healthy at most %s of the time", release.Percent(p.Beta))
	case release.InsufficientData:
		if v.Needs != nil {
			return release.NeedsSentence(*v.Needs)
		}
		return "not at all: there was too little to tell either way"
	case release.SourceBroken:
		return "not at all: nothing is concluded from measurements that are not to be had"
	}
	if v.Threshold > 0 {
		return fmt.Sprintf("no verdict yet: e-value %s, regressed from %s on", release.EValue(v.EValue), release.EValue(v.Threshold))
	}
	return "no verdict yet"
}

// Rollback says what became of a rollback, nil where the policy allows none.
func Rollback(a *release.Action, p release.Policy) string {
	if a == nil {
		return fmt.Sprintf("not rolled back: policy %q allows alerting only", release.OneLine(p.Name, 60))
	}
	detail := release.OneLine(a.Detail, longText)
	switch a.State {
	case release.ActionDone:
		return "rolled back: " + detail
	case release.ActionPending:
		return "rollback under way: the last good version is being put back"
	case release.ActionWaiting:
		return "not rolled back yet: " + detail
	}
	return "not rolled back (" + string(a.State) + "): " + detail
}

// did says what Watchtower did, or waits for.
func did(f Facts, s release.MessageState) string {
	if w := f.Verdict.Wrong; w != nil && s == release.SaysRecovered {
		return sentence("Nothing more: the verdict counts as a false alarm, marked wrong by " + release.OneLine(w.By, 100) + ": " + release.OneLine(w.Why, longText))
	}
	switch s {
	case release.SaysVerifying, release.SaysRecovered:
		if f.Verdict.Kind != release.Healthy {
			return "It is being watched."
		}
		return "Nothing: the release stays."
	case release.SaysHealthy:
		if f.Verdict.Final {
			return "Nothing: the release stays."
		}
		return "The release is still being watched."
	case release.SaysInsufficient:
		return "Nothing: without data nothing is rolled back."
	case release.SaysSourceBroken:
		return "Nothing: a broken source never rolls anything back."
	}
	done := sentence(Rollback(f.rollback(), f.Policy))
	if w := f.Verdict.Wrong; w != nil {
		done += " The verdict was marked wrong by " + release.OneLine(w.By, 100) + " afterwards."
	}
	switch {
	case s == release.SaysSuperseded && f.Verdict.Kind != release.Regressed && f.asked() == "":
		return "The verdict is left as it was when the release ended."
	case s == release.SaysRegressed:
		return done + " The release still runs."
	case s == release.SaysWaiting && f.ApproveBy != nil:
		return done + " The release still runs. The approval can be given until " + instant(*f.ApproveBy) + "."
	case s == release.SaysWaiting:
		return done + " The release still runs."
	case f.Restore != nil && f.Restore.Detail != "":
		return strings.TrimSuffix(done, ".") + "; " + release.OneLine(f.Restore.Detail, longText) + "."
	}
	return done
}

// next says what a person should do.
func next(f Facts, s release.MessageState) string {
	w := plainWorkload(f.Release.Workload)
	switch s {
	case release.SaysRegressed:
		if f.Release.Previous == nil {
			return "Look at it now: there is no earlier version to go back to."
		}
		return fmt.Sprintf("Look at it now. To go back: watchtower rollback %s. By hand: kubectl -n %s rollout undo deployment/%s --to-revision=%d",
			f.Release.ID, w.Namespace, w.Name, f.Release.Previous.Revision)
	case release.SaysWaiting:
		return fmt.Sprintf("Approve the rollback or reject it: watchtower approve %s, watchtower reject %s", f.Release.ID, f.Release.ID)
	case release.SaysRollingBack:
		return "Nothing yet: the old version is on its way, and this message will say whether it runs."
	case release.SaysRestored:
		if f.Verdict.Wrong != nil {
			return "Nothing is wrong with the version, people say: it may go out again."
		}
		return "Mend it and deploy again. The version that regressed should not go out as it is."
	case release.SaysNotHelped:
		return fmt.Sprintf("Look at it now: Watchtower does no more for this release. kubectl -n %s describe deployment/%s", w.Namespace, w.Name)
	case release.SaysInsufficient:
		return fmt.Sprintf("If it should have had traffic, `watchtower signals %s/%s` tells what is measured and what is not.", w.Namespace, w.Name)
	case release.SaysSourceBroken:
		return "Mend the metric store; `watchtower doctor` tells what it answers."
	}
	return "Nothing."
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if last, _ := utf8.DecodeLastRuneInString(s); !strings.ContainsRune(".!?…", last) {
		s += "."
	}
	return s
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "at a time that is not known"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

func hour(t time.Time) string { return t.UTC().Format("15:04") + " UTC" }
