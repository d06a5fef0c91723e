package alertmanager

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
)

func hostPort(t *testing.T, in *server) (host string, port uint16) {
	t.Helper()
	host, text, err := net.SplitHostPort(strings.TrimPrefix(in.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.ParseUint(text, 10, 16)
	return host, uint16(n)
}

func TestInstancesAreFound(t *testing.T) {
	for title, find := range map[string]func(t *testing.T, a, b *server) Config{
		"by the addresses of a name": func(t *testing.T, a, _ *server) Config {
			host, port := hostPort(t, a)
			return Config{URLs: []string{"dns+http://alertmanager.monitoring:" + strconv.Itoa(int(port)) + "/"}, Lookup: Lookup{Host: func(_ context.Context, name string) ([]string, error) {
				if name != "alertmanager.monitoring" {
					t.Errorf("asked for %s", name)
				}
				return []string{host}, nil
			}}}
		},
		"by SRV records": func(t *testing.T, a, b *server) Config {
			_, pa := hostPort(t, a)
			_, pb := hostPort(t, b)
			return Config{URLs: []string{"dnssrv+http://_web._tcp.alertmanager-operated.monitoring"}, Lookup: Lookup{Service: func(context.Context, string) ([]*net.SRV, error) {
				return []*net.SRV{{Target: "127.0.0.1.", Port: pa}, {Target: "127.0.0.1.", Port: pb}}, nil
			}}}
		},
		"by the endpoints of a Service": func(t *testing.T, a, b *server) Config {
			return Config{URLs: []string{"kubernetes+http://alertmanager.monitoring:web"}, Lookup: Lookup{Endpoints: func(_ context.Context, namespace, service, port string) ([]string, error) {
				if namespace != "monitoring" || service != "alertmanager" || port != "web" {
					t.Errorf("asked for %s/%s:%s", namespace, service, port)
				}
				return []string{strings.TrimPrefix(a.url, "http://"), strings.TrimPrefix(b.url, "http://")}, nil
			}}}
		},
	} {
		t.Run(title, func(t *testing.T) {
			a, b := newInstance(t), newInstance(t)
			if err := newSink(t, find(t, a, b)).Post(t.Context(), []release.Alert{firing}); err != nil {
				t.Fatal(err)
			}
			want := 1
			if title == "by the addresses of a name" {
				want = 0
			}
			if a.count() != 1 || b.count() != want {
				t.Errorf("%d and %d posts", a.count(), b.count())
			}
		})
	}
}

func TestInstancesAreLookedForAgainAndKeptWhereThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found, fail := []string{"10.0.0.1:9093", "10.0.0.2:9093"}, error(nil)
		asked := 0
		log, lines := sinktest.Log()
		d, err := newDiscovery(Config{URLs: []string{"kubernetes+http://alertmanager.monitoring:9093"}, Log: log, Lookup: Lookup{
			Endpoints: func(context.Context, string, string, string) ([]string, error) { asked++; return found, fail },
		}})
		if err != nil {
			t.Fatal(err)
		}
		look := func(want string) {
			t.Helper()
			got, err := d.instances(t.Context())
			var urls []string
			for _, in := range got {
				urls = append(urls, in.url)
			}
			if err != nil || strings.Join(urls, " ") != want {
				t.Errorf("got %v, %v, want %s", urls, err, want)
			}
		}
		look("http://10.0.0.1:9093 http://10.0.0.2:9093")
		found = []string{"10.0.0.2:9093", "10.0.0.3:9093"}
		look("http://10.0.0.1:9093 http://10.0.0.2:9093")
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		time.Sleep(lookAgain)
		look("http://10.0.0.2:9093 http://10.0.0.3:9093")
		time.Sleep(lookAgain)
		found, fail = nil, errors.New("the API server is away")
		look("http://10.0.0.2:9093 http://10.0.0.3:9093")
		look("http://10.0.0.2:9093 http://10.0.0.3:9093")
		if n := strings.Count(lines(), "is away"); n != 1 {
			t.Errorf("the fault is told %d times: %s", n, lines())
		}
		fail = nil // and nothing stands behind the name
		look("http://10.0.0.2:9093 http://10.0.0.3:9093")
	})
}

func TestWhenNoneIsFoundThatMayPass(t *testing.T) {
	s := newSink(t, Config{URLs: []string{"dns+http://nowhere.example:9093"}, Lookup: Lookup{Host: func(context.Context, string) ([]string, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}
	}}})
	err := s.Post(t.Context(), []release.Alert{firing})
	if release.ErrorCode(err) != release.CodeUnavailable || !strings.Contains(err.Error(), "alertmanager.urls") || !strings.Contains(err.Error(), "nowhere.example") {
		t.Errorf("got %v", err)
	}
}

func TestBadWaysToFindAreRefused(t *testing.T) {
	none := slog.New(slog.DiscardHandler)
	for _, text := range []string{
		"dns+http://alertmanager", "dns+alertmanager:9093", "srv+http://a:1", "kubernetes+http://alertmanager:web", "kubernetes+http://a.b", "kubernetes+http://a.b:",
		"kubernetes+http://me:" + token + "@a.b:web", "dnssrv+ftp://a",
	} {
		_, err := New(Config{URLs: []string{text}, Log: none, Lookup: Lookup{Endpoints: func(context.Context, string, string, string) ([]string, error) { return nil, nil }}})
		if release.ErrorCode(err) != release.CodeInvalid || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := New(Config{URLs: []string{"kubernetes+http://a.b:web"}, Log: none}); release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("without a cluster: %v", err)
	}
}

func FuzzURLs(f *testing.F) {
	for _, s := range []string{"http://a:9093", "dns+http://a.b:9093/x", "dnssrv+https://_web._tcp.a", "kubernetes+http://a.b:web/p", "kubernetes+http://[::1]:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parse(text)
		if err != nil && release.ErrorCode(err) != release.CodeInvalid || err == nil && (u.url.Host == "" || u.url.User != nil) {
			t.Errorf("%q: %+v, %v", text, u, err)
		}
	})
}
