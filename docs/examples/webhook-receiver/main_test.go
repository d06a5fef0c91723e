package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/webhook"
)

func TestTheExampleTakesWhatWatchtowerSends(t *testing.T) {
	var told []string
	r := &receiver{secret: "example-s3cr3t", told: func(e event) { told = append(told, e.Data.State) }}
	var recorded *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		recorded = req
		r.ServeHTTP(w, req)
	}))
	defer srv.Close()
	sink, err := webhook.New(webhook.Config{Name: "example", URL: srv.URL, SecretFiles: []string{sinktest.File(t, "example-s3cr3t")}})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	m := sinktest.Regressed("abc")
	for _, each := range []release.Message{m, m, sinktest.Then(m, release.SaysRestored, "well again"), m} {
		if _, err := sink.Deliver(t.Context(), each, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(told, []string{"regressed", "restored"}) {
		t.Errorf("told %v", told)
	}
	// The recorded header does not fit another body.
	forged := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"data":{"key":"k","sequence":1}}`))
	forged.Header = recorded.Header.Clone()
	w := httptest.NewRecorder()
	if r.ServeHTTP(w, forged); w.Code != http.StatusUnauthorized {
		t.Errorf("a forged body: status %d", w.Code)
	}
}

func TestARecordedRequestDoesNotCountLater(t *testing.T) {
	at := time.Unix(1767323045, 0)
	body := []byte(`{"a":1}`)
	header := webhook.Sign(body, at, "other", "example-s3cr3t")
	for title, c := range map[string]struct {
		header string
		now    time.Time
		ok     bool
	}{
		"now":                   {header, at.Add(time.Minute), true},
		"six minutes later":     {header, at.Add(6 * time.Minute), false},
		"six minutes too early": {header, at.Add(-6 * time.Minute), false},
		"another time":          {strings.Replace(header, "t=1767323045", "t=1767323046", 1), at, false},
		"no header":             {"", at, false},
		"no signature":          {"t=1767323045", at, false},
	} {
		if err := verify(c.header, body, "example-s3cr3t", c.now); (err == nil) != c.ok {
			t.Errorf("%s: %v", title, err)
		}
	}
}
