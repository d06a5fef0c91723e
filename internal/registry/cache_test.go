package registry

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCacheDropsWhatExpired(t *testing.T) {
	now := time.Unix(1000, 0)
	c := newCache(10)
	c.put("a", origin{revision: "1"}, now.Add(time.Minute))
	if o, ok := c.get("a", now.Add(59*time.Second)); !ok || o.revision != "1" {
		t.Errorf("before its end: %v %v", o, ok)
	}
	if _, ok := c.get("a", now.Add(time.Minute)); ok {
		t.Error("still there at its end")
	}
	c.put("b", origin{revision: "2"}, time.Time{})
	if _, ok := c.get("b", now.Add(1e6*time.Hour)); !ok {
		t.Error("what is kept for ever is gone")
	}
}

func TestCacheKeepsTheMostRecentlyUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		c := newCache(size)
		var recent []string // most recent last
		use := func(k string) {
			for i, r := range recent {
				if r == k {
					recent = append(recent[:i], recent[i+1:]...)
					break
				}
			}
			recent = append(recent, k)
			if len(recent) > size {
				recent = recent[1:]
			}
		}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 19), 1, 60).Draw(t, "keys") {
			key := fmt.Sprint(n % 10)
			if n < 10 {
				c.put(key, origin{revision: key}, time.Time{})
				use(key)
				continue
			}
			want := false
			for _, r := range recent {
				want = want || r == key
			}
			o, ok := c.get(key, time.Now())
			if ok != want || (ok && o.revision != key) {
				t.Fatalf("get %s: %v %v, want %v of %v", key, o, ok, want, recent)
			}
			if ok {
				use(key)
			}
		}
		if len(c.byKey) != len(recent) || c.order.Len() != len(recent) {
			t.Fatalf("holds %d and %d, want %d", len(c.byKey), c.order.Len(), len(recent))
		}
	})
}

func FuzzLabels(f *testing.F) {
	f.Add("https://git.example.com/a/b", commit)
	f.Add("javascript:alert(1)", "../..")
	f.Add("https://git.example.com@evil/", "a\x00b")
	r, err := New(Config{Hosts: []string{"git.example.com"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source, revision string) {
		o := r.origin(map[string]string{labelSource: source, labelRevision: revision})
		for _, s := range []string{o.source, o.revision} {
			if len(s) > 2*maxSourceBytes*3 {
				t.Errorf("%d bytes came through", len(s))
			}
			for _, c := range s {
				if c <= ' ' || c == '<' || c == '"' {
					t.Errorf("%q came through in %q", c, s)
				}
			}
		}
		if o.source != "" && r.cleanSource(o.source) != o.source {
			t.Errorf("%q is cleaned again to %q", o.source, r.cleanSource(o.source))
		}
	})
}
