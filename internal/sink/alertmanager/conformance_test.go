package alertmanager

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/sinktest"
	"github.com/watchtower-verify/watchtower/internal/sink/standin"
)

// poster tells of messages by the alerts they are.
type poster struct{ *Sink }

func (p poster) Deliver(ctx context.Context, m release.Message, _ []byte) ([]byte, error) {
	a := message.Alert(m)
	if m.EndedAt != nil {
		a.EndsAt = *m.EndedAt
	}
	return nil, p.Post(ctx, []release.Alert{a})
}

// shown are the alerts, as people read them.
func (in *server) shown() (out []sinktest.Shown) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range in.alerts {
		lines := []string{a.GeneratorURL}
		for name, text := range a.Annotations {
			lines = append(lines, name+": "+text)
		}
		slices.Sort(lines)
		out = append(out, sinktest.Shown{First: a.Annotations["summary"], Text: strings.Join(lines, "\n")})
	}
	return out
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Name: "Alertmanager", SecretSetting: "bearer_token_file",
		New: func(t *testing.T, s sinktest.Settings) sinktest.World {
			in, door := newInstance(t), &standin.Door{}
			in.token = token
			log, said := sinktest.Log()
			p := sinktest.Serve(t, door.Wrap(in), s)
			cfg := Config{
				URLs: []string{p.URL}, BearerTokenFile: sinktest.File(t, token), CAFile: p.CAFile, ProxyURL: p.ProxyURL, Timeout: p.Timeout, Log: log,
			}
			return sinktest.World{
				Start: func() sinktest.Sink { return poster{newSink(t, cfg)} }, Door: door, Shown: in.shown,
				Secrets: []string{token}, Log: said,
				Revoke: func() {
					in.mu.Lock()
					defer in.mu.Unlock()
					in.token = "another"
				},
			}
		},
	})
}

func TestValuesThatAreTooLongAreCut(t *testing.T) {
	in := newInstance(t)
	a := message.Alert(sinktest.Regressed("r1"))
	a.Annotations["description"], a.Labels["team"] = strings.Repeat("é", 2*maxAnnotation), strings.Repeat("x", 2*maxLabel)
	s := newSink(t, Config{URLs: []string{in.url}})
	if err := s.Post(t.Context(), []release.Alert{a}); err != nil {
		t.Fatal(err)
	}
	text := strings.Join([]string{in.shown()[0].First, in.shown()[0].Text}, "\n")
	if n := strings.Count(text, "é"); n != maxAnnotation-1 || !strings.Contains(text, "é…") || !strings.Contains(text, a.GeneratorURL) {
		t.Errorf("%d characters of it arrived: %.100s", n, text)
	}
}
