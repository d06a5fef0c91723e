package wire

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchtower-verify/watchtower/internal/signal/samples"
)

// equal compares series, NaN being like NaN.
func equal(want, got []samples.Series) string {
	return cmp.Diff(want, got,
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b }),
		cmp.Comparer(func(a, b labels.Labels) bool { return labels.Equal(a, b) }))
}

func matrix(t *testing.T, result string) (*Matrix, error) {
	t.Helper()
	m := &Matrix{From: math.MinInt64, To: math.MaxInt64}
	_, err := Decode(strings.NewReader(`{"status":"success","data":{"resultType":"matrix","result":`+result+`}}`), m)
	return m, err
}

func TestFloatsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "1": 1, "123456789012345": 123456789012345, "1234567890123456": 1234567890123456, "9007199254740993": 9007199254740992,
		"0.1": 0.1, "1.5": 1.5, "0.30000000000000004": 0.30000000000000004, "123456.789": 123456.789, "-2": -2, "-0": math.Copysign(0, -1),
		"1e3": 1000, "1e-1": 0.1, "1.7976931348623157e+308": math.MaxFloat64, "5e-324": 5e-324,
		"NaN": math.NaN(), "+Inf": math.Inf(1), "-Inf": math.Inf(-1), "Inf": math.Inf(1), "00012": 12,
	} {
		m, err := matrix(t, `[{"metric":{},"values":[[1,"`+text+`"]]}]`)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := equal([]samples.Series{{Floats: []samples.Float{{Millis: 1000, Value: want}}}}, m.Series); diff != "" {
			t.Errorf("%s: want -, got +\n%s", text, diff)
		}
	}
	for _, text := range []string{"", " 1", "1 ", "1e999", "one", "1,5", `\u0031`, ".", "--1"} {
		if _, err := matrix(t, `[{"metric":{},"values":[[1,"`+text+`"]]}]`); err == nil {
			t.Errorf("%q is taken for a number", text)
		}
	}
}

func TestTimesAreExactToTheMillisecond(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1000, "0": 0, "1764000000": 1764000000000, "1764000000.001": 1764000000001, "1764000000.1": 1764000000100, "1764000000.12": 1764000000120,
		"1764000000.9999": 1764000000999, "4102444799.999": 4102444799999, "-1.5": -1500, "-0.25": -250, "1764000000.000": 1764000000000,
	} {
		m, err := matrix(t, `[{"metric":{},"values":[[`+text+`,"1"]]}]`)
		if err != nil || len(m.Series) != 1 || m.Series[0].Floats[0].Millis != want {
			t.Errorf("%s: %v, %v, want %d", text, m.Series, err, want)
		}
	}
	for _, text := range []string{"", "1.", ".5", "01", "1e9", "1.5e3", `"1"`, "null", "99999999999999999999", "1-2", "+1"} {
		if m, err := matrix(t, `[{"metric":{},"values":[[`+text+`,"1"]]}]`); err == nil {
			t.Errorf("%s is taken for the time %v", text, m.Series)
		}
	}
	// Every millisecond, in both ways of reading.
	for ms := range int64(1000) {
		text := fmt.Sprintf("[1764000000.%03d,%q]", ms, "7")
		got, v, n := shortPair([]byte(text + strings.Repeat(" ", 40)))
		if n != len(text) || got != 1764000000000+ms || v != 7 {
			t.Fatalf("%s: %d, %v", text, got, v)
		}
		if m, err := matrix(t, `[{"values":[[ 1764000000.`+text[12:]+`]}]`); err != nil || m.Series[0].Floats[0].Millis != got {
			t.Fatalf("%s with a space: %v, %v", text, m.Series, err)
		}
	}
}

