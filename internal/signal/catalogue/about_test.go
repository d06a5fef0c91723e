package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/rules"
)

// dialectOf is a caller's dialect whose one label is one of the texts.
func dialectOf(t *testing.T, from string, texts ...string) *Dialect {
	t.Helper()
	text := strings.Replace(callerFile, `is: ["{service}.{namespace}"]`, fmt.Sprintf("is: [%q]\n        from: [%s]", strings.Join(texts, `", "`), from), 1)
	text = strings.ReplaceAll(text, `\"`, `"`)
	c, err := Load(tree("a.yaml", text, "b.yaml", "pods: [{pod: pod, namespace: namespace}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Dialects[0]
}

func TestACalleeIsSelectedByWhatIsKnownOfIt(t *testing.T) {
	web := Workload{Namespace: "shop", Name: "web", Services: []string{"web", "web-v2"}, PodIPs: []string{"10.0.0.1"}}
	api := Workload{Namespace: "shop", Name: "api.v1", Services: []string{"api"}}
	for name, c := range map[string]struct {
		texts     []string
		workloads []Workload
		want      string
	}{
		"one text is an equal":                    {[]string{"{workload}.{namespace}"}, []Workload{web}, `host="web.shop"`},
		"several are a list of literals":          {[]string{"{service}.{namespace}"}, []Workload{web, api}, `host=~"api\\.shop|web-v2\\.shop|web\\.shop"`},
		"what is wild is put together":            {[]string{"{service}.{namespace}:{number}"}, []Workload{web, api}, `host=~"(api\\.shop:|web-v2\\.shop:|web\\.shop:)[0-9]+"`},
		"literals stay apart from what is wild":   {[]string{"{service}.{namespace}", "{pod_ip}:{number}"}, []Workload{web}, `host=~"web-v2\\.shop|web\\.shop|10\\.0\\.0\\.1:[0-9]+"`},
		"anything may go before":                  {[]string{"{any}/{service}.{namespace}"}, []Workload{api}, `host=~".*/api\\.shop"`},
		"a text that cannot be filled in is left": {[]string{"{service}.{namespace}", "{pod_ip}"}, []Workload{api}, `host="api.shop"`},
		"so is a workload":                        {[]string{"{pod_ip}"}, []Workload{api, web}, `host="10.0.0.1"`},
		"its own name stands for a Service":       {[]string{"{service}.{namespace}"}, []Workload{{Namespace: "shop", Name: "web"}}, `host="web.shop"`},
		"unless it could be none":                 {[]string{"{service}.{namespace}"}, []Workload{{Namespace: "shop", Name: "web.v1"}}, ``},
		"nothing known, nothing selected":         {[]string{"{service}.{namespace}"}, []Workload{{}}, ``},
		"no workload, nothing selected":           {[]string{"{service}.{namespace}"}, nil, ``},
		"no address, nothing selected":            {[]string{"{pod_ip}"}, []Workload{api}, ``},
		"an address of IPv6 in both its forms":    {[]string{"{pod_ip}"}, []Workload{{Namespace: "shop", Name: "web", PodIPs: []string{"fd00::1"}}}, `host=~"\\[fd00::1\\]|fd00::1"`},
		"the same once":                           {[]string{"{service}.{namespace}", "{workload}.{namespace}"}, []Workload{web, web}, `host=~"web-v2\\.shop|web\\.shop"`},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range dialectOf(t, "", c.texts...).AboutMatchers(c.workloads) {
				got = append(got, m.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, ",")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestANameWithoutItsNamespaceIsOneOfTheCallersOwn(t *testing.T) {
	d := dialectOf(t, "exported_namespace, namespace", "{service}", "{service}.{namespace}", "{pod_ip}")
	about := d.Describes(Workload{Namespace: "shop", Name: "web", PodIPs: []string{"10.0.0.1"}})
	for name, c := range map[string]struct {
		set  labels.Labels
		want bool
	}{
		"in the callee's namespace":         {labels.FromStrings("host", "web", "namespace", "shop"), true},
		"in another":                        {labels.FromStrings("host", "web", "namespace", "staging"), false},
		"in another, scraped in this":       {labels.FromStrings("host", "web", "namespace", "shop", "exported_namespace", "staging"), false},
		"in none that is known":             {labels.FromStrings("host", "web"), false},
		"with its namespace, from anywhere": {labels.FromStrings("host", "web.shop", "namespace", "staging"), true},
		"by address, from anywhere":         {labels.FromStrings("host", "10.0.0.1"), true},
		"by another name":                   {labels.FromStrings("host", "webs", "namespace", "shop"), false},
		"by no name":                        {labels.FromStrings("namespace", "shop"), false},
	} {
		if got := about(c.set); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// Whoever remembers what series are about by the labels of About must find all
	// that decide among them.
	var looked []string
	for _, a := range d.About {
		looked = append(looked, a.Label)
	}
	if diff := cmp.Diff([]string{"host", "exported_namespace", "namespace"}, looked); diff != "" {
		t.Error(diff)
	}
	if ms := d.AboutMatchers([]Workload{{Namespace: "shop", Name: "web"}}); len(ms) != 1 {
		t.Errorf("%v: who calls is nothing to select by", ms)
	}
}

// workloads draws some with different names, Services and addresses. Namespaces
// have no dashes: Traefik puts them before the Service's name with one.
func workloads(t *rapid.T) []Workload {
	var out []Workload
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,2}(-[a-c0-9]{1,2})?`), 1, 5, rapid.ID[string]).Draw(t, "names")
	for i, name := range names {
		for _, namespace := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,2}`), 1, 2, rapid.ID[string]).Draw(t, "namespaces") {
			w := Workload{Namespace: namespace, Name: name}
			if rapid.Bool().Draw(t, "known") {
				w.Services = []string{name, name + "-svc"}
			}
			for n := range rapid.IntRange(0, 2).Draw(t, "pods") {
				w.PodIPs = append(w.PodIPs, fmt.Sprintf("10.%d.%d.%d", i, len(out), n), fmt.Sprintf("fd00::%d:%d", len(out), n))
			}
			out = append(out, w)
		}
	}
	return out
}

// called draws the labels of a series about a workload, or nearly.
func called(t *rapid.T, d *Dialect, all []Workload) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	w := rapid.SampledFrom(all).Draw(t, "callee")
	for _, a := range d.About {
		for _, p := range rapid.SampledFrom(a.templates).Draw(t, "text").fill(w) {
			value := ""
			for _, piece := range p {
				switch piece.place {
				case anyPlace:
					value += rapid.SampledFrom([]string{"", "x", w.Namespace}).Draw(t, "any")
				case numberPlace:
					value += rapid.StringMatching(`[0-9]{1,5}`).Draw(t, "number")
				default:
					value += piece.literal
				}
			}
			b.Set(a.Label, value)
			if rapid.Bool().Draw(t, "this one") {
				break
			}
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "spoil") == 0 {
		b.Set(rapid.SampledFrom(d.About).Draw(t, "label").Label, rapid.StringMatching(`[a-c0-9.:@_-]{0,6}`).Draw(t, "value"))
	}
	return b.Labels()
}

func TestWhatDescribesAWorkloadIsSelectedAndIsAboutNoOther(t *testing.T) {
	c := builtin(t)
	for _, d := range c.Dialects {
		if d.Side != SideCaller {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			described := 0
			rapid.Check(t, func(t *rapid.T) {
				all := workloads(t)
				set := called(t, d, all)
				var matchers []*labels.Matcher
				for _, m := range d.AboutMatchers(all) {
					matchers = append(matchers, readable(t, m))
				}
				selected := len(matchers) > 0 && !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) })
				var about []Workload
				for _, w := range all {
					if d.Describes(w)(set) {
						about = append(about, w)
					}
				}
				if len(about) > 0 && !selected {
					t.Fatalf("%s is about %v and is not selected by %v", set, about, matchers)
				}
				if len(about) > 1 {
					t.Fatalf("%s is about %v", set, about)
				}
				described += len(about)
			})
			if described == 0 {
				t.Error("no series was about any workload")
			}
		})
	}
}

