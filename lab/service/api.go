package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Record is a release as the API answers it; the fields that the lab reads.
type Record struct {
	Release struct {
		ID         string      `json:"id"`
		ReplicaSet ReplicaSet  `json:"replicaset"`
		Previous   *ReplicaSet `json:"previous_replicaset"`
		StartedAt  time.Time   `json:"started_at"`
		SeenAt     time.Time   `json:"seen_at"`
		Superseded string      `json:"superseded_by"`
	} `json:"release"`
	Verdict Verdict  `json:"verdict"`
	Live    bool     `json:"live"`
	Actions []Action `json:"actions"`
	Audit   []Audit  `json:"audit"`
}

// ReplicaSet of a release.
type ReplicaSet struct {
	Name   string `json:"name"`
	UID    string `json:"uid"`
	Images []struct {
		Container, Image, Digest, Revision, Source string
	} `json:"images"`
}

// Verdict on a release.
type Verdict struct {
	Kind      string     `json:"verdict"`
	Final     bool       `json:"final"`
	DecidedAt *time.Time `json:"decided_at"`
	Summary   string     `json:"summary"`
	Reason    string     `json:"reason"`
	EValue    float64    `json:"e_value"`
	Threshold float64    `json:"threshold"`
	Evidence  []Evidence `json:"evidence"`
	Findings  []struct {
		Kind, Pod, Message string
	} `json:"findings"`
}

// Evidence of a verdict.
type Evidence struct {
	Signal        string   `json:"signal"`
	Baseline      string   `json:"baseline"`
	SeenBy        string   `json:"seen_by"` // "server", "callers"
	Dialect       string   `json:"dialect"`
	EValue        *float64 `json:"e_value"`
	BaselineValue float64  `json:"baseline_value"`
	ReleaseValue  float64  `json:"release_value"`
	Unit          string   `json:"unit"`
	Reason        string   `json:"reason"`
	Release       struct {
		Total, Bad int64
	} `json:"release_count"`
	Stable struct {
		Total, Bad int64
	} `json:"baseline_count"`
}

// Action that followed a verdict.
type Action struct {
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Detail    string    `json:"detail"`
	URL       string    `json:"url"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Audit row of a release.
type Audit struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why"`
}

// Action returns the release's action of a kind, false if there is none.
func (r *Record) Action(kind string) (Action, bool) {
	for _, a := range r.Actions {
		if a.Kind == kind {
			return a, true
		}
	}
	return Action{}, false
}

// Releases lists the releases of a workload, newest first.
func (s *Service) Releases(ctx context.Context, namespace, workload string) ([]Record, error) {
	var out struct {
		Releases []Record `json:"releases"`
	}
	q := url.Values{"namespace": {namespace}, "workload": {workload}}
	if ok, err := s.get(ctx, "/api/v1/releases?"+q.Encode(), &out); !ok {
		return nil, err
	}
	return out.Releases, nil
}

// Release returns one release with all that is known of it.
func (s *Service) Release(ctx context.Context, id string) (*Record, error) {
	var out Record
	if ok, err := s.get(ctx, "/api/v1/releases/"+url.PathEscape(id), &out); !ok {
		return nil, err
	}
	return &out, nil
}

// ByImage returns the newest release of a workload that runs an image, nil if
// there is none yet.
func (s *Service) ByImage(ctx context.Context, namespace, workload, image string) (*Record, error) {
	list, err := s.Releases(ctx, namespace, workload)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		for _, im := range r.Release.ReplicaSet.Images {
			if im.Image == image {
				return s.Release(ctx, r.Release.ID)
			}
		}
	}
	return nil, nil
}

// Wait polls the release of an image until done says so; it returns the last
// state seen, with an error if ctx ended first.
func (s *Service) Wait(ctx context.Context, namespace, workload, image string, done func(*Record) bool) (*Record, error) {
	var last *Record
	for {
		rec, err := s.ByImage(ctx, namespace, workload, image)
		if err == nil && rec != nil {
			last = rec
			if done(rec) {
				return rec, nil
			}
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("waiting for the release of %s in %s/%s: %w", image, namespace, workload, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// get fetches a path; false with the reason when the answer is not 200.
func (s *Service) get(ctx context.Context, path string, into any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("GET %s: %s: %.300s", path, resp.Status, body)
	}
	if into == nil {
		return true, nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("GET %s: %w", path, err)
	}
	return true, nil
}
