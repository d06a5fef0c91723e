package slack

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	api "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/watchtower-verify/watchtower/internal/outbound"
	"github.com/watchtower-verify/watchtower/internal/release"
)

// Listen takes interactions in Socket Mode, which needs no address that Slack
// can reach, until ctx ends. Slack gives each interaction to one of the
// connections, so that every replica may listen. It connects again by itself;
// its error, a *release.Error, is a token that Slack does not take.
func (s *Sink) Listen(ctx context.Context, appTokenFile string, h *Clicks) error {
	what := "listen to " + service(s.cfg.Name)
	token, err := outbound.ReadSecret(appTokenFile)
	if err != nil {
		return release.E(release.CodeUnavailable, what, err)
	}
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: defaultTimeout}
	if s.cfg.ProxyURL != "" {
		proxy, err := url.Parse(s.cfg.ProxyURL)
		if err != nil {
			return release.E(release.CodeInvalid, what+": proxy_url is no URL", nil)
		}
		dialer.Proxy = http.ProxyURL(proxy)
	}
	if s.cfg.CAFile != "" {
		if dialer.TLSClientConfig, err = outbound.TLS(s.cfg.CAFile); err != nil {
			return release.E(release.CodeUnavailable, what, err)
		}
	}
	client := socketmode.New(
		api.New("", api.OptionAppLevelToken(token), api.OptionHTTPClient(doer{s.client, token}), api.OptionAPIURL(s.cfg.URL)),
		socketmode.OptionDialer(&dialer), socketmode.OptionLog(log.New(io.Discard, "", 0)),
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()
	for {
		select {
		case event := <-client.Events:
			s.heard(ctx, client, event, h)
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			c := conn{sink: s, token: token}
			return release.E(release.CodeInvalid, what+": put the app-level token (xapp-…, scope connections:write) into app_token_file", c.plain(err))
		}
	}
}

// heard takes an event, and tells Slack so when it was decided.
func (s *Sink) heard(ctx context.Context, client *socketmode.Client, event socketmode.Event, h *Clicks) {
	switch event.Type {
	case socketmode.EventTypeConnected:
		s.cfg.Log.Info("slack: listens for buttons", "receiver", s.cfg.Name)
	case socketmode.EventTypeConnectionError:
		if e, ok := event.Data.(*api.ConnectionErrorEvent); ok {
			s.once("the connection for buttons failed; it is tried again", release.E(release.CodeUnavailable, release.OneLine(e.Error(), 300), nil))
		}
	case socketmode.EventTypeInteractive:
		if event.Request == nil {
			return
		}
		if err := h.take(ctx, event.Request.Payload); err != nil {
			h.Log.Warn("an interaction of Slack was not taken", "err", err)
		}
		ack, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := client.AckCtx(ack, event.Request.EnvelopeID, nil); err != nil {
			h.Log.Warn("Slack could not be told that an interaction was taken", "err", err)
		}
	}
}
