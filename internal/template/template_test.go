package template

import (
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchtower-verify/watchtower/internal/message"
	"github.com/watchtower-verify/watchtower/internal/release"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func regressed() release.Message {
	return message.Samples(noon, message.Places{ExternalURL: "https://watchtower.example.com"}, map[string]string{"team": "payments"})[4]
}

func set(t interface{ Fatal(...any) }, files map[string]string) *Set {
	s, err := NewSet(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAlertmanagersDialect(t *testing.T) {
	s := set(t, map[string]string{"own.tmpl": `{{ define "who" }}{{ .CommonLabels.namespace }}/{{ .CommonLabels.workload }}{{ end }}`})
	for _, test := range []struct{ name, text, want string }{
		{
			"the fields of Alertmanager", `{{ .Receiver }} {{ .Status | toUpper }} {{ len .Alerts.Firing }} {{ .CommonAnnotations.summary }}`,
			"chat FIRING 1 shop/webapp v2 → v3 regressed: error ratio 0.1 % → 4.9 %",
		},
		{"each alert", `{{ range .Alerts }}{{ .Labels.alertname }} since {{ .StartsAt.Format "15:04:05" }}{{ end }}`, "WatchtowerReleaseRegressed since 11:59:30"},
		{"the fields of a message", `{{ .State }} {{ .From }} {{ .To }} {{ (index .HowBad 0).NowWords }} {{ .Severity }}`, "regressed v2 v3 4.9 % critical"},
		{"a link by its kind", `{{ .URL "release" }}`, "https://watchtower.example.com/releases/1a2b3c4d5e6f"},
		{"templates of a file", `{{ template "who" . }}`, "shop/webapp"},
		{"templates of its own", `{{ define "x" }}{{ .To }}{{ end }}{{ template "x" . }}{{ template "x" . }}`, "v3v3"},
		{"its functions", `{{ .To | title }} {{ join "-" (stringSlice "a" "b") }} {{ reReplaceAll "v(.)" "$1" .To }} {{ match "^v" .To }} {{ printf "%-5s|%03d" .To 7 }}`, "V3 a-b 3 true v3   |007"},
		{"lists and dictionaries", `{{ $d := dict "a" (list 1 2) }}{{ range append $d.a 3 }}{{ . }}{{ end }}`, "123"},
		{"a label it does not carry is empty", `[{{ .CommonLabels.nothing }}]`, "[]"},
		{"labels in their order", `{{ range .CommonLabels.SortedPairs }}{{ .Name }} {{ end }}`, "alertname autonomy cluster kind namespace policy release severity state team verdict workload "},
	} {
		t.Run(test.name, func(t *testing.T) {
			tmpl, err := s.Template("text", test.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Render(DataOf(regressed(), "chat", "https://w", nil), false)
			if err != nil || got != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestTemplatesThatCannotBeRead(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"not closed", "a\n{{ if .To }}", "text:2: unexpected EOF"},
		{"an unknown function", `{{ shout .To }}`, `function "shout" not defined`},
		{"itself", `{{ define "a" }}{{ template "b" . }}{{ end }}{{ define "b" }}{{ if .To }}{{ template "a" . }}{{ end }}{{ end }}{{ template "a" . }}`, "uses itself"},
		{"one that is not there", `{{ template "slack.default.title" . }}`, `template "slack.default.title" is not defined`},
		{"too long", strings.Repeat("x", maxSize+1), "at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := set(t, nil).Template("text", test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if _, err := NewSet(map[string]string{"own.tmpl": "{{ end }}"}); err == nil || !strings.HasPrefix(err.Error(), "own.tmpl:1:") {
		t.Errorf("a file's fault is %v", err)
	}
}

// Whatever a template says, it takes little time and little memory, and the error
// says why it was ended.
func TestTemplatesThatRunAwayAreEnded(t *testing.T) {
	double := `{{ $x := "aaaaaaaaaaaaaaaa" }}{{ range 40 }}`
	var calls strings.Builder // each uses the next twice
	for i := range 60 {
		n := string(rune('A'+i/26)) + string(rune('a'+i%26))
		m := string(rune('A'+(i+1)/26)) + string(rune('a'+(i+1)%26))
		if i == 59 {
			calls.WriteString(`{{ define "` + n + `" }}{{ end }}`)
			break
		}
		calls.WriteString(`{{ define "` + n + `" }}{{ template "` + m + `" }}{{ template "` + m + `" }}{{ end }}`)
	}
	for _, test := range []struct{ name, text, want string }{
		{"a loop that says nothing", `{{ range 1000000000000 }}{{ end }}`, "takes longer than"},
		{"loops within loops", `{{ range 1000000 }}{{ range 1000000 }}{{ if false }}{{ end }}{{ end }}{{ end }}`, "takes longer than"},
		{"templates that use one another twice", calls.String() + `{{ template "Aa" }}`, "takes longer than"},
		{"a loop that says much", `{{ range 1000000000000 }}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{{ end }}`, "longer than 65536 bytes"},
		{"a text that doubles", double + `{{ $x = printf "%s%s" $x $x }}{{ end }}`, "larger than 65536 bytes"},
		{"a text that doubles by print", double + `{{ $x = print $x $x }}{{ end }}`, "larger than 65536 bytes"},
		{"a text that is joined", double + `{{ $x = join $x (stringSlice $x $x $x) }}{{ end }}`, "larger than 65536 bytes"},
		{"a text that is replaced", double + `{{ $x = reReplaceAll "" $x $x }}{{ end }}`, "larger than 65536 bytes"},
		{"a list that doubles", `{{ $x := list "aaaaaaaaaa" }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ $x }}`, "larger than 65536 bytes"},
		{"a dictionary that doubles", `{{ $x := dict "a" "b" }}{{ range 64 }}{{ $x = dict "a" $x "b" $x }}{{ end }}{{ toJson $x }}`, "larger than 65536 bytes"},
		{"a wide number", `{{ printf "%999999999d" 1 }}`, "a width of a hundred"},
		{"a width from elsewhere", `{{ printf "%*d" 999999999 1 }}`, "a width of a hundred"},
		{"escaping that grows", double + `{{ $x = urlquery (js (html (print $x "<" $x))) }}{{ end }}`, "larger than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tmpl, err := set(t, nil).Template("text", test.text)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err = tmpl.Render(DataOf(regressed(), "chat", "", nil), false)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if took := time.Since(began); took > 10*maxTime {
				t.Errorf("took %s", took)
			}
			if heap := int64(after.HeapSys) - int64(before.HeapSys); heap > 200<<20 {
				t.Errorf("took %d MB", heap>>20)
			}
		})
	}
}

func TestTemplatesThatFailWhenFilledIn(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"an unknown field", `{{ .Healine }}`, "can't evaluate field Healine"},
		{"an index that is not there", `{{ (index .HowBad 99).Name }}`, "index out of range"},
		{"a pattern that is none", `{{ reReplaceAll "(" "" .To }}`, "missing closing"},
		{"a zone that is none", `{{ .At | tz "Mars/Olympus" }}`, "unknown time zone"},
		{"a panic", `{{ slice .To 5 2 }}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			tmpl, err := set(t, nil).Template("text", test.text)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := tmpl.Render(DataOf(regressed(), "chat", "", nil), false); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q and %v, want %q", out, err, test.want)
			}
		})
	}
}

func TestAReceiversTemplatesAreChecked(t *testing.T) {
	places := message.Places{ExternalURL: "https://w"}
	for _, test := range []struct {
		name  string
		texts Texts
		want  []string
	}{
		{"good ones", Texts{Title: "{{ .Headline }} {{ .CommonLabels.team }}", Text: "{{ .CommonAnnotations.issue }}{{ .Did }}", Blocks: `[{"type":"section","text":{"type":"mrkdwn","text":{{ .Headline | toJson }}}}]`}, nil},
		{"a label nobody carries", Texts{Title: "{{ .Headline }}{{ .CommonLabels.tema }}"}, []string{`title: of a message "verifying": title:1:`}},
		{"blocks that a name breaks", Texts{Blocks: `[{"type":"section","text":{"type":"mrkdwn","text":"{{ .Headline }}"}}]`}, []string{`blocks: of a message "regressed": this is no JSON list`}},
		{"a state it does not think of", Texts{Text: "{{ (index .HowBad 0).Name }}"}, []string{`text: of a message "verifying": text:1:`}},
		{"too many blocks", Texts{Blocks: `[{{ range $i, $_ := .Labels.x }}{{ end }}` + strings.Repeat(`{"type":"divider"},`, 50) + `{"type":"divider"}]`}, []string{`blocks: of a message "verifying": `}},
		{"a block without a type", Texts{Blocks: `[{}]`}, []string{`block 1 has no type`}},
		{"nothing said", Texts{Text: "{{ if false }}x{{ end }} "}, []string{"the text is empty"}},
		{"two at once", Texts{Title: "{{ .A }}", Text: "{{ .B }}"}, []string{"title: ", "text: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, faults := set(t, nil).NewReceiver("chat", "https://w", test.texts, SlackEscape)
			faults = append(faults, r.Check(places, []string{"team"})...)
			if len(faults) != len(test.want) {
				t.Fatalf("faults are %v", faults)
			}
			for i, want := range test.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("%v, want %q", faults[i], want)
				}
			}
		})
	}
}

func TestOneTemplateThatFailsLeavesTheOthers(t *testing.T) {
	r, faults := set(t, nil).NewReceiver("chat", "", Texts{Title: "{{ .Nothing }}", Text: "{{ .Did }}"}, nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	own, faults := r.Fill(regressed())
	if own.Title != "" || own.Text == "" || len(faults) != 1 {
		t.Errorf("%+v, %v", own, faults)
	}
}

// A name is a name in Slack, whatever it is; what the template writes is markup.
func TestNamesAreEscapedForSlack(t *testing.T) {
	r, _ := set(t, nil).NewReceiver("chat", "", Texts{
		Text:   `<!here> <{{ .URL "release" }}|page> {{ .Headline }} {{ .Labels.team }} {{ range .HowBad }}{{ .Sentence }}{{ end }}`,
		Blocks: `[{"type":"section","text":{{ .Headline | toJson }}}]`,
	}, SlackEscape)
	rapid.Check(t, func(t *rapid.T) {
		m := regressed()
		name := rapid.StringMatching(`[<>&@!a-z|"\\]{0,20}`).Draw(t, "name")
		m.Headline, m.Labels["team"], m.HowBad[0].Sentence = name, name, name
		own, faults := r.Fill(m)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if n := strings.Count(own.Text, "<"); n != 2 {
			t.Fatalf("%d tags in %q", n, own.Text)
		}
		var list []struct{ Text string }
		if err := json.Unmarshal([]byte(own.Blocks), &list); err != nil || list[0].Text != SlackEscape(name) {
			t.Fatalf("%v, %q", err, own.Blocks)
		}
	})
}

func TestOneTemplateServesManyAtOnce(t *testing.T) {
	r, _ := set(t, map[string]string{"f": `{{ define "x" }}{{ range .HowBad }}{{ .Name }}{{ end }}{{ end }}`}).NewReceiver("chat", "", Texts{Text: `{{ template "x" . }}`}, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if own, faults := r.Fill(regressed()); len(faults) > 0 || own.Text != "error ratiop90 latency" {
					t.Errorf("%q, %v", own.Text, faults)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{`{{ .Headline }}`, `{{ range .HowBad }}{{ .Name }}{{ else }}x{{ end }}`, `{{ with $x := dict "a" 1 }}{{ $x.a }}{{ end }}`, `{{ printf "%v" . }}`, `{{ define "a" }}{{ end }}{{ template "a" }}`, `{{ block "b" . }}{{ break }}{{ end }}`} {
		f.Add(s)
	}
	s, err := NewSet(nil)
	if err != nil {
		f.Fatal(err)
	}
	m := regressed()
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := s.Template("text", text)
		if err != nil {
			return
		}
		began := time.Now()
		out, err := tmpl.Render(DataOf(m, "chat", "", SlackEscape), false)
		if len(out) > maxSize || time.Since(began) > 5*maxTime {
			t.Fatalf("%d bytes in %s, %v", len(out), time.Since(began), err)
		}
	})
}
