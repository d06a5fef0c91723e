package main

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// latencySpread is the standard deviation of the logarithm of a latency.
const latencySpread = 0.5

// chance decides what happens to the requests of one route. With the same seed
// the n-th request of the route meets the same fate.
type chance struct {
	set    settings
	faulty bool // ERROR_RATE concerns this route

	mu     sync.Mutex
	rng    *rand.Rand
	bursts bool // in a burst of failures
}

// fate is what happens to one request.
type fate struct {
	fails     bool
	latency   time.Duration
	logsError bool
}

func newChance(set settings, route string, index uint64) *chance {
	seed := set.seed
	if !set.seeded {
		seed = rand.Uint64()
	}
	return &chance{
		set:    set,
		faulty: set.errorRoute == "" || set.errorRoute == route,
		rng:    rand.New(rand.NewPCG(seed, index)),
	}
}

func (c *chance) next() fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Every request draws the same numbers, whatever the settings: changing one
	// setting leaves the rest of the story as it was.
	base, fault, tail, logs := c.rng.Float64(), c.rng.Float64(), c.rng.Float64(), c.rng.Float64()
	latency := float64(c.set.latency) * c.set.latencyFactor * math.Exp(latencySpread*c.rng.NormFloat64())
	f := fate{
		fails:     base < c.set.baseErrorRate,
		latency:   time.Duration(latency),
		logsError: c.set.logError != "" && logs < logErrorShare,
	}
	if c.faulty && c.fault(fault) {
		f.fails = true
	}
	if tail < c.set.tailShare {
		f.latency += c.set.tailExtra
	}
	return f
}

// fault decides on a failure by ERROR_RATE. In bursts it is a Markov chain of
// two states whose share of failures is the rate and whose stays in failure
// have the mean that was asked for.
func (c *chance) fault(draw float64) bool {
	rate, mean := c.set.errorRate, c.set.errorBurst
	if mean == 0 || rate == 0 || rate == 1 {
		return draw < rate
	}
	if c.bursts {
		c.bursts = draw >= 1/mean
	} else {
		c.bursts = draw < rate/((1-rate)*mean)
	}
	return c.bursts
}

// drops decides which requests of one route are dropped. Its numbers are its
// own, so that the requests that are left meet the fates they would have met.
type drops struct {
	rate float64

	mu  sync.Mutex
	rng *rand.Rand
}

func newDrops(set settings, index uint64) *drops {
	seed := set.seed
	if !set.seeded {
		seed = rand.Uint64()
	}
	return &drops{rate: set.dropRate, rng: rand.New(rand.NewPCG(seed, dropStream+index))}
}

// dropStream is far from the streams of the routes' fates.
const dropStream = 1 << 32

func (d *drops) next() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Float64() < d.rate
}
