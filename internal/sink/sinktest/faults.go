package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

const soon = 300 * time.Millisecond

func statuses(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	for i, status := range slices.Sorted(maps.Keys(s.Statuses)) {
		w.Door.Fail(standin.Fault{Status: status, RetryAfter: 7})
		m := Regressed(release.ID(fmt.Sprintf("status%d", i)))
		sink := w.Start() // anew: one that was told to come again in 7 s would ask nobody
		_, err := sink.Deliver(t.Context(), m, nil)
		sink.Close()
		if got, want := release.ErrorCode(err), s.Statuses[status]; got != want {
			t.Errorf("status %d: code %q of %v, want %q", status, got, err, want)
		}
		if after := release.RetryAfter(err); status == 429 && after != 7*time.Second && !s.NoRetryAfter {
			t.Errorf("status %d: come again after %s, want 7 s", status, after)
		}
		if err != nil && !strings.Contains(err.Error(), s.Name) {
			t.Errorf("status %d: the error does not name %q: %v", status, s.Name, err)
		}
	}
	if n := len(w.Shown()); n != 0 {
		t.Errorf("%d are shown of what was refused", n)
	}
}

func html(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	w.Door.Fail(standin.Fault{HTML: true})
	code(t, refused(t, w, Regressed("html")), release.CodeUnavailable)
	w.Door.Mend()
	deliver(t, w, nil, Regressed("html"))
	one(t, w)
}

func hang(t *testing.T, s Subject) {
	w := s.New(t, Settings{Timeout: soon})
	w.Door.Fail(standin.Fault{Hang: true, Times: 1})
	err := refused(t, w, Regressed("hang"))
	code(t, err, release.CodeUnavailable)
	names(t, err, s.Name)
	deliver(t, w, nil, Regressed("hang"))
	one(t, w)
}

func cancelled(t *testing.T, s Subject) {
	w := s.New(t, Settings{Timeout: time.Minute})
	w.Door.Fail(standin.Fault{Hang: true})
	sink := w.Start()
	defer sink.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	begun := time.Now()
	m := Regressed("cancelled")
	_, err := sink.Deliver(ctx, m, nil)
	if err == nil || time.Since(begun) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	code(t, err, release.CodeUnavailable)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := sink.Deliver(ended, m, nil); err == nil {
		t.Error("delivered although it was over before it began")
	}
}

func away(t *testing.T, s Subject) {
	err := refused(t, s.New(t, Settings{Away: true}), Regressed("away"))
	code(t, err, release.CodeUnavailable)
	names(t, err, s.Name, "connection refused")
}

func broken(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	w.Door.Fail(standin.Fault{Cut: true})
	code(t, refused(t, w, Regressed("broken")), release.CodeUnavailable)
	w.Door.Mend()
	deliver(t, w, nil, Regressed("broken"))
	one(t, w)
}

func lost(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("lost")
	w.Door.Fail(standin.Fault{Lose: true, On: s.Writes})
	code(t, refused(t, w, m), release.CodeUnavailable)
	w.Door.Mend()
	one(t, w)
	ref := deliver(t, w, nil, m)
	one(t, w)
	// An update whose answer is lost, too.
	then := Then(m, release.SaysRollingBack, "shop/webapp goes back to 1.4.0")
	w.Door.Fail(standin.Fault{Lose: true, Times: 1, On: s.Changes})
	sink := w.Start()
	defer sink.Close()
	if _, err := sink.Deliver(t.Context(), then, ref); err == nil {
		t.Error("a lost answer was taken for one")
	}
	ref = deliver(t, w, ref, then)
	deliver(t, w, ref, Then(then, release.SaysRestored, "shop/webapp runs 1.4.0 again"))
	one(t, w)
}

func twice(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	m := Regressed("twice")
	deliver(t, w, nil, m)
	ref := deliver(t, w, nil, m)
	before := one(t, w).Text
	deliver(t, w, ref, m)
	if after := one(t, w).Text; after != before {
		t.Errorf("the same message again changed what is shown:\n%s\n%s", before, after)
	}
}

func secrets(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	var told strings.Builder
	for _, f := range []standin.Fault{
		{Echo: true},
		{Echo: true, Status: 400},
		{Echo: true, Status: 401},
		{Echo: true, Status: 500},
		{Echo: true, Status: 302},
		{Cut: true},
		{HTML: true},
		{Status: 403},
	} {
		w.Door.Fail(f)
		sink := w.Start()
		m := Regressed("secrets")
		if _, err := sink.Deliver(t.Context(), m, nil); err != nil {
			for e := err; e != nil; e = errors.Unwrap(e) {
				fmt.Fprintf(&told, "%v %+v\n", e, e)
			}
		}
		sink.Close()
	}
	told.WriteString(w.Log())
	for _, secret := range w.Secrets {
		if strings.Contains(told.String(), secret) {
			t.Errorf("the secret %q is told: %s", secret, told.String())
		}
	}
	for _, shown := range w.Shown() {
		for _, secret := range w.Secrets {
			if strings.Contains(shown.Text, secret) {
				t.Errorf("the secret %q is shown: %s", secret, shown.Text)
			}
		}
	}
}

func revoked(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	if w.Revoke == nil {
		t.Skip("there is no secret to refuse")
	}
	w.Revoke()
	err := refused(t, w, Regressed("revoked"))
	code(t, err, release.CodeInvalid)
	names(t, err, s.Name, s.SecretSetting)
}

func untrusted(t *testing.T, s Subject) {
	err := refused(t, s.New(t, Settings{TLS: true}), Regressed("untrusted"))
	code(t, err, release.CodeUnavailable)
	names(t, err, s.Name, "certificate", "ca_file")
}

func trusted(t *testing.T, s Subject) {
	w := s.New(t, Settings{TLS: true, Trust: true})
	deliver(t, w, nil, Regressed("trusted"))
	one(t, w)
}

func proxy(t *testing.T, s Subject) {
	w := s.New(t, Settings{ProxyURL: "http://127.0.0.1:1"})
	err := refused(t, w, Regressed("proxy"))
	code(t, err, release.CodeUnavailable)
	names(t, err, s.Name, "proxy_url")
}

func many(t *testing.T, s Subject) {
	w := s.New(t, Settings{})
	sink := w.Start()
	defer sink.Close()
	const n = 20
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			m := Regressed(release.ID(fmt.Sprintf("many%02d", i)))
			m.Headline = fmt.Sprintf("shop/webapp%02d made things worse", i)
			var ref []byte
			for range 2 {
				got, err := sink.Deliver(t.Context(), m, ref)
				if err != nil {
					t.Error(err)
				}
				ref = got
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, shown := range w.Shown() {
		seen[shown.First] = true
	}
	if got := len(w.Shown()); got != n || len(seen) != n {
		t.Errorf("%d are shown, %d different, want %d", got, len(seen), n)
	}
}
