package tests

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/lab/fault"
	"github.com/watchtower-verify/watchtower/lab/service"
)

var (
	// rollbackPatch is the patch that counts; the dry run before it has another query.
	rollbackPatch = fault.Match{Method: http.MethodPatch, Path: ".*/deployments/" + workload, Query: "^fieldManager=watchtower$"}
	openIssue     = fault.Match{Method: http.MethodPost, Path: ".*/issues"}
)

// Wherever Watchtower is killed: one rollback, one issue, one alert.
func TestKilledAnywhereItActsOnce(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		// hold says where the process is when it dies: nil is in the middle of
		// the verification.
		hold func(api, forge *fault.Proxy, h *fault.Hold)
	}{
		{"during verification", nil},
		{"between verdict and rollback", func(api, _ *fault.Proxy, h *fault.Hold) { api.On(rollbackPatch, fault.HoldRequest(h)) }},
		{"after the rollback, before its answer", func(api, _ *fault.Proxy, h *fault.Hold) { api.On(rollbackPatch, fault.HoldAnswer(h)) }},
		{"between rollback and issue", func(_, forge *fault.Proxy, h *fault.Hold) { forge.On(openIssue, fault.HoldRequest(h)) }},
		{"after the issue, before its answer", func(_, forge *fault.Proxy, h *fault.Hold) { forge.On(openIssue, fault.HoldAnswer(h)) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api, forge, configure := outsides(t)
			s := newScene(t, configure)
			s.start()
			s.serve(40, nil)
			hold := fault.NewHold()
			if c.hold != nil {
				c.hold(api, forge, hold)
			}
			s.deploy(bad, nil)
			s.wait(bad, 20*time.Second, "sight", always)
			if c.hold == nil {
				time.Sleep(7 * time.Second)
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				if err := hold.Wait(ctx); err != nil {
					t.Fatalf("Watchtower never came to the point where it is to die: %v", err)
				}
			}
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			hold.Release()
			api.Reset()
			forge.Reset()
			s.start()
			s.settled(bad, "rollback", "done", 2*time.Minute)
			rec := s.settled(bad, "issue", "done", time.Minute)
			s.settled(bad, "alert", "done", time.Minute)
			s.rolled()
			s.runs(good)
			time.Sleep(5 * time.Second) // for what would come twice
			if n := api.Accepted(rollbackPatch); n > 1 {
				t.Errorf("%d rollback patches were accepted, want 1", n)
			}
			// Created, rolled out, rolled back: what reached the API server, whoever
			// was still there to hear of it.
			if g := s.current().Generation; g != 3 {
				t.Errorf("the Deployment is at generation %d, want 3", g)
			}
			if n := issuesOf(t, rec.Release.ID); n != 1 {
				t.Errorf("the forge has %d issues of the release, want 1", n)
			}
			if n := len(alertsOf(t, rec.Release.ID)); n > 1 {
				t.Errorf("Alertmanager has %d alerts of the release, want one at most, as it may be resolved", n)
			}
		})
	}
}

// outsides puts proxies before the API server and the forge.
func outsides(t *testing.T) (api, forge *fault.Proxy, configure func(*service.Config)) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	api, err := fault.NewKubernetes(theLab.Info().WatchtowerKube, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	if forge, err = fault.New(theLab.Info().ForgeURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forge.Close)
	return api, forge, func(c *service.Config) { c.Kubeconfig, c.ForgeURL = kubeconfig, forge.URL }
}

// issuesOf counts the forge's issues that carry a release's marker.
func issuesOf(t *testing.T, id string) int {
	t.Helper()
	info := theLab.Info()
	token, err := os.ReadFile(info.ForgeTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for page := range 20 {
		var issues []struct {
			Body string `json:"body"`
		}
		get(t, info.ForgeURL+"/api/v1/repos/"+info.ForgeRepo+"/issues?state=all&type=issues&limit=50&page="+strconv.Itoa(page+1),
			"token "+strings.TrimSpace(string(token)), &issues)
		if len(issues) == 0 {
			break
		}
		for _, i := range issues {
			if strings.Contains(i.Body, "watchtower:release="+id) {
				n++
			}
		}
	}
	return n
}

type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alertsOf are the alerts of a release that Alertmanager holds as firing.
func alertsOf(t *testing.T, id string) []alert {
	t.Helper()
	var all, out []alert
	get(t, theLab.Info().AlertmanagerURL+"/api/v2/alerts", "", &all)
	for _, a := range all {
		if a.Labels["release"] == id {
			out = append(out, a)
		}
	}
	return out
}

func get(t *testing.T, url, authorization string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
