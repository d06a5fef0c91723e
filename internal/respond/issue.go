package respond

import (
	"context"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

const (
	// The issue tells what the rollback did, so it waits for it, but not for ever.
	issueWaits     = 2 * time.Minute
	commitPatience = 15 * time.Second
)

// issue opens the hotfix issue, or finds the one an earlier attempt opened.
func (r *Responder) issue(ctx context.Context, a release.Action, rec store.Record) (outcome, error) {
	if r.deps.Forge == nil { // it was configured when this was decided
		return outcome{state: release.ActionRefused, detail: "no forge is configured"}, nil
	}
	repo, wrong := r.repositoryOf(rec.Release), rec.Verdict.Wrong != nil
	var rollback *release.Action
	if !wrong {
		var held outcome
		var err error
		if rollback, held, err = r.beforeIssue(ctx, a, rec); err != nil || held.state != "" {
			return held, err
		}
	}
	// An earlier attempt may have opened it, whatever was said of the verdict since.
	url, found, err := r.deps.Forge.FindIssue(ctx, repo, release.Marker(a.Release))
	if err != nil {
		return outcome{}, err
	}
	at(pointFound)
	detail := "opened before, found by its marker"
	if !found {
		if wrong {
			return outcome{}, release.E(release.CodeVoid, markedWrong(rec.Verdict), nil)
		}
		if url, err = r.openIssue(ctx, repo, rec, rollback); err != nil {
			return outcome{}, err
		}
		at(pointOpened)
		detail = "opened"
	}
	return outcome{state: release.ActionDone, detail: detail, url: url, follow: func(ctx context.Context, tx *store.Tx, a release.Action) error {
		return r.speak(ctx, tx, rec)
	}}, nil
}

// beforeIssue answers with the release's rollback, nil where there is none, once that is
// over or was waited for long enough, or with an outcome that holds the issue.
func (r *Responder) beforeIssue(ctx context.Context, a release.Action, rec store.Record) (*release.Action, outcome, error) {
	held, err := r.heldWithOthers(ctx, a, rec)
	if err != nil {
		return nil, outcome{}, err
	}
	if held != nil {
		return nil, outcome{state: release.ActionWaiting, waits: release.WaitsForBreaker, detail: heldBy(held)}, nil
	}
	actions, err := r.store.Actions(ctx, a.Release)
	if err != nil {
		return nil, outcome{}, err
	}
	rollback := find(actions, release.ActionKey(a.Release, release.ActionRollback))
	if rollback != nil && rollback.State == release.ActionPending && time.Since(a.CreatedAt) < issueWaits {
		return nil, outcome{}, notYet{wait: r.pace.issueLooksIn}
	}
	return rollback, outcome{}, nil
}

// openIssue opens it, with the commits that may be the cause.
func (r *Responder) openIssue(ctx context.Context, repo string, rec store.Record, rollback *release.Action) (url string, err error) {
	commits, note := r.suspects(ctx, repo, rec.Release)
	text := issueText{
		release: rec.Release, verdict: rec.Verdict, policy: rec.Policy, rollback: rollback,
		commits: commits, commitsNote: note, externalURL: r.deps.ExternalURL,
	}
	return r.deps.Forge.OpenIssue(ctx, repo, text.issue())
}

// heldWithOthers is the breaker that holds what is done for a release of an
// incident, unless a person let it go.
func (r *Responder) heldWithOthers(ctx context.Context, a release.Action, rec store.Record) (*release.Breaker, error) {
	incident, err := r.store.IncidentOf(ctx, rec.Release.ID)
	if err != nil || incident == "" || !a.PendingSince.Equal(a.CreatedAt) {
		return nil, err
	}
	breakers, err := r.store.Breakers(ctx, rec.Release.Workload.Cluster)
	if err != nil {
		return nil, err
	}
	return release.Holding(breakers, rec.Release.Workload.Namespace, time.Now()), nil
}

func find(actions []release.Action, key string) *release.Action {
	for i := range actions {
		if actions[i].Key == key {
			return &actions[i]
		}
	}
	return nil
}

// repositoryOf is the repository of the first changed image whose source lies
// on the forge; "", the configured one, when there is none. It is the same at
// every attempt, which finding an issue again depends on.
func (r *Responder) repositoryOf(rel release.Release) string {
	for _, im := range rel.Changed() {
		if im.Source == "" {
			continue
		}
		if repo, ok := r.deps.Forge.Repository(im.Source); ok {
			return repo
		}
	}
	return ""
}

// suspects lists the commits between the images' revisions, for those whose
// source is repo; note says why there are none.
func (r *Responder) suspects(ctx context.Context, repo string, rel release.Release) (commits []release.Commit, note string) {
	note = "The images do not tell which commits they were built from."
	if rel.Previous == nil {
		return nil, "This is the first version of the workload."
	}
	ctx, cancel := context.WithTimeout(ctx, commitPatience)
	defer cancel()
	for _, im := range rel.Changed() {
		own, ok := r.deps.Forge.Repository(im.Source)
		from := revisionOf(rel.Previous.Images, im.Container)
		if !ok || own != repo || im.Revision == "" || from == "" {
			continue
		}
		if from == im.Revision {
			note = "Both images were built from the same commit: what differs is in how they were built."
			continue
		}
		found, err := r.deps.Forge.Commits(ctx, repo, from, im.Revision)
		if err != nil {
			// The issue matters more than its list of commits.
			r.log.Warn("suspect commits could not be read", "release", string(rel.ID), "err", err)
			note = "The commits between the two revisions could not be read."
			continue
		}
		commits = append(commits, found...)
		note = ""
	}
	if len(commits) > 0 {
		note = ""
	} else if note == "" {
		note = "The forge knows no commits between the two revisions."
	}
	return commits, note
}

func revisionOf(images []release.Image, container string) string {
	for _, im := range images {
		if im.Container == container {
			return im.Revision
		}
	}
	return ""
}
