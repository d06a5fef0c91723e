package signal

import (
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/watchtower-verify/watchtower/internal/promql"
	"github.com/watchtower-verify/watchtower/internal/signal/catalogue"
)

func TestPodsAreFoundByTheNameTheirReplicaSetGaveThem(t *testing.T) {
	long := strings.Repeat("a", 60)
	for name, c := range map[string]struct {
		o    owner
		pod  string
		want bool
	}{
		"a pod of the ReplicaSet":                    {owner{prefix: podPrefix("web-5c7bffbd")}, "web-5c7bffbd-x2x4z", true},
		"a pod of another ReplicaSet":                {owner{prefix: podPrefix("web-5c7bffbd")}, "web-6d5f7c9b8-x2x4z", false},
		"a pod of a workload with a longer name":     {owner{prefix: podPrefix("web-5c7bffbd")}, "web-5c7bffbd-api-x2x4z", false},
		"a name with a suffix of another length":     {owner{prefix: podPrefix("web-5c7bffbd")}, "web-5c7bffbd-x2x4", false},
		"a name with an impossible suffix":           {owner{prefix: podPrefix("web-5c7bffbd")}, "web-5c7bffbd-X2x4z", false},
		"a dot in the name is no wildcard":           {owner{prefix: podPrefix("we.b-5c7bffbd")}, "wexb-5c7bffbd-x2x4z", false},
		"a dot in the name":                          {owner{prefix: podPrefix("we.b-5c7bffbd")}, "we.b-5c7bffbd-x2x4z", true},
		"a long name, which Kubernetes cuts":         {owner{prefix: podPrefix(long + "-5c7bffbd")}, long[:58] + "x2x4z", true},
		"a short name":                               {owner{prefix: podPrefix("w")}, "x2x4z", false},
		"any pod of the workload":                    {owner{workload: "web-"}, "web-5c7bffbd-x2x4z", true},
		"a pod of a longer-named workload":           {owner{workload: "web-"}, "web-api-5c7bffbd-x2x4z", false},
		"a pod of a shorter-named workload":          {owner{workload: "web-api-"}, "web-5c7bffbd-x2x4z", false},
		"a DaemonSet's pod, whose name has a vowel":  {owner{workload: "web-"}, "web-agent-x2x4z", false},
		"history and the ReplicaSet that was stable": {owner{workload: "web-", prefix: podPrefix("web-stable")}, "web-stable-x2x4z", true},
		"another ReplicaSet beside it":               {owner{workload: "web-", prefix: podPrefix("web-stable")}, "web-5c7bffbd-x2x4z", true},
		"a StatefulSet's pod":                        {owner{workload: "web-"}, "web-0", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.namespace = "shop"
			found := len(indexPods([]*owner{&c.o}).find("shop", c.pod)) > 0
			if found != c.want {
				t.Errorf("counted: %t, want %t", found, c.want)
			}
			if len(indexPods([]*owner{&c.o}).find("other", c.pod)) > 0 {
				t.Error("counted in another namespace")
			}
			more, ok := matchers(catalogue.PodLabels{Pod: "pod", Namespace: "namespace"}, []*owner{&c.o}, false)
			if !ok {
				t.Fatal("no matchers")
			}
			sel := promql.Metric("x").With(more)
			ms, err := matchersOf(sel)
			if err != nil {
				t.Fatal(err)
			}
			selected := true
			for _, m := range ms {
				selected = selected && m.Matches(map[string]string{model.MetricNameLabel: "x", "namespace": "shop", "pod": c.pod}[m.Name])
			}
			if selected != c.want {
				t.Errorf("%s selects it: %t, want %t", sel, selected, c.want)
			}
		})
	}
}

func TestManyOwnersShareOneMatcher(t *testing.T) {
	more, _ := matchers(catalogue.PodLabels{Pod: "pod", Namespace: "namespace"}, []*owner{
		{namespace: "b", prefix: podPrefix("web-2")}, {namespace: "a", prefix: podPrefix("api-1")}, {namespace: "a", prefix: podPrefix("api-1")},
	}, false)
	got := promql.Metric("x").With(more)
	if want := `x{namespace=~"a|b",pod=~"api-1-[a-z0-9]{5}|web-2-[a-z0-9]{5}"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
