package doctor

import (
	"context"
	"fmt"
	"strings"
)

// Setup is what the configuration has Watchtower do, as far as something could be
// left unsaid.
type Setup struct {
	// Alerts is whether any policy may alert, Rollbacks whether any may roll back,
	// with or without approval.
	Alerts, Rollbacks bool
	// Issues is whether any policy opens issues.
	Issues       bool
	Alertmanager bool
	Forge        bool
	Receivers    []string
	ExternalURL  string
	// Warnings are what the configuration may do and hardly anybody wants.
	Warnings []string
}

// Silence says what nobody would hear of as it is configured.
func Silence(s Setup) Check {
	return Check{"configuration", func(context.Context) []Finding {
		var out []Finding
		told := s.Alertmanager || len(s.Receivers) > 0
		switch {
		case !s.Alerts:
			out = append(out, warning("every policy only observes: nobody is told of a regressed release, and nothing is done",
				"Set policy.autonomy to alert, in the file or by the annotation watchtower.dev/autonomy."))
		case !told:
			out = append(out, warning("nobody is told of a regressed release: there is no alertmanager and no receiver",
				"Add alertmanager or receivers to the configuration; docs/notifications.md shows how."))
		}
		if s.Alerts && s.Issues && !s.Forge {
			out = append(out, warning("policies open issues, but there is no forge", "Add forge to the configuration, or set policy.issue to false."))
		}
		if told && localhost(s.ExternalURL) {
			out = append(out, warning(fmt.Sprintf("messages link to %s, which only this machine reaches", s.ExternalURL), "Set external_url to where people reach Watchtower."))
		}
		for _, w := range s.Warnings {
			out = append(out, warning(w, "Mend what it names in the configuration."))
		}
		if len(out) == 0 {
			out = append(out, ok("what is decided is told"))
		}
		return out
	}}
}

func localhost(address string) bool {
	_, host, _ := strings.Cut(address, "://")
	for _, own := range []string{"localhost", "127.", "[::1]", "0.0.0.0"} {
		if strings.HasPrefix(host, own) {
			return true
		}
	}
	return false
}
