package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const vector = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1700000000.123,"5"]}]}}`

// target is a service that counts what reaches it.
type target struct {
	*httptest.Server
	hits atomic.Int64
	last atomic.Value // body of the last request
}

func newTarget(t *testing.T, answer string) *target {
	t.Helper()
	tg := &target{}
	tg.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		tg.last.Store(string(body))
		tg.hits.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(tg.Close)
	return tg
}

func newProxy(t *testing.T, url string) *Proxy {
	t.Helper()
	p, err := New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func do(t *testing.T, method, url, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp, string(answer), err
}

func TestModes(t *testing.T) {
	for name, c := range map[string]struct {
		mode    Mode
		answer  string // of the target
		want    string // of the proxy; "": no answer
		status  int
		reaches bool // the target
	}{
		"pass leaves all as it is":               {Pass(), vector, vector, 200, true},
		"refuse gives no answer":                 {Refuse(), vector, "", 0, false},
		"lost reaches the target":                {Lost(), vector, "", 0, true},
		"status answers itself":                  {Status(429, http.Header{"Retry-After": {"7"}}), vector, "status", 429, false},
		"slow passes after a while":              {Slow(time.Millisecond), vector, vector, 200, true},
		"empty takes the result away":            {Empty(), vector, `{"data":{"result":[],"resultType":"vector"},"status":"success"}`, 200, true},
		"empty keeps a matrix":                   {Empty(), `{"status":"success","data":{"resultType":"matrix","result":[1]}}`, `{"data":{"result":[],"resultType":"matrix"},"status":"success"}`, 200, true},
		"empty series":                           {Empty(), `{"status":"success","data":[{"a":"b"}]}`, `{"data":[],"status":"success"}`, 200, true},
		"empty leaves an error":                  {Empty(), `{"status":"error","error":"x"}`, `{"status":"error","error":"x"}`, 200, true},
		"empty leaves what is no object":         {Empty(), `[1,2]`, `[1,2]`, 200, true},
		"NaN spoils a vector, not its times":     {NaN(), vector, `{"data":{"result":[{"metric":{"a":"b"},"value":[1700000000.123,"NaN"]}],"resultType":"vector"},"status":"success"}`, 200, true},
		"NaN spoils a matrix":                    {NaN(), `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[3,"4"]]}]}}`, `{"data":{"result":[{"metric":{},"values":[[1,"NaN"],[3,"NaN"]]}],"resultType":"matrix"},"status":"success"}`, 200, true},
		"NaN spoils a scalar":                    {NaN(), `{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`, `{"data":{"result":[1,"NaN"],"resultType":"scalar"},"status":"success"}`, 200, true},
		"partial adds a warning":                 {Partial(), `{"status":"success","data":[]}`, `{"data":[],"status":"success","warnings":["a store did not answer: the result is partial"]}`, 200, true},
		"partial adds to the warnings there are": {Partial(), `{"status":"success","warnings":["w"]}`, `{"status":"success","warnings":["w","a store did not answer: the result is partial"]}`, 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			tg := newTarget(t, c.answer)
			p := newProxy(t, tg.URL)
			p.Set(c.mode)
			resp, body, err := do(t, "POST", p.URL+"/api/v1/query?a=b", "query=up")
			if reached := tg.hits.Load() == 1; reached != c.reaches {
				t.Errorf("the target was reached: %t", reached)
			}
			if c.reaches && tg.last.Load() != "query=up" {
				t.Errorf("the target got %q", tg.last.Load())
			}
			record := p.Records()[0]
			if record.Forwarded != c.reaches || record.Status != c.status || record.Query != "a=b" || record.Path != "/api/v1/query" {
				t.Errorf("record %+v", record)
			}
			if c.want == "" {
				if err == nil {
					t.Errorf("answered %s %s", resp.Status, body)
				}
				return
			}
			if err != nil || resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%v %s", err, body)
			}
			if c.status == 429 && resp.Header.Get("Retry-After") != "7" {
				t.Errorf("headers %v", resp.Header)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("no JSON: %s", body)
			}
		})
	}
}

func TestTheNewestRuleThatMatchesHolds(t *testing.T) {
	tg := newTarget(t, `{}`)
	p := newProxy(t, tg.URL)
	code := func(method, path string) int {
		t.Helper()
		resp, _, err := do(t, method, p.URL+path, "")
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	p.On(Match{}, Status(500, nil))
	remove := p.On(Match{Method: "PATCH", Path: "/apis/.*/deployments/[^/]+"}, Status(422, nil))
	p.Times(2, Match{Path: "/issues", Query: "page=1"}, Status(429, nil))
	p.On(Match{Where: func(r *http.Request) bool { return r.Header.Get("User-Agent") == "nobody" }}, Status(418, nil))
	for i, c := range []struct {
		method, path string
		want         int
	}{
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/b", 422},
		{"GET", "/apis/apps/v1/namespaces/a/deployments/b", 500},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale", 500},
		{"GET", "/issues?page=1", 429},
		{"GET", "/issues?page=2", 500},
		{"GET", "/issues?page=1", 429},
		{"GET", "/issues?page=1", 500},
	} {
		if got := code(c.method, c.path); got != c.want {
			t.Errorf("%d: %s %s answers %d, want %d", i, c.method, c.path, got, c.want)
		}
	}
	remove()
	if got := code("PATCH", "/apis/apps/v1/namespaces/a/deployments/b"); got != 500 {
		t.Errorf("a rule that was taken back answers %d", got)
	}
	p.Reset()
	if got := code("GET", "/"); got != 200 {
		t.Errorf("after a reset: %d", got)
	}
	if got := p.Accepted(Match{}); got != 1 {
		t.Errorf("%d requests accepted by the target", got)
	}
	if got := p.Seen(Match{Path: "/issues"}); got != 4 {
		t.Errorf("%d requests for issues seen", got)
	}
}

func TestHoldRequestKeepsItFromTheTarget(t *testing.T) {
	tg := newTarget(t, `{"ok":true}`)
	p := newProxy(t, tg.URL)
	hold := NewHold()
	p.On(Match{Method: "PATCH"}, HoldRequest(hold))
	answered := make(chan error, 1)
	go func() {
		_, body, err := do(t, "PATCH", p.URL+"/x", "patch")
		answered <- errors.Join(err, want(body, `{"ok":true}`))
	}()
	if err := hold.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tg.hits.Load() != 0 {
		t.Error("the target saw it")
	}
	hold.Release()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if tg.last.Load() != "patch" {
		t.Errorf("the target got %q", tg.last.Load())
	}
}

func TestAClientThatDiesTakesItsHeldRequestWithIt(t *testing.T) {
	tg := newTarget(t, `{}`)
	p := newProxy(t, tg.URL)
	hold := NewHold()
	p.On(Match{}, HoldRequest(hold))
	ctx, die := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req, _ := http.NewRequestWithContext(ctx, "POST", p.URL+"/x", strings.NewReader("body"))
		transport := &http.Transport{DisableKeepAlives: true}
		if resp, err := transport.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	if err := hold.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	die()
	<-ended
	p.awaitIdle(t)
	hold.Release()
	if r := p.Records()[0]; r.Forwarded || tg.hits.Load() != 0 {
		t.Errorf("it reached the target: %+v", r)
	}
}

// awaitIdle waits until no connection is left.
func (p *Proxy) awaitIdle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		n := len(p.conns)
		p.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", n)
		}
	}
}

func TestHoldAnswerHoldsOnceTheTargetHasActed(t *testing.T) {
	tg := newTarget(t, `{"ok":true}`)
	p := newProxy(t, tg.URL)
	hold := NewHold()
	p.On(Match{}, HoldAnswer(hold))
	answered := make(chan error, 1)
	go func() {
		_, body, err := do(t, "POST", p.URL+"/x", "")
		answered <- errors.Join(err, want(body, `{"ok":true}`))
	}()
	if err := hold.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := p.Records()[0]; tg.hits.Load() != 1 || r.TargetStatus != 200 || r.Status != 0 {
		t.Errorf("record %+v", r)
	}
	select {
	case err := <-answered:
		t.Errorf("it was answered (%v)", err)
	default:
	}
	hold.Release()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestCloseLetsGoOfThoseHeld(t *testing.T) {
	tg := newTarget(t, `{}`)
	p, err := New(tg.URL)
	if err != nil {
		t.Fatal(err)
	}
	hold := NewHold()
	p.Set(HoldAnswer(hold))
	answered := make(chan error, 1)
	go func() { _, _, err := do(t, "GET", p.URL+"/x", ""); answered <- err }()
	if err := hold.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := <-answered; err == nil {
		t.Error("it was answered")
	}
}

func TestDownEndsStreamsAndUpBringsBack(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(w, "event %d\n", i); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			if i > 0 {
				<-req.Context().Done()
				return
			}
		}
	}))
	defer upstream.Close()
	p := newProxy(t, upstream.URL)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Get(p.URL + "/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, len("event 0\n"))
	if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "event 0\n" {
		t.Fatalf("%q %v: a stream must not be held back", buf, err)
	}
	p.Down()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the stream ended well")
	}
	if resp, err := client.Get(p.URL + "/watch"); err == nil {
		_ = resp.Body.Close()
		t.Error("it answers while down")
	}
	p.Up()
	again, err := client.Get(p.URL + "/watch")
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Body.Close()
}

func TestATargetThatIsGoneGivesNoAnswer(t *testing.T) {
	tg := newTarget(t, `{}`)
	p := newProxy(t, tg.URL)
	tg.Close()
	if resp, _, err := do(t, "GET", p.URL+"/x", ""); err == nil {
		t.Errorf("answered %s", resp.Status)
	}
	if r := p.Records()[0]; r.Status != 0 || r.TargetStatus != 0 {
		t.Errorf("record %+v", r)
	}
}

func TestNewRefusesWhatIsNoURL(t *testing.T) {
	for _, target := range []string{"", "127.0.0.1:9090", "ftp://a", "http://"} {
		if p, err := New(target); err == nil {
			p.Close()
			t.Errorf("%q was accepted", target)
		}
	}
}

func want(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}
