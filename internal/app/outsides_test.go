package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchtower-verify/watchtower/internal/release"
)

const ownDialect = `dialects:
  - name: shop
    title: requests as the shop's own library counts them
    order: 5
    requests:
      metric: shop_requests_total
      failure: [{label: outcome, matches: %s}]
`

func TestACatalogueOfOnesOwnIsLaidOverTheBuiltInOne(t *testing.T) {
	builtIn, err := loadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(builtIn.Names(), "shop") || len(builtIn.Dialects) == 0 {
		t.Fatalf("built in are %v", builtIn.Names())
	}
	dir := t.TempDir()
	own := filepath.Join(dir, "shop.yaml")
	write := func(matches string) {
		t.Helper()
		if err := os.WriteFile(own, []byte(strings.Replace(ownDialect, "%s", matches, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("failed")
	both, err := loadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(both.Names(), "shop") || len(both.Dialects) != len(builtIn.Dialects)+1 {
		t.Errorf("with one's own there are %v", both.Names())
	}
	write("'fail(ed'")
	_, err = loadCatalogue(dir)
	if release.ErrorCode(err) != release.CodeInvalid || !strings.Contains(err.Error(), "shop.yaml:7:") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want the place of the fault", err)
	}
}
