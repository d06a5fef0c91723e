package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// theirs decodes an answer with encoding/json and the types of Prometheus' own
// client.
func theirs(text []byte) (Envelope, string, []samples.Series, error) {
	var outer struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
		Warnings  []string
		Data      struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return Envelope{}, "", nil, err
	}
	e := Envelope{outer.Status, outer.ErrorType, outer.Error, outer.Warnings}
	var matrix model.Matrix
	if outer.Data.ResultType != "matrix" || len(outer.Data.Result) == 0 {
		return e, outer.Data.ResultType, nil, nil
	}
	if err := json.Unmarshal(outer.Data.Result, &matrix); err != nil {
		return e, "", nil, err
	}
	var out []samples.Series
	for _, stream := range matrix {
		if stream == nil {
			return e, "", nil, errors.New("a series is null")
		}
		one := samples.Series{}
		set := labels.NewScratchBuilder(len(stream.Metric))
		for name, value := range stream.Metric {
			if value != "" {
				set.Add(string(name), string(value))
			}
		}
		set.Sort()
		one.Labels = set.Labels()
		for _, v := range stream.Values {
			one.Floats = append(one.Floats, samples.Float{Millis: int64(v.Timestamp), Value: float64(v.Value)})
		}
		for _, v := range stream.Histograms {
			h := samples.Histogram{Millis: int64(v.Timestamp), Count: float64(v.Histogram.Count), Sum: float64(v.Histogram.Sum)}
			for _, b := range v.Histogram.Buckets {
				if b == nil {
					return e, "", nil, errors.New("a bucket is null")
				}
				if b.Count != 0 {
					h.Buckets = append(h.Buckets, samples.Bucket{Lower: float64(b.Lower), Upper: float64(b.Upper), Count: float64(b.Count)})
				}
			}
			slices.SortStableFunc(h.Buckets, byBounds)
			one.Histograms = append(one.Histograms, h)
		}
		one.Floats = inOrder(one.Floats, func(f samples.Float) int64 { return f.Millis })
		one.Histograms = inOrder(one.Histograms, func(h samples.Histogram) int64 { return h.Millis })
		if len(one.Floats)+len(one.Histograms) > 0 {
			out = append(out, one)
		}
	}
	return e, "matrix", out, nil
}

// lax tells whether encoding/json takes text for more than it is: a key given
// twice or in another case, a null inside a pair, a pair or bucket of another
// length, a time with an exponent or beyond what a count needs, very deep
// nesting, very long words or many warnings. There this package is stricter on
// purpose.
func lax(text []byte) bool {
	if len(text) > 1<<20 {
		return true
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type level struct {
		keys  map[string]bool
		items int
		key   bool // the next token is one
	}
	var stack []*level
	for {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		var top *level
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		delim, isDelim := tok.(json.Delim)
		if top != nil && top.keys != nil && top.key && !isDelim {
			name := strings.ToLower(tok.(string))
			// Case folding of JSON knows two more letters.
			name = strings.NewReplacer("ſ", "s", "K", "k").Replace(name)
			if top.keys[name] {
				return true
			}
			top.keys[name] = true
			known := []string{"status", "errortype", "error", "warnings", "data", "resulttype", "result", "metric", "values", "histograms", "count", "sum", "buckets"}
			if slices.Contains(known, name) && !slices.Contains([]string{
				"status", "errorType", "error", "warnings", "data", "resultType", "result", "metric", "values", "histograms", "count", "sum", "buckets",
			}, tok.(string)) {
				return true
			}
			top.key = false
			continue
		}
		if top != nil && (!isDelim || delim != ']' && delim != '}') {
			top.items++
			top.key = top.keys != nil
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '{':
				stack = append(stack, &level{keys: map[string]bool{}, key: true})
			case '[':
				stack = append(stack, &level{})
			default:
				stack = stack[:len(stack)-1]
			}
			if len(stack) > maxDepth {
				return true
			}
		case nil:
			return true
		case json.Number:
			if strings.ContainsAny(string(v), "eE") || len(v) > 15 && !strings.Contains(string(v), ".") || len(v) > 19 {
				return true
			}
		case string:
			if len(v) > maxWords {
				return true
			}
		}
	}
}