// The test that goes without regular expressions is the same as one with.
func TestATextMatchesWhatItsPatternMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := ""
		for _, piece := range rapid.SliceOfN(rapid.SampledFrom([]string{"{any}", "{number}", "{service}", "a", "1", ".", "-"}), 1, 6).Draw(t, "pieces") {
			source += piece
		}
		template, err := parseTemplate(source)
		if err != nil {
			t.Skip(err)
		}
		value := rapid.StringMatching(`(?s)[a1.\n-]{0,8}`).Draw(t, "value")
		for _, text := range template.fill(Workload{Name: "a1"}) {
			want := regexp.MustCompile("^(?s:" + text.pattern() + ")$").MatchString(value)
			if got := text.matches(value); got != want {
				t.Fatalf("%q matches %q: %v", source, value, got)
			}
		}
	})
}

func BenchmarkAThousandCalleesAreWrittenDown(b *testing.B) {
	c, err := Load(rules.Signals)
	if err != nil {
		b.Fatal(err)
	}
	all := make([]Workload, 1000)
	for i := range all {
		name := fmt.Sprintf("web-%d", i)
		all[i] = Workload{Namespace: "shop", Name: name, Services: []string{name}, PodIPs: []string{fmt.Sprintf("10.0.%d.%d", i/250, i%250), fmt.Sprintf("10.1.%d.%d", i/250, i%250)}}
	}
	for _, name := range []string{"opentelemetry-callers", "istio-callers", "traefik"} {
		d := c.Dialects[slices.Index(c.Names(), name)]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(d.AboutMatchers(all)) == 0 {
					b.Fatal("nothing")
				}
			}
		})
	}
}