func TestLabelValuesOfAnyBytesAreRead(t *testing.T) {
	for written, want := range map[string]string{
		`plain`: "plain", `/items/{id}`: "/items/{id}", `a\"b`: `a"b`, `a\\`: `a\`, `\/\b\f\n\r\t`: "/\b\f\n\r\t",
		`\u0041\u00e9\u20AC`: "Aé€", `\ud83d\ude00`: "😀", `\ud83d`: "�", `\ud83dx`: "�x", `\ude00`: "�", `\ud83d\u0041`: "�A", `\u0000`: "\x00",
		"é€😀": "é€😀", "\xff": "�", "a\xc3": "a�", "\xed\xa0\x80": "���", `}{][,:`: "}{][,:", `\\\"}`: `\"}`, "\x7f": "\x7f",
	} {
		m, err := matrix(t, `[{"metric":{"z":"1","a":"`+written+`","`+written+`":"b"},"values":[[1,"1"]]}]`)
		if err != nil {
			t.Errorf("%q: %v", written, err)
			continue
		}
		if set := labels.FromStrings("z", "1", "a", want, want, "b"); !labels.Equal(set, m.Series[0].Labels) {
			t.Errorf("%q: got %s, want %s", written, m.Series[0].Labels, set)
		}
	}
	for _, written := range []string{`\x`, `\u12`, `\u12g4`, "a\nb", "\x00", `\`} {
		if m, err := matrix(t, `[{"metric":{"a":"`+written+`"},"values":[[1,"1"]]}]`); err == nil {
			t.Errorf("%q is taken for %v", written, m.Series)
		}
	}
}

func TestLabelSetsAreSortedAndHoldNoLabelTwice(t *testing.T) {
	m, err := matrix(t, `[{"metric":{"pod":"p","__name__":"n","bare":""},"values":[[1,"1"]]}]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Series[0].Labels.String(); got != `{__name__="n", pod="p"}` {
		t.Errorf("got %s", got)
	}
	for _, set := range []string{`{"a":"1","b":"2","a":"1"}`, `{"a":"1","\u0061":""}`} {
		if _, err := matrix(t, `[{"metric":`+set+`,"values":[[1,"1"]]}]`); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestSamplesComeInOrderOfTimeAndOfTwoAtOneTimeTheLastCounts(t *testing.T) {
	m := &Matrix{From: 1000, To: 5000}
	_, err := Decode(strings.NewReader(`{"data":{"result":[
		{"values":[[5,"5"],[1,"outside"],[3,"3"]]},
		{"values":[[6,"6"],[1,"1"]]},
		{"metric":{"a":"b"},"values":[[5,"5"],[2,"2"],[3,"x"],[2,"2.5"],[3,"3"]]}
	],"resultType":"matrix"},"status":"success"}`), m)
	if err == nil {
		t.Error("a value that is no number is taken because it is outside")
	}
	m = &Matrix{From: 1000, To: 5000}
	_, err = Decode(strings.NewReader(`{"data":{"result":[
		{"values":[[6,"6"],[1,"1"]]},
		{"metric":{"a":"b"},"values":[[5,"5"],[2,"2"],[3,"9"],[2,"2.5"],[6,"6"],[3,"3"]],"histograms":[[4,{}],[2,{"count":"1"}],[2,{"count":"2"}]]},
		{"metric":{"c":"d"},"values":[[2,"1"],[2,"2"],[5.001,"0"],[1.001,"1"]]}
	],"resultType":"matrix"},"status":"success"}`), m)
	if err != nil {
		t.Fatal(err)
	}
	want := []samples.Series{
		{
			Labels:     labels.FromStrings("a", "b"),
			Floats:     []samples.Float{{Millis: 2000, Value: 2.5}, {Millis: 3000, Value: 3}, {Millis: 5000, Value: 5}},
			Histograms: []samples.Histogram{{Millis: 2000, Count: 2}, {Millis: 4000}},
		},
		{Labels: labels.FromStrings("c", "d"), Floats: []samples.Float{{Millis: 1001, Value: 1}, {Millis: 2000, Value: 2}}},
	}
	if diff := equal(want, m.Series); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if m.Samples != 7 {
		t.Errorf("%d samples, want 7", m.Samples)
	}
}

func TestNativeHistogramsAreRead(t *testing.T) {
	m, err := matrix(t, `[{"metric":{"__name__":"d"},"histograms":[[1764000000.5,{"count":"10","sum":"3.5","buckets":[
		[0,"0.5","1","4"],[3,"-0.001","0.001","1"],[1,"-1","-0.5","2"],[0,"1","+Inf","3"],[0,"0.25","0.5","0"]],"unknown":[1,{"x":null}]}],
		[1764000001,{"sum":"NaN","count":"0"}]]}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []samples.Series{{
		Labels: labels.FromStrings("__name__", "d"),
		Histograms: []samples.Histogram{
			{Millis: 1764000000500, Count: 10, Sum: 3.5, Buckets: []samples.Bucket{
				{Lower: -1, Upper: -0.5, Count: 2}, {Lower: -0.001, Upper: 0.001, Count: 1}, {Lower: 0.5, Upper: 1, Count: 4}, {Lower: 1, Upper: math.Inf(1), Count: 3},
			}},
			{Millis: 1764000001000, Sum: math.NaN()},
		},
	}}
	if diff := equal(want, m.Series); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	for _, bad := range []string{`null`, `[]`, `{"count":1}`, `{"buckets":[[0,"1","2"]]}`, `{"buckets":[[9,"1","2","3"]]}`, `{"buckets":[[0,"1","2","3","4"]]}`, `{"buckets":[{}]}`} {
		if m, err := matrix(t, `[{"histograms":[[1,`+bad+`]]}]`); err == nil {
			t.Errorf("%s is taken for %v", bad, m.Series)
		}
	}
}

func TestTheEnvelopeIsReadWithItsKeysInAnyOrder(t *testing.T) {
	e, err := Decode(strings.NewReader(` {"infos":["i"],"error":"\u0062ad","x":{"status":"success","y":[1.5e3,true,false,null,"\n"]},"warnings":["w1","w2"],
		"errorType":"bad_data","data":null,"status":"error"} `+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Envelope{Status: "error", ErrorType: "bad_data", Error: "bad", Warnings: []string{"w1", "w2"}}, e); diff != "" {
		t.Error(diff)
	}
	m := &Matrix{}
	if _, err := Decode(strings.NewReader(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}`), m); err != nil || m.ResultType != "vector" || m.Series != nil {
		t.Errorf("a vector: %q, %v, %v", m.ResultType, m.Series, err)
	}
	m = &Matrix{}
	if _, err := Decode(strings.NewReader(`{"status":"success","data":{"result":[1,"2"],"resultType":"scalar"}}`), m); err != nil || m.ResultType != "scalar" || m.Series != nil {
		t.Errorf("a scalar: %q, %v, %v", m.ResultType, m.Series, err)
	}
	m, err = matrix(t, `null`)
	if err != nil || m.Series != nil || m.ResultType != "matrix" {
		t.Errorf("no series as null: %v, %v", m.Series, err)
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": ``, "white space": " \n", "a list": `[]`, "null": `null`, "a number": `1`, "a page": `<html>`,
		"something behind it":         `{"status":"success"}x`,
		"two answers":                 `{"status":"success"}{"status":"success"}`,
		"a key without value":         `{"status"}`,
		"a comma at the end":          `{"status":"success",}`,
		"a key twice":                 `{"status":"error","status":"success"}`,
		"data twice":                  `{"status":"success","data":{"resultType":"matrix","result":[]},"data":null}`,
		"values twice":                `{"data":{"resultType":"matrix","result":[{"values":[[1,"1"]],"values":[[2,"1"]]}]}}`,
		"a status that is a number":   `{"status":1}`,
		"a warning that is none":      `{"warnings":[1]}`,
		"a result that is an object":  `{"data":{"resultType":"matrix","result":{}}}`,
		"the same, its type later":    `{"data":{"result":{"a":1},"resultType":"matrix"}}`,
		"a series that is a text":     `{"data":{"result":["a"],"resultType":"matrix"}}`,
		"a series that is null":       `{"data":{"resultType":"matrix","result":[null]}}`,
		"a label that is a number":    `{"data":{"resultType":"matrix","result":[{"metric":{"a":1}}]}}`,
		"a label set in a label set":  `{"data":{"resultType":"matrix","result":[{"metric":{"a":{"b":"c"}}}]}}`,
		"a pair of one":               `{"data":{"resultType":"matrix","result":[{"values":[[1]]}]}}`,
		"a pair of three":             `{"data":{"resultType":"matrix","result":[{"values":[[1,"1","1"]]}]}}`,
		"a value without quotes":      `{"data":{"resultType":"matrix","result":[{"values":[[1,1]]}]}}`,
		"values without comma":        `{"data":{"resultType":"matrix","result":[{"values":[[1,"1"][2,"1"]]}]}}`,
		"an unknown word":             `{"x":nil}`,
		"a number that is none":       `{"x":01}`,
		"too many values within":      `{"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`,
		"a text without end":          `{"x":"` + strings.Repeat("x", 5<<20),
		"a label set without end":     `{"data":{"resultType":"matrix","result":[{"metric":{"a":"` + strings.Repeat("x", 5<<20) + `"}}]}}`,
		"a text with a line break":    "{\"x\":\"a\nb\"}",
		"an escape that is not known": `{"x":"\x41"}`,
	} {
		var syntax *SyntaxError
		if e, err := Decode(strings.NewReader(text), &Matrix{To: 1 << 60}); !errors.As(err, &syntax) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestMoreSamplesThanWantedAreRefused(t *testing.T) {
	text := `{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"1"],[2,"1"]],"histograms":[[3,{}]]},{"values":[[1,"1"]]}]}}`
	for most, refused := range map[int]bool{0: false, 1: true, 3: true, 4: false} {
		if _, err := Decode(strings.NewReader(text), &Matrix{To: 1 << 60, MaxSamples: most}); errors.Is(err, ErrTooMany) != refused {
			t.Errorf("at most %d: %v", most, err)
		}
	}
}

const whole = `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a","p\u0061":"\"é"},"values":[[1764000000.25,"1e3"],[1764000015,"2"]],
	"histograms":[[1764000000,{"count":"3","sum":"1","buckets":[[0,"1","2","3"]]}]]}, {"metric" : {"b":"c"} , "values" : [ [1764000000 , "7"] ]}]},"warnings":null,"infos":[ ],"z":[{}, -1.5E+3]}`

func TestAnAnswerCutShortAnywhereIsRefused(t *testing.T) {
	for n := range len(whole) {
		var syntax *SyntaxError
		if e, err := Decode(strings.NewReader(whole[:n]), &Matrix{To: 1 << 60}); !errors.As(err, &syntax) {
			t.Errorf("%q: %+v, %v", whole[:n], e, err)
		}
		broken := errors.New("the connection broke")
		if _, err := Decode(io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(broken)), &Matrix{To: 1 << 60}); !errors.Is(err, broken) {
			t.Errorf("%q: %v", whole[:n], err)
		}
	}
}

// An answer is the same however it comes: the buffer may end anywhere in it.
func TestAnAnswerMayComeInPiecesOfAnySize(t *testing.T) {
	want := &Matrix{To: 1 << 60}
	if _, err := Decode(strings.NewReader(whole), want); err != nil || want.Samples != 4 {
		t.Fatal(want.Samples, err)
	}
	for name, slow := range map[string]func(io.Reader) io.Reader{
		"one by one": iotest.OneByteReader, "halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
	} {
		got := &Matrix{To: 1 << 60}
		if _, err := Decode(slow(strings.NewReader(whole)), got); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := equal(want.Series, got.Series); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	// White space moves the answer over the buffer's end, byte by byte.
	for n := bufferBytes - len(whole) - 1; n <= bufferBytes; n++ {
		got := &Matrix{To: 1 << 60}
		if _, err := Decode(strings.NewReader(strings.Repeat(" ", n)+whole), got); err != nil {
			t.Errorf("%d in front: %v", n, err)
		} else if diff := equal(want.Series, got.Series); diff != "" {
			t.Fatalf("%d in front:\n%s", n, diff)
		}
	}
	if _, err := Decode(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(whole))), &Matrix{}); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("%v", err)
	}
	if _, err := Decode(stuck{}, nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestASeriesDoesNotReachIntoItsNeighbour(t *testing.T) {
	m, err := matrix(t, `[{"values":[[1,"1"]]},{"values":[[2,"2"]]}]`)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Series[0].Floats, samples.Float{Millis: 9})
	if got := m.Series[1].Floats[0].Millis; got != 2000 {
		t.Errorf("appending to one series wrote %d to the next", got)
	}
}

func TestListsAreRead(t *testing.T) {
	var sets LabelSets
	if _, err := Decode(strings.NewReader(`{"status":"success","data":[{"b":"1","a":"\u0032"},{}]}`), &sets); err != nil {
		t.Fatal(err)
	}
	if len(sets.Sets) != 2 || sets.Sets[0].String() != `{a="2", b="1"}` || !sets.Sets[1].IsEmpty() {
		t.Errorf("%v", sets.Sets)
	}
	var meta Metadata
	if _, err := Decode(strings.NewReader(`{"status":"success","data":{"m":[{"type":"counter","help":"h","unit":""},{"help":"h","type":"gauge"}],"n":[]}}`), &meta); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"m": {"counter", "gauge"}}, meta.Types); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{`{"data":{}}`, `{"data":[1]}`, `{"data":["a"]}`} {
		if _, err := Decode(strings.NewReader(text), &LabelSets{}); err == nil {
			t.Errorf("%s is taken for label sets", text)
		}
	}
	if _, err := Decode(strings.NewReader(`{"data":[]}`), &Metadata{}); err == nil {
		t.Error("a list is taken for metadata")
	}
}
