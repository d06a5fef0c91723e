package app

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/slack"
	"github.com/watchtower-verify/watchtower/internal/sink/slack/slacktest"
	"github.com/watchtower-verify/watchtower/internal/store"
	"github.com/watchtower-verify/watchtower/internal/store/storetest/postgres"
)

// twoSinks are those of two replicas of two clusters, that share a database and a
// channel but nothing else.
func twoSinks(t *testing.T, server *slacktest.Server) (sinks [2]*slack.Sink) {
	t.Helper()
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("xoxb-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	database, log := postgres.Fresh(t), slog.New(slog.DiscardHandler)
	for i := range sinks {
		st, err := store.Open(t.Context(), database, log, store.ForCluster(fmt.Sprint("cluster", i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		if sinks[i], err = slack.New(slack.Config{Name: "chat", TokenFile: token, Channel: clickChannel, URL: web.URL + "/api", Turns: st, Log: log}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sinks[i].Close)
	}
	return sinks
}

func workspace() *slacktest.Server {
	return slacktest.New("xoxb-1", "", slacktest.Channel{ID: clickChannel, Name: "deploys", Member: true})
}

func TestAllReplicasTogetherKeepToSlacksPace(t *testing.T) {
	const (
		burst  = 50
		beyond = 3 // so many seconds
	)
	server := workspace()
	// Slack's own count, a little longer than ours: it would answer 429 to more.
	server.Limit(time.Second, burst+1)
	sinks := twoSinks(t, server)
	began := time.Now()
	var all sync.WaitGroup
	for i := range burst + beyond {
		all.Go(func() {
			m := sinktest.Regressed(release.ID(fmt.Sprint("r", i)))
			for {
				_, err := sinks[i%2].Deliver(t.Context(), m, nil)
				if err == nil {
					return
				}
				if release.ErrorCode(err) != release.CodeRateLimited || release.RetryAfter(err) <= 0 {
					t.Errorf("got %v", err)
					return
				}
				time.Sleep(release.RetryAfter(err)) // as the queue would
			}
		})
	}
	all.Wait()
	taken, over := server.Posted(clickChannel)
	if over > 0 || len(taken) != burst+beyond {
		t.Errorf("%d messages were taken, %d were too many", len(taken), over)
	}
	// Whenever it was, in d seconds there were no more than a burst and d.
	for i := range taken {
		for j := i; j < len(taken); j++ {
			if n, most := j-i+1, burst+int(taken[j].Sub(taken[i])/time.Second)+1; n > most {
				t.Fatalf("%d messages within %s", n, taken[j].Sub(taken[i]))
			}
		}
	}
	if took := time.Since(began); took < (beyond-1)*time.Second {
		t.Errorf("all of them within %s", took)
	}
}

func TestWhatSlackToldOneReplicaHoldsTheOthersBack(t *testing.T) {
	server := workspace()
	server.Limit(5*time.Second, 1)
	sinks := twoSinks(t, server)
	if _, err := sinks[0].Deliver(t.Context(), sinktest.Regressed("one"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := sinks[0].Deliver(t.Context(), sinktest.Regressed("two"), nil)
	if after := release.RetryAfter(err); release.ErrorCode(err) != release.CodeRateLimited || after < 2*time.Second {
		t.Fatalf("Slack said to come again in %s: %v", after, err)
	}
	asked := len(server.Requests())
	for _, state := range []release.MessageState{release.SaysRegressed, release.SaysRestored} { // to post, and to change
		m := sinktest.Regressed("one")
		m.State = state
		_, err = sinks[1].Deliver(t.Context(), m, nil)
		if after := release.RetryAfter(err); release.ErrorCode(err) != release.CodeRateLimited || after < time.Second || after > 5*time.Second {
			t.Errorf("the other replica comes again in %s: %v", after, err)
		}
	}
	if n := len(server.Requests()); n != asked {
		t.Errorf("Slack was asked %d times although it wanted to be left alone", n-asked)
	}
	if _, over := server.Posted(clickChannel); over != 1 {
		t.Errorf("Slack had to say so %d times", over)
	}
}
