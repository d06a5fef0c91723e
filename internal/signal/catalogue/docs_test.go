package catalogue

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/watchtower-verify/watchtower/rules"
)

func signalsPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/signals.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestEveryDialectAndResourceIsInTheDocs(t *testing.T) {
	page := signalsPage(t)
	c, err := Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.Dialects {
		if !strings.Contains(page, "| `"+d.Name+"` |") {
			t.Errorf("docs/signals.md has no row for %s", d.Name)
		}
	}
	for _, r := range c.Resources {
		if !strings.Contains(page, r.Metric) {
			t.Errorf("docs/signals.md has nothing of %s", r.Metric)
		}
	}
}

func TestTheExampleInTheDocsExtendsTheBuiltInCatalogue(t *testing.T) {
	_, rest, ok := strings.Cut(signalsPage(t), "```yaml\n# signals/ours.yaml\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("the example is gone")
	}
	c, err := Load(rules.Signals, fstest.MapFS{"ours.yaml": {Data: []byte(example)}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Dialects[0].Name != "shoplib" || c.Pods[0].Pod != "k8s_pod" || !c.LeavesOut("internal/debug") {
		t.Errorf("dialects %v, pods %v", c.Names()[:2], c.Pods[0])
	}
}
