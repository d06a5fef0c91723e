package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// built says what this program was made from.
type built struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, when the build knew it
	Modified bool   `json:"modified,omitempty"` // the source differed from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  noArguments,
	}
	output := outputFlag(cmd, "text", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := thisBuild()
		if output.value != "text" {
			return printAs(cmd.OutOrStdout(), output.value, b)
		}
		source := ""
		if b.Revision != "" {
			source = ", source " + b.Revision
			if b.Modified {
				source += " with changes"
			}
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "watchtower %s%s (%s, %s)\n", b.Version, source, b.Go, b.Platform)
		return err
	}
	return cmd
}

func thisBuild() built {
	b := built{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// builtVersion is the version that the go command knows, such as that of a
// module installed by version; "dev" where it knows none.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return "dev"
	}
	return cmp.Or(info.Main.Version, "dev")
}
