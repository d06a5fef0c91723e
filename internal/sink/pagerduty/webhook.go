package pagerduty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/PagerDuty/go-pagerduty/webhookv3"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Acknowledgement is what a person did to an incident at PagerDuty.
type Acknowledgement struct {
	// Key is the dedup key, which is the key of the message.
	Key string
	// What is "acknowledged", "unacknowledged", "resolved" or "reopened".
	What string
	// Who is the person's name; it may hold anything.
	Who string
	At  time.Time
	URL string // of the incident
}

// Webhook takes PagerDuty's webhooks v3 and tells of acknowledgements. A
// request whose signature is none of the secrets' does nothing.
type Webhook struct {
	// SecretFiles hold the secrets of the subscriptions, one each, read for each
	// request.
	SecretFiles []string
	// Told is called once for each event. After an error PagerDuty sends the
	// event again. Since a replayed event is one that was signed, and the past is
	// all it can tell, Told has to keep what is newest by At.
	Told func(ctx context.Context, a Acknowledgement) error
	Log  *slog.Logger

	mu   sync.Mutex
	seen []string // ids of events that were told, the newest last
}

// Limits of what a request may hold.
const (
	maxWebhook    = 1 << 20
	maxRemembered = 1000
	maxName       = 100
)

var whats = map[string]string{
	"incident.acknowledged": "acknowledged", "incident.unacknowledged": "unacknowledged",
	"incident.resolved": "resolved", "incident.reopened": "reopened",
}

// event is a webhook's body, as far as it matters here.
type event struct {
	Event struct {
		ID         string    `json:"id"`
		Type       string    `json:"event_type"`
		OccurredAt time.Time `json:"occurred_at"`
		Agent      *struct {
			Summary string `json:"summary"`
		} `json:"agent"`
		Data struct {
			IncidentKey string `json:"incident_key"`
			URL         string `json:"html_url"`
		} `json:"data"`
	} `json:"event"`
}

// ServeHTTP answers 200 for what was told or does not matter, 4xx for what
// PagerDuty need not send again, 503 for what it shall.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST is taken here", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxWebhook)
	status, err := h.verify(r)
	if err == nil {
		status, err = h.take(r)
	}
	if err != nil {
		h.Log.Warn("a webhook of PagerDuty was not taken", "status", status, "err", err)
		http.Error(w, http.StatusText(status), status)
	}
}

// verify checks the signature against each secret.
func (h *Webhook) verify(r *http.Request) (status int, err error) {
	err = errors.New("no secret is configured: see webhook_secret_file")
	for _, file := range h.SecretFiles {
		secret, readErr := outbound.ReadSecret(file)
		if readErr != nil {
			return http.StatusServiceUnavailable, readErr
		}
		if err = webhookv3.VerifySignature(r, secret); err == nil {
			return 0, nil
		}
	}
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, err
	case errors.Is(err, webhookv3.ErrMalformedHeader), errors.Is(err, webhookv3.ErrMalformedBody):
		return http.StatusBadRequest, err
	}
	return http.StatusForbidden, fmt.Errorf("%w: the secret in webhook_secret_file is not that of the subscription", err)
}

func (h *Webhook) take(r *http.Request) (status int, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	var in event
	if err := json.Unmarshal(body, &in); err != nil {
		return http.StatusBadRequest, fmt.Errorf("the body is not a webhook v3: %w", err)
	}
	e := in.Event
	what, matters := whats[e.Type]
	if !matters || e.Data.IncidentKey == "" || h.known(e.ID) {
		return 0, nil
	}
	a := Acknowledgement{Key: e.Data.IncidentKey, What: what, At: e.OccurredAt, URL: e.Data.URL, Who: "somebody"}
	if e.Agent != nil && e.Agent.Summary != "" {
		a.Who = release.OneLine(e.Agent.Summary, maxName)
	}
	if err := h.Told(r.Context(), a); err != nil {
		return http.StatusServiceUnavailable, err
	}
	h.remember(e.ID)
	return 0, nil
}

func (h *Webhook) known(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.seen, id)
}

func (h *Webhook) remember(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, id)
	if len(h.seen) > maxRemembered {
		h.seen = slices.Delete(h.seen, 0, len(h.seen)-maxRemembered)
	}
}
