package store

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/goccy/go-json"

	"github.com/watchtower-verify/watchtower/internal/release"
)

// packedForm begins what is packed, so that there may be other forms: this one
// is deflated with packWords.
const packedForm = 1

// packWords are what evidence is mostly made of. They belong to the form
// and never change.
const packWords = `"source":"prometheus","expr":"","from":"2026-","to":"2026-","queries":[{"source":"prometheus","expr":"http_requests_total{namespace=\"",pod=~\"` +
	`[{"signal":"throughput","signal":"restarts","signal":"memory","signal":"cpu","signal":"pod_state","signal":"latency","signal":"error_ratio","baseline":"stable",` +
	`"seen_by":"callers","seen_by":"server","e_value":0.,"healthy_e_value":0.,"baseline_value":0.,"release_value":0.,"unit":"seconds","unit":"count","unit":"ratio",` +
	`"release_count":{"total":,"bad":},"baseline_count":{"total":,"bad":},"effect":{"ratio":1.,"low":0.,"high":1.},"reason":"","dialect":""},{"signal":"`

// maxUnpacked bounds what a damaged or hostile value can unpack to.
const maxUnpacked = 64 << 20

var (
	errPacked = errors.New("it is packed in a form this Watchtower does not know, or damaged")
	deflaters = sync.Pool{New: func() any {
		w, _ := flate.NewWriterDict(nil, flate.DefaultCompression, []byte(packWords)) // the level is one there is
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReaderDict(nil, []byte(packWords)) }}
)

// pack deflates a text.
func pack(text []byte) []byte {
	out := bytes.NewBuffer([]byte{packedForm})
	w := deflaters.Get().(*flate.Writer) //nolint:forcetypeassert // the pool's own
	defer deflaters.Put(w)
	w.Reset(out) // keeps the words
	_, _ = w.Write(text)
	_ = w.Close() // memory takes everything
	return out.Bytes()
}

func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != packedForm {
		return nil, errPacked
	}
	r := inflaters.Get().(io.ReadCloser) //nolint:forcetypeassert // the pool's own
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(packed[1:]), []byte(packWords)); err != nil { //nolint:forcetypeassert // documented
		return nil, err
	}
	text := bytes.NewBuffer(make([]byte, 0, 8*len(packed)))
	if _, err := text.ReadFrom(io.LimitReader(r, maxUnpacked+1)); err != nil || text.Len() > maxUnpacked {
		return nil, errPacked
	}
	return text.Bytes(), nil
}

// decode reads JSON of the store's own making. A list of releases is mostly
// this, and this decoder takes half the time of the standard library's.
func decode(text []byte, into any) error { return json.Unmarshal(text, into) }

// packCurves writes the curves of a verdict column by column, because what
// stands below one another is alike. Values keep seven digits, which is more
// than a page can show; counts are exact and times whole milliseconds.
func packCurves(curves [][]release.Point) []byte {
	var b []byte
	b = binary.AppendUvarint(b, uint64(len(curves)))
	for _, points := range curves {
		b = binary.AppendUvarint(b, uint64(len(points)))
		b = packTimes(b, points)
		for _, p := range points {
			for _, n := range []int64{p.Release.Total, p.Release.Bad, p.Stable.Total, p.Stable.Bad} {
				b = binary.AppendVarint(b, n)
			}
		}
		b = packValues(b, points, func(p release.Point) (*float64, release.Count) { return p.ReleaseValue, p.Release })
		b = packValues(b, points, func(p release.Point) (*float64, release.Count) { return p.BaselineValue, p.Stable })
		b = packFloats(b, points, func(p release.Point) (float64, bool) { return p.EValue, true })
	}
	return pack(b)
}

// packTimes writes how each step differs from the one before: ticks are alike.
func packTimes(b []byte, points []release.Point) []byte {
	var last, step int64
	for _, p := range points {
		at := p.At.UnixMilli()
		b = binary.AppendVarint(b, at-last-step)
		step, last = at-last, at
	}
	return b
}

