package message

import "github.com/watchtower-verify/watchtower/internal/release"

// offers are what a person may do from here, what is asked for most often first.
// Who takes one up is told whether it can still be done.
func offers(f Facts, s release.MessageState) []release.Offer {
	var out []release.Offer
	add := func(may bool, offers ...release.Offer) {
		if may {
			out = append(out, offers...)
		}
	}
	wrong := f.Verdict.Kind == release.Regressed && f.Verdict.Wrong == nil
	switch s {
	case release.SaysVerifying:
		add(canGoBack(f), release.OfferRollBack)
	case release.SaysInsufficient, release.SaysSourceBroken:
		add(canGoBack(f), release.OfferRollBack)
		add(true, release.OfferSnooze)
	case release.SaysWaiting:
		add(true, release.OfferApprove, release.OfferReject)
		add(wrong, release.OfferMarkWrong)
		add(true, release.OfferSnooze, release.OfferFreeze)
	case release.SaysRegressed, release.SaysRollingBack, release.SaysNotHelped:
		add(canGoBack(f), release.OfferRollBack)
		add(wrong, release.OfferMarkWrong)
		add(true, release.OfferSnooze, release.OfferFreeze)
	case release.SaysRestored:
		add(wrong, release.OfferMarkWrong)
	}
	return out
}

// canGoBack reports whether a person may have the release rolled back: there is
// an earlier version, and no rollback that was done, is under way, or found its
// ground gone.
func canGoBack(f Facts) bool {
	r := f.rollback()
	return f.Release.Previous != nil && (r == nil || r.State == release.ActionRefused || r.State == release.ActionFailed)
}
