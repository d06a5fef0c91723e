//go:build unix

package respond

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// outside is everything outside Watchtower, in the process that kills; those that
// are killed reach it through a socket.
type outside struct {
	cluster *strictCluster
	alerts  *strictAlertmanager
	forge   *strictForge
	chat    *strictChat

	mu      sync.Mutex
	cases   []judged
	armed   point // the next process to come here dies
	reached map[point]bool
	settled int // cases that the process which acts has brought to their end
}

// judged is a release as the loop judges it.
type judged struct {
	Release  release.Release
	Verdict  release.Verdict
	Autonomy release.Autonomy
}

// strictChat is a receiver without any key of its own: whoever posts twice is
// seen twice, and finds what he posted only by looking.
type strictChat struct {
	mu    sync.Mutex
	posts []release.Message
	told  map[string][]release.MessageState
}

type chatCall struct {
	Message release.Message
	Ref     int // of a post, from 1; 0: a new one
}

// find is the reference of the post of a key, 0 for none.
func (c *strictChat) find(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range c.posts {
		if m.Key == key {
			return i + 1
		}
	}
	return 0
}

func (c *strictChat) show(call chatCall) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := call.Message
	if call.Ref == 0 {
		c.posts = append(c.posts, m)
		call.Ref = len(c.posts)
	}
	if told := c.told[m.Key]; len(told) == 0 || told[len(told)-1] != m.State {
		c.told[m.Key] = append(told, m.State)
	}
	c.posts[call.Ref-1] = m
	return call.Ref
}

func newOutside(t testing.TB) (o *outside, socket string) {
	o = &outside{
		cluster: newCluster(), alerts: newAlertmanager(), forge: &strictForge{},
		chat: &strictChat{told: make(map[string][]release.MessageState)}, reached: make(map[point]bool),
	}
	o.cluster.comesBack = 100 * time.Millisecond
	socket = filepath.Join(t.TempDir(), "outside")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: o.handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-done //nolint:errcheck // it was closed
	})
	return o, socket
}

// answer is what a call comes to.
type answer struct {
	Code    release.Code
	Message string
	Value   json.RawMessage
}