// How a value is written: not at all, as the ratio of its counts, or in full.
const (
	valueNone = iota
	valueRatio
	valueFull
)

func kindOf(v *float64, c release.Count) byte {
	switch {
	case v == nil:
		return valueNone
	case *v == c.Ratio() && c.Total > 0:
		return valueRatio
	}
	return valueFull
}

func packValues(b []byte, points []release.Point, of func(release.Point) (*float64, release.Count)) []byte {
	for _, p := range points {
		b = append(b, kindOf(of(p)))
	}
	return packFloats(b, points, func(p release.Point) (float64, bool) {
		v, c := of(p)
		if kindOf(v, c) != valueFull {
			return 0, false
		}
		return *v, true
	})
}

// packFloats writes the first bytes of all values, then the second ones.
func packFloats(b []byte, points []release.Point, of func(release.Point) (float64, bool)) []byte {
	for plane := range 8 {
		for _, p := range points {
			if v, ok := of(p); ok {
				b = append(b, byte(math.Float64bits(sevenDigits(v))>>(56-8*plane)))
			}
		}
	}
	return b
}

// sevenDigits keeps the digits of a float32 over the whole range; the least
// numbers of all have fewer to begin with, and stay.
func sevenDigits(v float64) float64 {
	const lost, leastNormal = 29, 0x1p-1022 // bits
	if math.Abs(v) < leastNormal {
		return v
	}
	bits := math.Float64bits(v)
	if rounded := math.Float64frombits((bits + 1<<(lost-1)) &^ (1<<lost - 1)); !math.IsInf(rounded, 0) {
		return rounded
	}
	return v
}

// unpackCurves reads what packCurves wrote.
func unpackCurves(packed []byte) ([][]release.Point, error) {
	b, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	r := &columns{b: b}
	curves := make([][]release.Point, r.count())
	for i := range curves {
		curves[i] = r.curve()
	}
	if r.failed || len(r.b) > 0 {
		return nil, errPacked
	}
	return curves, nil
}

// columns reads; after a fault it answers with nothing.
type columns struct {
	b      []byte
	failed bool
}

// count reads a number of things of which each takes a byte at least.
func (r *columns) count() int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return int(n) //nolint:gosec // at most the length of the text
}

func (r *columns) fail() { r.failed, r.b = true, nil }

func (r *columns) number() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *columns) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *columns) curve() []release.Point {
	n := r.count()
	const least = 15 // bytes of a point
	if n*least > len(r.b) {
		r.fail()
	}
	if n == 0 || r.failed {
		return nil
	}
	points := make([]release.Point, n)
	var last, step int64
	for i := range points {
		step += r.number()
		last += step
		points[i].At = time.UnixMilli(last).UTC()
	}
	for i := range points {
		p := &points[i]
		p.Release, p.Stable = release.Count{Total: r.number(), Bad: r.number()}, release.Count{Total: r.number(), Bad: r.number()}
	}
	r.values(points, func(p *release.Point) (**float64, release.Count) { return &p.ReleaseValue, p.Release })
	r.values(points, func(p *release.Point) (**float64, release.Count) { return &p.BaselineValue, p.Stable })
	for i, v := range r.floats(n) {
		points[i].EValue = v
	}
	return points
}

func (r *columns) values(points []release.Point, of func(*release.Point) (**float64, release.Count)) {
	kinds := r.bytes(len(points))
	full := r.floats(bytes.Count(kinds, []byte{valueFull}))
	for i := range points {
		v, c := of(&points[i])
		switch kinds[i] {
		case valueRatio:
			x := c.Ratio()
			*v = &x
		case valueFull:
			*v, full = &full[0], full[1:]
		}
	}
}

func (r *columns) floats(n int) []float64 {
	planes := r.bytes(8 * n)
	out := make([]float64, n)
	for i := range out {
		var bits uint64
		for plane := range 8 {
			bits = bits<<8 | uint64(planes[plane*n+i])
		}
		out[i] = math.Float64frombits(bits)
	}
	return out
}
