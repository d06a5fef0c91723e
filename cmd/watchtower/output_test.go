package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/api/wire"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// IDs are hexadecimal, so some look like numbers (123456789012, 12345678e901);
// texts come from anywhere. YAML must not take them for anything but text.
func TestYAMLSaysTheSameAsJSON(t *testing.T) {
	text := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[0-9]{6}[0-9e][0-9]{5}`),
		rapid.SampledFrom([]string{"", "true", "null", "~", "0x10", "1_000", "2026-03-02", "- a", "a: b", "# c", "'", "\"", "a\nb\n", " x ", "{", "*a", "!!str", "%", "@", "`", "|", ">"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		in := wire.List{Releases: []wire.Summary{{
			Release: release.Release{ID: release.ID(text.Draw(t, "id")), Annotations: map[string]string{"a": text.Draw(t, "annotation")}},
			Verdict: release.Verdict{
				Summary: text.Draw(t, "summary"), EValue: rapid.Float64Range(0, 1e300).Draw(t, "e-value"),
				Evidence: []release.Evidence{{Reason: text.Draw(t, "reason"), Curve: []release.Point{{}}}},
			},
			Live: rapid.Bool().Draw(t, "live"),
		}}}
		var asJSON, asYAML bytes.Buffer
		if err := printAs(&asJSON, "json", in); err != nil {
			t.Fatal(err)
		}
		if err := printAs(&asYAML, "yaml", in); err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := yaml.Unmarshal(asYAML.Bytes(), &tree); err != nil {
			t.Fatalf("the YAML cannot be read: %v\n%s", err, &asYAML)
		}
		back, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var want, got wire.List
		if err := json.Unmarshal(asJSON.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(back, &got); err != nil {
			t.Fatalf("%v\n%s\n%s", err, &asYAML, back)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("YAML differs from JSON (-json +yaml):\n%s\n%s", diff, &asYAML)
		}
	})
}

func TestAListSaysWhichVerdictIsWrong(t *testing.T) {
	var out strings.Builder
	of := func(id release.ID, wrong *release.Mark) wire.Summary {
		return wire.Summary{Release: release.Release{ID: id}, Verdict: release.Verdict{Kind: release.Regressed, Wrong: wrong, Summary: "it got worse"}}
	}
	if err := printTable(&out, []wire.Summary{of("aaa", nil), of("bbb", &release.Mark{By: "ann"})}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if strings.Contains(lines[1], "wrong") || !strings.Contains(lines[2], "regressed (wrong)") {
		t.Error(out.String())
	}
}
