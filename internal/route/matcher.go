package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/promslog"
)

// maxMatcher bounds the text of a matcher in bytes.
const maxMatcher = 4096

var parse = compat.FallbackMatchersParser(promslog.NewNopLogger())

// ParseMatchers reads one or several matchers as Alertmanager does, in its new
// syntax or its old one: `team="shop"`, `{team=~"shop|cart",severity!="info"}`.
func ParseMatchers(text string) (labels.Matchers, error) {
	if len(text) > maxMatcher {
		return nil, fmt.Errorf("the matcher has %d bytes: at most %d are read", len(text), maxMatcher)
	}
	// The classic parser takes what is empty for a matcher of everything.
	if strings.Trim(text, " \t\n{}") == "" {
		return nil, errors.New(`the matcher is empty: write it like team="shop"`)
	}
	ms, err := parse(text, "route")
	if err != nil {
		return nil, fmt.Errorf("this is no matcher: %w; write it like team=\"shop\" or severity=~\"critical|error\"", err)
	}
	if len(ms) == 0 {
		return nil, errors.New(`the matcher is empty: write it like team="shop"`)
	}
	for _, m := range ms {
		if m.Name == "" {
			return nil, errors.New(`a matcher has no label: write it like team="shop"`)
		}
	}
	return ms, nil
}
