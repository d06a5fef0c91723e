package wire

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// million is an answer of a million samples, so many of each series.
func million(perSeries int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
	for i := range 1_000_000 / perSeries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metric":{"__name__":"http_server_request_duration_seconds_count","http_request_method":"GET","http_response_status_code":"200","http_route":"/api/v1/items/{id}","instance":"10.0.%d.%d:8080","job":"kubernetes-pods","namespace":"shop","pod":"webapp-%d-7d9c5b6f8-x%04d"},"values":[`, i/256%256, i%256, i/10, i%10000)
		for j := range perSeries {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `[%d.%03d,"%d"]`, 1_764_000_000+15*j, i%1000, 1000+i*j)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

func BenchmarkMatrixOfAMillionSamples(b *testing.B) {
	for _, perSeries := range []int{4, 20, 240} {
		text := million(perSeries)
		b.Run(fmt.Sprintf("%d_a_series", perSeries), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.SetBytes(int64(len(text)))
			want := 1_000_000 / perSeries * perSeries
			for b.Loop() {
				m := &Matrix{To: 1 << 60}
				if _, err := Decode(bytes.NewReader(text), m); err != nil || m.Samples != want {
					b.Fatalf("%d samples, want %d: %v", m.Samples, want, err)
				}
			}
			runtime.ReadMemStats(&after)
			n := float64(b.N)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n/float64(1_000_000/perSeries), "allocs/series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n/float64(want), "ns/sample")
		})
	}
}
