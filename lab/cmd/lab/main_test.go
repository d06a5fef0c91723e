package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/watchtower-verify/watchtower/lab/deployment"
	"github.com/watchtower-verify/watchtower/lab/images"
)

// run is the command line on a state folder of its own.
func run(t *testing.T, stateDir string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"--state", stateDir}, args...))
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestWrongWordsAreRefusedWithTheKnownOnes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"build of no part":           {[]string{"build", "etdc"}, []string{`"etdc"`, "kube-apiserver"}},
		"leaving out what is needed": {[]string{"up", "--without=kube-apiserver"}, []string{"kube-apiserver", "alertmanager"}},
		"port of no part":            {[]string{"up", "--port=grafana=3000"}, []string{"grafana", "prometheus"}},
		"another output":             {[]string{"status", "--output=xml"}, []string{"xml", "table or json"}},
		"another command":            {[]string{"start"}, []string{"start"}},
		"deploy without a lab":       {[]string{"deploy", "webapp", "--image", "x:1"}, []string{"no lab is running"}},
		"down without a lab":         {[]string{"down"}, []string{"no lab is running"}},
		"kubectl without a lab":      {[]string{"kubectl", "get", "pods", "-A"}, []string{"no lab is running"}},
		"an image of no executable":  {[]string{"images", "add", "foo:1", "--command", "/does/not/exist"}, []string{"foo:1", "/does/not/exist"}},
		"removing no image":          {[]string{"images", "remove", "foo:1"}, []string{"foo:1", "not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, filepath.Join(t.TempDir(), "state"), c.args...)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAnImageCanBeAddedBeforeThereIsALab(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if _, err := run(t, state, "images", "add", "mycompany/foo:1", "--command", "sh", "--arg=-c", "--arg=sleep 1", "--env", "A=B", "--label", images.LabelRevision+"=0a1b2c"); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, state, "images", "list", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list []images.Image
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(list) != 1 {
		t.Fatalf("images are %+v", list)
	}
	im := list[0]
	if !filepath.IsAbs(im.Command[0]) || strings.Join(im.Command[1:], "|") != "-c|sleep 1" || im.Env["A"] != "B" || im.Labels[images.LabelRevision] != "0a1b2c" || im.Digest == "" {
		t.Errorf("image is %+v", im)
	}
	if out, err := run(t, state, "images", "list"); err != nil || !strings.Contains(out, "mycompany/foo:1") || !strings.Contains(out, "A=B") {
		t.Errorf("table is %q (%v)", out, err)
	}
	if _, err := run(t, state, "images", "remove", "mycompany/foo:1"); err != nil {
		t.Error(err)
	}
	if out, err := run(t, state, "images", "list", "-o", "json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("after its removal the images are %q (%v)", out, err)
	}
}

func TestDeployPassesOnOnlyTheFlagsThatWereGiven(t *testing.T) {
	var f deployFlags
	var spec deployment.Spec
	flags := pflag.NewFlagSet("deploy", pflag.ContinueOnError)
	flags.Int32Var(&f.replicas, "replicas", 2, "")
	flags.StringVar(&f.readyPath, "ready-path", "/readyz", "")
	for _, name := range []string{"port", "min-ready-seconds", "progress-deadline-seconds", "revision-history-limit"} {
		flags.Int32(name, 1, "")
	}
	if err := flags.Parse([]string{"--ready-path="}); err != nil {
		t.Fatal(err)
	}
	f.fill(&spec, flags)
	if spec.Replicas != nil || spec.Port != nil {
		t.Errorf("replicas %v and port %v are passed on though nobody gave them", spec.Replicas, spec.Port)
	}
	if spec.ReadyPath == nil || *spec.ReadyPath != "" {
		t.Errorf("an empty ready path is not passed on: %v", spec.ReadyPath)
	}
}
