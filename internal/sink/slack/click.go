package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	api "github.com/slack-go/slack"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

const (
	maxPayload = 1 << 20
	// Slack gives up after three seconds and shows the person a warning.
	decideWithin = 2500 * time.Millisecond
	replyWithin  = 10 * time.Second
	signedFor    = 5 * time.Minute // as long as a signature counts
	maxReply     = 1000
)

// Person is who may press buttons.
type Person struct {
	Name string // as the audit shows it
	Role string // "view", "approve" or "admin"
}

// Click is a person who pressed a button and may.
type Click struct {
	// ID is the same for the same click, told twice.
	ID       string
	Offer    release.Offer
	Release  release.ID
	Sequence int // of the message whose button it was
	Person   Person
	At       time.Time
}

// Clicks takes interactions, over HTTP and in Socket Mode.
type Clicks struct {
	// SigningSecretFile holds the app's signing secret, read for each request;
	// empty: interactions over HTTP are refused.
	SigningSecretFile string
	// People are who may press buttons, by their Slack user id.
	People map[string]Person
	// Decide takes note of a click, in two seconds; what follows from it is done
	// later. reply is shown to the person alone; "" shows nothing. An error of
	// CodeRefused, CodeVoid, CodeInvalid or CodeNotFound is what the person reads:
	// the approval has expired, it was decided already. The same click may come
	// twice.
	Decide func(ctx context.Context, c Click) (reply string, err error)
	// Refused takes note of a click of somebody without the role; nil: nobody does.
	// user is the person's id in Slack.
	Refused func(ctx context.Context, c Click, user, why string)
	// Reply shows a text to one person in a channel; Sink.Whisper does.
	Reply func(ctx context.Context, channel, user, text string) error
	Log   *slog.Logger

	mu   sync.Mutex
	seen map[string]time.Time // signatures, until when they count
	work sync.WaitGroup
}

// Close waits for replies that are under way.
func (h *Clicks) Close() { h.work.Wait() }

// ServeHTTP takes an interaction that Slack signed, once: 200 when it was taken
// or refused to the person, 401 for a signature that is wrong, old or was there
// before.
func (h *Clicks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST is taken here", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	status := http.StatusRequestEntityTooLarge
	if err == nil {
		status, err = h.verify(r.Header, body)
	}
	if err == nil {
		status, err = h.form(r.Context(), body)
	}
	if err != nil {
		h.Log.Warn("an interaction of Slack was not taken", "status", status, "err", err)
		http.Error(w, http.StatusText(status), status)
	}
}

func (h *Clicks) verify(header http.Header, body []byte) (status int, err error) {
	if h.SigningSecretFile == "" {
		return http.StatusUnauthorized, errors.New("no signing secret is configured: see signing_secret_file")
	}
	secret, err := outbound.ReadSecret(h.SigningSecretFile)
	if err != nil {
		return http.StatusServiceUnavailable, err
	}
	v, err := api.NewSecretsVerifier(header, secret)
	if errors.Is(err, api.ErrExpiredTimestamp) {
		return http.StatusUnauthorized, errors.New("the request is older than five minutes: it was replayed, or the clock here is wrong")
	}
	if err != nil {
		return http.StatusUnauthorized, errors.New("the request carries no signature of Slack's")
	}
	if _, err := v.Write(body); err != nil {
		return http.StatusUnauthorized, err
	}
	if v.Ensure() != nil {
		return http.StatusUnauthorized, errors.New("the signature is wrong: signing_secret_file must hold the Signing Secret of the app")
	}
	if h.again(header.Get("X-Slack-Signature"), time.Now()) {
		return http.StatusUnauthorized, errors.New("the request was taken before")
	}
	return 0, nil
}

// again reports whether the signature was there before. Signatures that are too
// old to count are forgotten.
func (h *Clicks) again(signature string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s, until := range h.seen {
		if now.After(until) {
			delete(h.seen, s)
		}
	}
	if _, ok := h.seen[signature]; ok {
		return true
	}
	if h.seen == nil {
		h.seen = map[string]time.Time{}
	}
	h.seen[signature] = now.Add(2 * signedFor) // it may be signed five minutes ahead
	return false
}

func (h *Clicks) form(ctx context.Context, body []byte) (status int, err error) {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("payload") == "" {
		return http.StatusBadRequest, errors.New("the body has no payload")
	}
	if err := h.take(ctx, []byte(form.Get("payload"))); err != nil {
		return http.StatusBadRequest, err
	}
	return 0, nil
}

// payload is an interaction, as far as it matters here.
type payload struct {
	Type string `json:"type"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Actions []struct {
		ID    string `json:"action_id"`
		Value string `json:"value"`
		At    string `json:"action_ts"`
	} `json:"actions"`
}

// take has what was clicked decided. Its error is that of a payload that is
// none; what the person may not do is told to the person.
func (h *Clicks) take(ctx context.Context, text []byte) error {
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("the payload is no interaction: %w", err)
	}
	if p.Type != "block_actions" {
		return nil
	}
	for _, a := range p.Actions {
		offer, ours := strings.CutPrefix(a.ID, actionPrefix)
		if !ours {
			continue
		}
		id, sequence, ok := strings.Cut(a.Value, ".")
		n, err := strconv.Atoi(sequence)
		if _, known := offers[release.Offer(offer)]; !known || !ok || err != nil || id == "" {
			return errors.New("the button is none of Watchtower's")
		}
		c := Click{
			ID: p.User.ID + "/" + a.At, Offer: release.Offer(offer), Release: release.ID(id), Sequence: n, Person: h.People[p.User.ID], At: time.Now(),
		}
		h.whisper(ctx, p, h.decide(ctx, c, p.User.ID))
	}
	return nil
}

// decide answers what the person is told.
func (h *Clicks) decide(ctx context.Context, c Click, user string) string {
	ctx, cancel := context.WithTimeout(ctx, decideWithin)
	defer cancel()
	if !slices.Contains([]string{"approve", "admin"}, c.Person.Role) {
		user = release.OneLine(user, 50)
		h.Log.Info("a click of somebody without the role was refused", "user", user, "offer", c.Offer, "release", c.Release)
		if h.Refused != nil {
			h.Refused(ctx, c, user, "it takes the role approve")
		}
		return "You may not do that: it takes the role approve. Ask whoever runs Watchtower to give it to your Slack user " + user + "."
	}
	reply, err := h.Decide(ctx, c)
	if err == nil {
		return reply
	}
	var known *release.Error
	if errors.As(err, &known) && slices.Contains([]release.Code{release.CodeRefused, release.CodeVoid, release.CodeInvalid, release.CodeNotFound}, known.Code) {
		return "That could not be done: " + known.Message + "."
	}
	h.Log.Warn("a click could not be taken", "offer", c.Offer, "release", c.Release, "err", err)
	return "That could not be done just now. Please try again in a moment."
}

// whisper tells the person alone, after Slack has got its answer.
func (h *Clicks) whisper(ctx context.Context, p payload, text string) {
	if text == "" || h.Reply == nil {
		return
	}
	h.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyWithin)
		defer cancel()
		if err := h.Reply(ctx, p.Channel.ID, p.User.ID, text); err != nil {
			h.Log.Warn("a person could not be answered in Slack", "err", err)
		}
	})
}

// Whisper shows a text to one person in a channel.
func (s *Sink) Whisper(ctx context.Context, channel, user, text string) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	ts, err := c.PostEphemeralContext(ctx, channel, user, api.MsgOptionText(release.OneLine(text, maxReply), true), api.MsgOptionDisableMarkdown())
	return c.answered("answer a person", err, ts)
}
