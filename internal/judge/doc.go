// Package judge decides from counts whether a release made a workload worse.
// It is pure: counts in, evidence out; the same ticks give the same answer.
//
// # E-values
//
// The judge looks after every tick and may decide at any of them. It therefore
// keeps e-processes: numbers that start at 1 and whose expectation stays at most
// 1 at every stopping time as long as the release is no worse than tolerated. By
// Ville's inequality such a number ever reaches 1/α with a probability of at most
// α. Each signal is a proportion of bad requests (failed, or slower than a
// threshold); tolerated is a relative risk r0 = 1+δ. Where bad requests are the
// larger part, r0 bounds the good ones instead.
//
// # Against the stable arm
//
// In ticks in which both arms have requests, given the sum of bad ones, the
// release's part has the expectation θ(r0) = ρr0/(ρr0+1−ρ), ρ being its share of
// the tick's requests. What hurts both arms cancels, and ρ may change at every
// tick. Half of the capital bets on that share (betIncrements): this needs the
// expectation only, so failures may come in bursts of any size. The other half
// is a mixture of likelihood ratios over relative risks, to the power 1/φ
// (conditionalIncrements); φ is the upper 90 % bound of the dispersion, learned
// from history and from the ticks before. From 5 % of bad requests on, the ratio
// is that of both proportions against their projection onto the null
// (proportionIncrements), which knows more than the sum alone does.
//
// With strata (routes) the null's expectation of the release's part of all bad
// requests is Σ F_k θ_k(r0) / Σ F_k, F_k being the bad requests of stratum k: by
// linearity it holds however strata depend on one another, so the bet stays fair;
// the likelihood ratios of the strata are multiplied. A stratum that holds failures
// by what they are (half of it failed) is expected by the share of all requests.
//
// # Quantities
//
// A quantity (seconds per request, bytes per pod) is compared by
// z = tanh(2 ln(c/(r0 s))); see quantity.
//
// # Against history
//
// In ticks in which the stable arm has no requests (the old pods are gone, or
// never ran beside the new ones) the release is held against the time before
// the rollout. The rate is Gamma(a, b): its mean and variance come from the
// windows before, the variance being that of the estimate with a burst as one
// event, of the drift between eighths of the history, and of a small drift
// (driftFloor) that is always assumed. A quarter of the capital bets on the tick's
// proportion over what the null expects by then. A quarter is the gamma likelihood
// ratio of all counts at once over φ as known now (its 85 % bound), since a short
// history has its say in the first ticks, when least is known of bursts; a quarter
// of that is the mean of the same for single routes, each against its own past.
// Half is that ratio of the bursts: the ticks of pods that have bad requests, where
// those are few. The latter two are no martingales by construction; their false
// alarms are measured (BenchmarkFalseAlarms).
// If the stable arm fared much worse in its last ticks than history, those ticks
// replace the history: trouble from outside may outlive the old pods.
//
// # Combination
//
// A signal with history has E = (E_stable + E_history + E_stable·E_history)/3.
// The sum needs no assumption on how the two depend on each other. The product
// is fair because, whatever the true rate is, they speak of different ticks and
// the stable arm's ticks never sharpen what history says; it carries evidence on
// when the old pods go away half-way. It gets a third only: history may not be
// like the present, and a wrong one must not undo what the stable arm shows.
// Signals are averaged by weight, current values and not their maxima; only the
// crossing of 1/α latches.
//
// Every mixture keeps a quarter of its capital back and hands it out over later
// ticks, so that harm that begins late is found; no tick gains more than 5 nats,
// because whatever happens in a single tick may be a single event.
//
// # The last look
//
// What may be looked at at any time costs more data than what is looked at once. Half
// of the capital is therefore kept for one look of the signals with history at the end
// of the observation (Last): it is bet, all or nothing, on the probability of so many
// bad requests, or bursts, or those of one route, under the null being below a signal's
// share of half of α. That probability is of the negative binomial law that the
// history's gamma predicts. What is kept back for an outage, or doubted, is not looked
// at.
//
// Bursts that are summed have a heavier tail than the law of Poisson with the same
// dispersion: asBursts takes so many bad requests for fewer, by Chernoff's bounds of
// both.
//
// # One bad pod
//
// At the crossing, the excess must show in two release pods or half of them, or
// the evidence without the worst pod must reach 1/√α. Otherwise that pod is a
// finding and the release is not regressed.
//
// # Health
//
// Healthy is shown, not assumed: the null is that the release is worse than the
// policy tolerates, p ≥ p* = max(ratio·p_b, p_b + increase), with p_b frozen from
// history or, without one, from the first 200 requests of the stable arm, which
// are then used up. Four fifths of the capital test p against p*
// (q/p* per bad request, q < p* guessed from the past), one fifth the relative
// risk against the stable arm. Under harm both nulls are true, so the weighted
// mean is an e-value. It is not latched: what it may gather above 1/β is limited
// to 10 nats, as in a CUSUM, so that later harm takes it back soon.
//
// # Sources
//
// Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric,
// nonasymptotic confidence sequences"; Waudby-Smith & Ramdas, "Estimating means
// of bounded random variables by betting"; Turner, Ly & Grünwald, "Generic
// E-variables for exact sequential k-sample tests that allow for optional
// stopping"; Lindon & Malek (arXiv 2011.03567); Lindon, Sanden & Shirikian,
// "Rapid regression detection in software deployments through sequential
// testing" (arXiv 2205.14762); Mantel & Haenszel (1959) for the effect's size.
package judge
