package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func fates(t testing.TB, env map[string]string, route string, n int) []fate {
	t.Helper()
	set, err := readSettings(env)
	if err != nil {
		t.Fatal(err)
	}
	c := newChance(set, route, 3)
	out := make([]fate, n)
	for i := range out {
		out[i] = c.next()
	}
	return out
}

func failing(all []fate) (share, meanRun float64) {
	failures, runs := 0, 0
	for i, f := range all {
		if f.fails {
			failures++
			if i == 0 || !all[i-1].fails {
				runs++
			}
		}
	}
	return float64(failures) / float64(len(all)), float64(failures) / float64(max(runs, 1))
}

func TestFailuresHaveTheShareThatWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		env         map[string]string
		route       string
		share, runs float64
	}{
		"by default one in a thousand":         {nil, "/", 0.001, 1},
		"on the faulty route":                  {map[string]string{"ERROR_RATE": "0.05", "ERROR_ROUTE": checkoutPath}, checkoutPath, 0.051, 1.05},
		"on another route only the base":       {map[string]string{"ERROR_RATE": "0.05", "ERROR_ROUTE": checkoutPath}, "/", 0.001, 1},
		"on every route when none is named":    {map[string]string{"ERROR_RATE": "0.05"}, "/", 0.051, 1.05},
		"in bursts of the mean that was asked": {map[string]string{"ERROR_RATE": "0.05", "ERROR_BURST": "20", "BASE_ERROR_RATE": "0"}, "/", 0.05, 20},
		"always":                               {map[string]string{"ERROR_RATE": "1", "ERROR_BURST": "3"}, "/", 1, 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"SEED": "7"}
			for k, v := range c.env {
				env[k] = v
			}
			share, runs := failing(fates(t, env, c.route, 200_000))
			if math.Abs(share-c.share) > 0.1*c.share+0.0005 {
				t.Errorf("share %g, want %g", share, c.share)
			}
			if math.Abs(runs-c.runs) > 0.1*c.runs {
				t.Errorf("mean run %g, want %g", runs, c.runs)
			}
		})
	}
}

func TestLatency(t *testing.T) {
	quantiles := func(env map[string]string) (p50, p99 time.Duration) {
		all := fates(t, env, "/", 50_000)
		latencies := make([]time.Duration, len(all))
		for i, f := range all {
			latencies[i] = f.latency
		}
		slices.Sort(latencies)
		return latencies[len(all)/2], latencies[len(all)*99/100]
	}
	near := func(got time.Duration, wantMillis float64) bool {
		return math.Abs(float64(got)/1e6-wantMillis) < 0.05*wantMillis
	}
	p50, p99 := quantiles(map[string]string{"SEED": "1"})
	if !near(p50, 20) || !near(p99, 64) { // 20·exp(0.5·2.326)
		t.Errorf("by default: median %s, p99 %s", p50, p99)
	}
	p50, _ = quantiles(map[string]string{"SEED": "1", "LATENCY_FACTOR": "1.5"})
	if !near(p50, 30) {
		t.Errorf("with a factor of 1.5: median %s", p50)
	}
	p50, p99 = quantiles(map[string]string{"SEED": "1", "LATENCY_TAIL": "0.05:400"})
	if !near(p50, 20.9) || p99 < 400*time.Millisecond {
		t.Errorf("with a tail: median %s, p99 %s", p50, p99)
	}
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		env := map[string]string{
			"SEED":        rapid.StringMatching(`[0-9]{1,9}`).Draw(rt, "seed"),
			"ERROR_RATE":  rapid.SampledFrom([]string{"0", "0.05", "0.5"}).Draw(rt, "rate"),
			"ERROR_BURST": rapid.SampledFrom([]string{"", "5"}).Draw(rt, "burst"),
		}
		if !slices.Equal(fates(t, env, "/", 50), fates(t, env, "/", 50)) {
			rt.Fatal("two runs differ")
		}
	})
	if slices.Equal(fates(t, nil, "/", 50), fates(t, nil, "/", 50)) {
		t.Error("without a seed two runs are the same")
	}
}

func TestAnErrorRateLeavesTheLatenciesAsTheyWere(t *testing.T) {
	healthy := fates(t, map[string]string{"SEED": "1"}, "/", 1000)
	broken := fates(t, map[string]string{"SEED": "1", "ERROR_RATE": "0.5"}, "/", 1000)
	for i := range healthy {
		if healthy[i].latency != broken[i].latency {
			t.Fatalf("request %d takes %s and %s", i, healthy[i].latency, broken[i].latency)
		}
	}
}
