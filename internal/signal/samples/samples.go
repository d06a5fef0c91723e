// Package samples holds what a metric store answers with: series of raw
// samples, floats and native histograms.
package samples

import "github.com/prometheus/prometheus/model/labels"

// Series is one series with its samples in order of time. A series may hold
// both floats and histograms, when its target changed from one to the other.
type Series struct {
	Labels     labels.Labels
	Floats     []Float
	Histograms []Histogram
}

// Float is one value at a time in Unix milliseconds.
type Float struct {
	Millis int64
	Value  float64
}

// Histogram is one native histogram at a time in Unix milliseconds. Buckets
// holds those that are not empty, ascending and not cumulative; with exponential
// buckets of schema s their bounds are powers of 2^(2^-s), and the zero bucket
// has a Lower below and an Upper above zero (or both zero).
type Histogram struct {
	Millis     int64
	Count, Sum float64
	Buckets    []Bucket
}

// Bucket counts the observations in (Lower, Upper].
type Bucket struct{ Lower, Upper, Count float64 }

// Limits are what one query may be: so many bytes of text, and so many samples
// in its answer. Zero is no limit that is known.
type Limits struct {
	QueryBytes int
	Samples    int
}
