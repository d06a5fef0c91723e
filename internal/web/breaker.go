package web

import (
	"context"

	"github.com/watchtower-verify/watchtower/internal/release"
)

type breakersKey struct{}

// withBreakers gives pages the breakers that are open. A page is shown without
// them rather than not at all.
func (h *handler) withBreakers(ctx context.Context) context.Context {
	if h.Breakers == nil {
		return ctx
	}
	all, err := h.Breakers(ctx)
	if err != nil {
		h.Log.WarnContext(ctx, "breakers not shown", "error", err)
		return ctx
	}
	var open []release.Breaker
	for _, b := range all {
		if b.Open {
			open = append(open, b)
		}
	}
	return context.WithValue(ctx, breakersKey{}, open)
}

func openBreakers(ctx context.Context) []release.Breaker {
	open, _ := ctx.Value(breakersKey{}).([]release.Breaker)
	return open
}

// breakerWords say who opened a breaker, why, and until when.
func breakerWords(b release.Breaker) string {
	s := "Opened " + formatTime(b.ChangedAt) + " by " + b.Actor + ": " + b.Why + "."
	if b.ClosesAt != nil {
		return s + " It closes " + formatTime(*b.ClosesAt) + "."
	}
	return s
}

// actionTitle names an action, with the receiver where it has one.
func actionTitle(a release.Action) string {
	if a.Sink == "" {
		return actionName(a.Kind)
	}
	return actionName(a.Kind) + " to " + a.Sink
}
