package fleet

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestEveryPodShowsItsSeriesOnce(t *testing.T) {
	f := New(60)
	pods := map[string]int{}
	for i := range f.Targets() {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("GET", "/metrics/"+string(rune('0'+i)), nil))
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "pod" {
						pods[l.GetValue()]++
					}
				}
			}
		}
	}
	if len(pods) != 60*PodsOf {
		t.Errorf("%d pods, want %d", len(pods), 60*PodsOf)
	}
	for pod, series := range pods {
		if series != SeriesPerPod {
			t.Fatalf("%s has %d series, want %d", pod, series, SeriesPerPod)
		}
	}
}

func TestAPageThatIsNotThereIsNotFound(t *testing.T) {
	for _, path := range []string{"/metrics/99", "/metrics/-1", "/metrics/x", "/"} {
		w := httptest.NewRecorder()
		New(1).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 404 {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}