// oddArrays tells whether an array of a pair or bucket has too few or many items:
// encoding/json fills or drops the rest.
func oddArrays(text []byte) bool {
	var outer struct {
		Data struct {
			Result []struct {
				Values     [][]json.RawMessage
				Histograms [][]json.RawMessage
			}
		}
	}
	if json.Unmarshal(text, &outer) != nil {
		return false
	}
	for _, s := range outer.Data.Result {
		for _, pair := range slices.Concat(s.Values, s.Histograms) {
			if len(pair) != 2 {
				return true
			}
		}
		for _, pair := range s.Histograms {
			var h struct{ Buckets [][]json.RawMessage }
			if json.Unmarshal(pair[1], &h) != nil {
				continue
			}
			for _, b := range h.Buckets {
				if len(b) != 4 || len(b[0]) != 1 || b[0][0] > '3' {
					return true
				}
			}
		}
	}
	return false
}

// answerOfPrometheus is what Prometheus 3.16 said of its own series, scraped with
// native histograms.
func answerOfPrometheus(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/prometheus.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnAnswerOfPrometheusIsReadAsItsOwnClientReadsIt(t *testing.T) {
	text := answerOfPrometheus(t)
	got := &Matrix{From: -1 << 62, To: 1 << 62}
	if _, err := Decode(bytes.NewReader(text), got); err != nil {
		t.Fatal(err)
	}
	_, _, want, err := theirs(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := equal(want, got.Series); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	floats, histograms := 0, 0
	for _, s := range got.Series {
		floats += len(s.Floats)
		histograms += len(s.Histograms)
	}
	if floats == 0 || histograms == 0 || floats+histograms != got.Samples {
		t.Errorf("%d floats and %d histograms, %d samples", floats, histograms, got.Samples)
	}
}

// FuzzAnAnswerIsReadAsEncodingJSONReadsItOrRefused holds that what is read is
// what Prometheus' own client reads, and what that refuses is refused.
func FuzzAnAnswerIsReadAsEncodingJSONReadsItOrRefused(f *testing.F) {
	f.Add(answerOfPrometheus(f))
	f.Add([]byte(whole))
	f.Add([]byte(`{"status":"error","errorType":"bad_data","error":"\ud83d\ude00 \ud83d no","warnings":["a"],"infos":["b"]}`))
	f.Add([]byte(`{"status":"success","data":{"result":[{"metric":{"b":"\xff\\\"}","a":""},"values":[[2,"NaN"],[1.5,"+Inf"],[1.50,"0x1p-2"]]}],"resultType":"matrix"}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`))
	f.Add([]byte(`{"status":"success","data":{"result":[1,"1"],"resultType":"scalar"}}`))
	f.Add([]byte(`{"data":{"resultType":"matrix","result":[{"histograms":[[1,{"count":"1","sum":"-1e-3","buckets":[[3,"-1","1","1"],[0,"1","2","0"]]}]]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := &Matrix{From: -1 << 62, To: 1 << 62}
		e, err := Decode(bytes.NewReader(text), got)
		// In pieces, which takes other ways through the code, it reads the same.
		again := &Matrix{From: -1 << 62, To: 1 << 62}
		e2, err2 := Decode(iotest.OneByteReader(bytes.NewReader(text)), again)
		if (err == nil) != (err2 == nil) || err == nil && (equal(got.Series, again.Series) != "" || e.Status != e2.Status) {
			t.Fatalf("read at once %v, %v; byte by byte %v, %v", got.Series, err, again.Series, err2)
		}
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("%T %v", err, err)
		}
		if lax(text) || oddArrays(text) {
			return
		}
		wantEnvelope, wantType, want, wantErr := theirs(text)
		switch {
		case wantErr == nil && err != nil:
			// A result is read before its type is known to be another.
			if wantType == "matrix" {
				t.Fatalf("encoding/json takes it, this does not: %v", err)
			}
		case wantErr != nil && err == nil:
			t.Fatalf("encoding/json does not take it: %v; this reads %+v %v", wantErr, e, got.Series)
		case err == nil:
			if e.Status != wantEnvelope.Status || e.Error != wantEnvelope.Error || e.ErrorType != wantEnvelope.ErrorType || got.ResultType != wantType ||
				!slices.Equal(e.Warnings, wantEnvelope.Warnings[:min(len(wantEnvelope.Warnings), maxWarnings)]) {
				t.Fatalf("want %+v, got %+v", wantEnvelope, e)
			}
			if diff := equal(want, got.Series); diff != "" {
				t.Fatalf("want -, got +\n%s", diff)
			}
		}
	})
}