func on[A, R any](mux *http.ServeMux, name string, f func(ctx context.Context, args A) (R, error)) {
	mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
		var args A
		var out answer
		err := json.NewDecoder(r.Body).Decode(&args)
		var value R
		if err == nil {
			// The world goes on when who asked it has died.
			value, err = f(context.WithoutCancel(r.Context()), args)
		}
		if err == nil {
			out.Value, err = json.Marshal(value)
		}
		if err != nil {
			out.Code, out.Message = release.ErrorCode(err), err.Error()
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

type rollbackArgs struct {
	Workload release.Workload
	Request  release.RollbackRequest
	Target   release.ReplicaSet
}

type eventArgs struct {
	Workload             release.Workload
	Key, Reason, Message string
}

type issueArgs struct {
	Repo, Marker string
	Issue        release.Issue
}

type found struct {
	URL   string
	Found bool
}

type nothing struct{}

func (o *outside) handler() http.Handler {
	mux := http.NewServeMux()
	on(mux, "replicasets", func(ctx context.Context, a rollbackArgs) ([]release.RolloutReplicaSet, error) {
		return o.cluster.ReplicaSets(ctx, a.Workload)
	})
	on(mux, "rollback", func(ctx context.Context, a rollbackArgs) (release.RollbackResult, error) {
		return o.cluster.Rollback(ctx, a.Request)
	})
	on(mux, "restored", func(ctx context.Context, a rollbackArgs) (bool, error) {
		return o.cluster.Restored(ctx, a.Workload, a.Target)
	})
	on(mux, "event", func(ctx context.Context, a eventArgs) (nothing, error) {
		return nothing{}, o.cluster.Event(ctx, a.Workload, a.Key, a.Reason, a.Message, true)
	})
	on(mux, "post", func(ctx context.Context, a []release.Alert) (nothing, error) { return nothing{}, o.alerts.Post(ctx, a) })
	on(mux, "findissue", func(ctx context.Context, a issueArgs) (f found, err error) {
		f.URL, f.Found, err = o.forge.FindIssue(ctx, a.Repo, a.Marker)
		return f, err
	})
	on(mux, "openissue", func(ctx context.Context, a issueArgs) (string, error) { return o.forge.OpenIssue(ctx, a.Repo, a.Issue) })
	on(mux, "findmessage", func(_ context.Context, key string) (int, error) { return o.chat.find(key), nil })
	on(mux, "showmessage", func(_ context.Context, a chatCall) (int, error) { return o.chat.show(a), nil })
	on(mux, "cases", func(context.Context, nothing) ([]judged, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.cases, nil
	})
	on(mux, "settled", func(_ context.Context, n int) (nothing, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.settled = n
		return nothing{}, nil
	})
	on(mux, "point", func(_ context.Context, p point) (die bool, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.reached[p] = true
		if die = o.armed == p; die {
			o.armed = ""
		}
		return die, nil
	})
	return mux
}

// reach is the world as a process that may be killed reaches it.
type reach struct{ http *http.Client }

func reachOver(socket string) reach {
	return reach{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func call[R any](ctx context.Context, r reach, name string, args any) (value R, err error) {
	body, err := json.Marshal(args)
	if err != nil {
		return value, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://outside/"+name, strings.NewReader(string(body)))
	if err != nil {
		return value, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return value, release.E(release.CodeUnavailable, "the world is away", err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return value, release.E(release.CodeUnavailable, "the world answered strangely", err)
	}
	if a.Code != "" {
		return value, release.E(a.Code, a.Message, nil)
	}
	return value, json.Unmarshal(a.Value, &value)
}

func (r reach) ReplicaSets(ctx context.Context, w release.Workload) ([]release.RolloutReplicaSet, error) {
	return call[[]release.RolloutReplicaSet](ctx, r, "replicasets", rollbackArgs{Workload: w})
}

func (r reach) Rollback(ctx context.Context, req release.RollbackRequest) (release.RollbackResult, error) {
	return call[release.RollbackResult](ctx, r, "rollback", rollbackArgs{Request: req})
}

func (r reach) Restored(ctx context.Context, w release.Workload, target release.ReplicaSet) (bool, error) {
	return call[bool](ctx, r, "restored", rollbackArgs{Workload: w, Target: target})
}

func (r reach) Event(ctx context.Context, w release.Workload, key, reason, message string, _ bool) error {
	_, err := call[nothing](ctx, r, "event", eventArgs{w, key, reason, message})
	return err
}

func (r reach) Post(ctx context.Context, alerts []release.Alert) error {
	_, err := call[nothing](ctx, r, "post", alerts)
	return err
}

func (r reach) Repository(source string) (string, bool) {
	return strings.CutPrefix(source, "https://git.example/")
}

func (r reach) FindIssue(ctx context.Context, repo, marker string) (string, bool, error) {
	f, err := call[found](ctx, r, "findissue", issueArgs{Repo: repo, Marker: marker})
	return f.URL, f.Found, err
}

func (r reach) OpenIssue(ctx context.Context, repo string, issue release.Issue) (string, error) {
	return call[string](ctx, r, "openissue", issueArgs{Repo: repo, Issue: issue})
}

func (r reach) Commits(context.Context, string, string, string) ([]release.Commit, error) {
	return nil, errors.New("no commits here")
}

// Deliver posts once and updates afterwards, as a receiver without keys needs.
func (r reach) Deliver(ctx context.Context, m release.Message, ref []byte) ([]byte, error) {
	var at int
	if ref != nil {
		if err := json.Unmarshal(ref, &at); err != nil {
			return nil, err
		}
	}
	if at == 0 { // perhaps an earlier process posted it
		var err error
		if at, err = call[int](ctx, r, "findmessage", m.Key); err != nil {
			return nil, err
		}
	}
	at, err := call[int](ctx, r, "showmessage", chatCall{Message: m, Ref: at})
	if err != nil {
		return nil, err
	}
	return json.Marshal(at)
}
