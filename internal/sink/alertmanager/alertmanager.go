// Package alertmanager posts alerts to every instance of an Alertmanager
// cluster through its API v2, in that API's own models.
package alertmanager

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/models"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
	"github.com/watchtower-verify/watchtower/internal/sink/plain"
)

const defaultTimeout = 5 * time.Second

// Config says which instances there are and how to log in.
type Config struct {
	// URLs are the base URLs of all instances, without /api/v2. With dns+, dnssrv+
	// or kubernetes+ before it, a URL stands for as many instances as are found:
	// dns+http://alertmanager.monitoring:9093 for each address of the name,
	// dnssrv+http://_web._tcp.alertmanager.monitoring for each of its SRV records,
	// kubernetes+http://alertmanager.monitoring:web for each ready endpoint of the
	// Service alertmanager in the namespace monitoring at its port web.
	URLs []string
	// Lookup finds instances; the zero Lookup asks the system's resolver and knows
	// no Kubernetes.
	Lookup Lookup
	// BearerTokenFile holds a token; empty: none is sent.
	BearerTokenFile string
	CAFile          string
	// ProxyURL is the proxy to go through; empty: what the environment says.
	ProxyURL string
	// Timeout bounds one post to one instance; 0: 5 s.
	Timeout time.Duration
	// Log gets a line when an instance stops or begins again to accept alerts
	// while another one accepts them; nil: slog.Default.
	Log *slog.Logger
}

// Sink posts alerts. It is safe for concurrent use.
type Sink struct {
	cfg   Config
	log   *slog.Logger
	found *discovery

	mu     sync.Mutex
	broken map[string]bool // URLs of instances whose last post failed

	silences silences
}

type instance struct {
	url    string
	client *outbound.Client
}

// New returns a sink that does not connect before its first post.
func New(cfg Config) (*Sink, error) {
	if len(cfg.URLs) == 0 {
		return nil, release.E(release.CodeInvalid, "alertmanager: no instance is named", nil)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Sink{cfg: cfg, log: cfg.Log, broken: map[string]bool{}}
	var err error
	s.found, err = newDiscovery(cfg)
	return s, err
}

// Close drops idle connections.
func (s *Sink) Close() { s.found.close() }

// What Alertmanager is sent at most, in characters of a value: it takes more, and hands it
// on to receivers that do not. The generator's link leads to the rest.
const maxAnnotation, maxLabel = 8192, 1024

// within are the values, cut where they are too long.
func within(values map[string]string, limit int) map[string]string {
	out := make(map[string]string, len(values))
	for name, text := range values {
		out[name] = plain.Cut(text, limit)
	}
	return out
}

// Post sends the alerts to every instance at once and waits for all answers.
// Posting the same alert again is harmless: its labels are its identity.
//
// It is an error, a *release.Error, if no instance accepted them:
// CodeUnavailable or CodeRateLimited (with RetryAfter) where trying again may
// help, CodeInvalid where every instance refused them for good. Instances that
// fail while another one accepts are logged, since the instances tell each
// other nothing of alerts.
func (s *Sink) Post(ctx context.Context, alerts []release.Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	body := make(models.PostableAlerts, len(alerts))
	for i, a := range alerts {
		body[i] = &models.PostableAlert{
			Annotations: within(a.Annotations, maxAnnotation),
			StartsAt:    strfmt.DateTime(a.StartsAt.UTC()), EndsAt: strfmt.DateTime(a.EndsAt.UTC()),
			Alert: models.Alert{Labels: within(a.Labels, maxLabel), GeneratorURL: strfmt.URI(a.GeneratorURL)},
		}
	}
	if err := body.Validate(strfmt.Default); err != nil {
		return release.E(release.CodeInvalid, "an alert is not as Alertmanager takes it", err)
	}
	instances, err := s.found.instances(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(instances))
	var wg sync.WaitGroup
	for i, in := range instances {
		wg.Go(func() {
			errs[i] = advise(in.client.Do(ctx, "post alerts", http.MethodPost, in.url+"/api/v2/alerts", body, nil))
		})
	}
	wg.Wait()
	accepted := false
	for _, err := range errs {
		accepted = accepted || err == nil
	}
	if !accepted {
		return whole("no Alertmanager accepted the alerts", errs)
	}
	s.note(instances, errs)
	return nil
}

// advise adds what to do about a refused token.
func advise(err error) error {
	var e *release.Error
	status := outbound.Status(err)
	if !errors.As(err, &e) || status != http.StatusUnauthorized && status != http.StatusForbidden {
		return err
	}
	return release.E(e.Code, e.Message+"; alertmanager.bearer_token_file must hold a token that it takes", e.Err)
}

// note logs instances whose state changed.
func (s *Sink) note(instances []instance, errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, err := range errs {
		u := instances[i].url
		if (err != nil) == s.broken[u] {
			continue
		}
		s.broken[u] = err != nil
		if err != nil {
			s.log.Warn("alertmanager instance does not accept alerts, another one does", "url", u, "err", err)
		} else {
			s.log.Info("alertmanager instance accepts alerts again", "url", u)
		}
	}
}

// whole makes one error of those of all instances: one that may pass wins over
// one that will not, and the shortest wait counts.
func whole(what string, errs []error) error {
	out := &release.Error{Code: release.CodeInvalid, Message: what, Err: errors.Join(errs...)}
	for _, err := range errs {
		switch code, after := release.ErrorCode(err), release.RetryAfter(err); code {
		case release.CodeUnavailable, release.CodePartial:
			out.Code, out.RetryAfter = release.CodeUnavailable, 0
			return out
		case release.CodeRateLimited:
			if out.Code != code || after < out.RetryAfter {
				out.RetryAfter = after
			}
			out.Code = code
		}
	}
	return out
}
