package catalogue

import (
	"testing"

	"github.com/watchtower-verify/watchtower/rules"
)

func builtin(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load(rules.Signals)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheBuiltInCatalogueHasWhatIsPromised(t *testing.T) {
	t.Log(builtin(t).Names())
}
