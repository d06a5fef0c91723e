package app

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/api/apitest"
	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/store"
)

func TestTheCurveOfAReleaseIsServedWhereItsMessageSays(t *testing.T) {
	e := apitest.Regressed()
	rec := store.Record{Release: e.Release, Verdict: e.Verdict, Policy: release.DefaultPolicy()}
	body, ok, err := drawn(rec)
	if err != nil || !ok || len(body) > 200_000 {
		t.Fatalf("%d bytes, %v, %v", len(body), ok, err)
	}
	if im, err := png.Decode(bytes.NewReader(body)); err != nil || im.Bounds().Dx() > 2000 {
		t.Errorf("%v", err)
	}
	m := message.Of(message.Facts{Release: e.Release, Verdict: e.Verdict}, message.Places{})
	if got, want := curveAt("https://watchtower.example/")(m), "https://watchtower.example/releases/"+string(e.Release.ID)+"/curve.png"; got != want {
		t.Errorf("at %q, want %q", got, want)
	}
	for i := range m.HowBad {
		m.HowBad[i].Curve = nil
	}
	if got := curveAt("https://watchtower.example/")(m); got != "" {
		t.Errorf("a picture of nothing at %q", got)
	}
	if got := curveAt("https://watchtower.example/")(release.Message{}); got != "" {
		t.Errorf("a picture of a group at %q", got)
	}
}
