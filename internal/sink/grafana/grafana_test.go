package grafana

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/grafana/grafanatest"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "glsa_s3cr3t_1"
	other = "glsa_s3cr3t_2"
)

type world struct {
	grafana *grafanatest.Server
	cfg     Config
}

func newWorld(t *testing.T, s sinktest.Settings) *world {
	g := grafanatest.New(map[string]int64{token: 1, other: 2})
	g.Dashboard("shop", 1)
	g.Dashboard("teams", 2)
	p := sinktest.Serve(t, g.Handler(), s)
	return &world{g, Config{
		Name: "boards", URL: p.URL + "/", TokenFile: sinktest.File(t, token), CAFile: p.CAFile, ProxyURL: p.ProxyURL, Timeout: p.Timeout,
	}}
}

func (w *world) sink(t *testing.T) *Sink {
	t.Helper()
	s, err := New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (w *world) deliver(t *testing.T, ref []byte, m release.Message) []byte {
	t.Helper()
	ref, err := w.sink(t).Deliver(t.Context(), m, ref)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "Grafana (receiver boards)", SecretSetting: "token_file", Writes: "POST /api/annotations", Changes: "PATCH /api/annotations",
		Raw: []string{"<script>", "</p>", "<!channel>"},
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			w := newWorld(t, s)
			_, log := sinktest.Log()
			return sinktest.World{
				Start: func() sinktest.Sink { return w.sink(t) }, Door: &w.grafana.Door, Shown: w.shown,
				Secrets: []string{token}, Log: log, Revoke: func() { w.grafana.Revoke(token) },
			}
		},
	})
}

func (w *world) shown() (out []sinktest.Shown) {
	for _, n := range w.grafana.Annotations() {
		first, _, _ := strings.Cut(strings.TrimPrefix(n.Text, "<b>"), "</b>")
		out = append(out, sinktest.Shown{First: first, Text: n.Text})
	}
	return out
}

func TestTheRegionGoesFromTheRolloutToTheVerdict(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	begun := m
	begun.State, begun.Verdict, begun.DecidedAt, begun.At, begun.Sequence = release.SaysVerifying, release.Pending, nil, m.StartedAt, 1
	ref := w.deliver(t, nil, begun)
	if n := w.grafana.Annotations()[0]; n.Time != m.StartedAt.UnixMilli() || n.TimeEnd != n.Time || !slices.Contains(n.Tags, "verdict:pending") {
		t.Errorf("at the start: %+v", n)
	}
	w.deliver(t, ref, m)
	n := w.grafana.Annotations()[0]
	if n.Time != m.StartedAt.UnixMilli() || n.TimeEnd != m.DecidedAt.UnixMilli() || n.Changes != 1 {
		t.Errorf("after the verdict: %+v", n)
	}
	for _, tag := range []string{"watchtower", "namespace:shop", "workload:webapp", "verdict:regressed", "release:abc"} {
		if !slices.Contains(n.Tags, tag) {
			t.Errorf("the tag %s is missing of %v", tag, n.Tags)
		}
	}
}

func TestDashboardsPanelsAndOrganisations(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Organisation, w.cfg.Places = 1, []Place{{Dashboard: "shop"}, {Dashboard: "shop", Panel: 7}}
	w.cfg.Others = []Organisation{{ID: 2, TokenFile: sinktest.File(t, other), Places: []Place{{Dashboard: "teams"}}}}
	m := sinktest.Regressed("abc")
	ref := w.deliver(t, nil, m)
	w.deliver(t, ref, sinktest.Then(m, release.SaysRestored, "well again"))
	w.deliver(t, nil, m) // as after a crash
	var got []string
	for _, n := range w.grafana.Annotations() {
		got = append(got, fmt.Sprint(n.Org, n.Dashboard, n.Panel))
	}
	if want := []string{fmt.Sprint(1, "shop", 0), fmt.Sprint(1, "shop", 7), fmt.Sprint(2, "teams", 0)}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhatIsRememberedOfTheMostPlacesIsShort(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	for i := range maxPlaces {
		uid := fmt.Sprintf("%040d", i)
		w.grafana.Dashboard(uid, 1)
		w.cfg.Places = append(w.cfg.Places, Place{Dashboard: uid, Panel: 123456})
	}
	if ref := w.deliver(t, nil, sinktest.Regressed("abc")); len(ref) > 1024 {
		t.Errorf("%d bytes: %s", len(ref), ref)
	}
}

func TestOnePlaceThatFailsKeepsNoOtherBack(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.cfg.Places = []Place{{Dashboard: "nosuch"}, {Dashboard: "shop"}}
	_, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil)
	if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "uid") || len(w.grafana.Annotations()) != 1 {
		t.Errorf("%d annotations, %v", len(w.grafana.Annotations()), err)
	}
}

func TestADeletedAnnotationIsWrittenAnew(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	ref := w.deliver(t, nil, m)
	w.grafana.Delete(1)
	w.deliver(t, ref, sinktest.Then(m, release.SaysRestored, "well again"))
	if n := w.grafana.Annotations(); len(n) != 1 || !strings.Contains(n[0].Text, "well again") {
		t.Errorf("got %+v", n)
	}
}

func TestWhichPermissionIsMissingIsTold(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.grafana.ReadOnly(token)
	if _, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "Editor") {
		t.Errorf("got %v", err)
	}
	w.cfg.Organisation = 9
	if _, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "organisation") {
		t.Errorf("got %v", err)
	}
}

func TestATestLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.Test = true
	w.deliver(t, nil, m)
	if n := w.grafana.Annotations(); len(n) != 0 {
		t.Errorf("left %+v", n)
	}
	writes := 0
	for _, r := range w.grafana.Requests() {
		if r.Method == "POST" && r.Status == 200 {
			writes++
		}
	}
	if writes != 1 {
		t.Errorf("%d annotations were tried", writes)
	}
}

func TestTemplatesAreShownAsTheyAre(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	m := sinktest.Regressed("abc")
	m.Own.Text = "<i>mine</i>"
	w.deliver(t, nil, m)
	if n := w.grafana.Annotations()[0]; n.Text != "<i>mine</i>" {
		t.Errorf("got %s", n.Text)
	}
}

func TestAnAnswerWithoutAnIDIsNone(t *testing.T) {
	w := newWorld(t, sinktest.Settings{})
	w.grafana.Fail(standin.Fault{Echo: true, Skip: 1})
	if _, err := w.sink(t).Deliver(t.Context(), sinktest.Regressed("abc"), nil); release.ErrorCode(err) != release.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	many := Config{Name: "boards", URL: "https://grafana.example", TokenFile: "f", Places: make([]Place, 21)}
	for want, cfg := range map[string]Config{
		"url":        {Name: "boards", URL: "https://u:s3cret@grafana.example", TokenFile: "f"},
		"token_file": {Name: "boards", URL: "https://grafana.example"},
		"tags":       many,
	} {
		if _, err := New(cfg); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
